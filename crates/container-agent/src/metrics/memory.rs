//! Memory, huge pages, memory pressure, out-of-memory kills.

use super::cpu::micros;
use super::{Metric, Samples, counter, gauge};
use crate::groups::Group;
use crate::info::Memory;

/// The families.
pub(super) const TABLE: &[Metric] = &[
    gauge(
        Group::Memory,
        "container_memory_cache",
        "Number of bytes of page cache memory.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.cache as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_rss",
        "Size of RSS in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.rss as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_kernel_usage",
        "Size of kernel memory allocated in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.kernel_usage as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_mapped_file",
        "Size of memory mapped files in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.mapped_file as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_swap",
        "Container swap usage in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.swap as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_failcnt",
        "Number of memory usage hits limits",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.failcnt as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.usage as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_max_usage_bytes",
        "Maximum memory usage recorded in bytes",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.max_usage as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.working_set as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_total_active_file_bytes",
        "Current total active file in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.total_active_file as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_total_inactive_file_bytes",
        "Current total inactive file in bytes.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.total_inactive_file as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_file_dirty_bytes",
        "Number of bytes of file cache that has been modified but not yet written back to disk.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.file_dirty as f64);
            }
        },
    ),
    gauge(
        Group::Memory,
        "container_memory_file_writeback_bytes",
        "Number of bytes of file cache that is currently being written back to disk.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.file_writeback as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_pgscan_total",
        "Cumulative number of pages scanned by the page reclaim algorithm.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.pgscan as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_pgsteal_total",
        "Cumulative number of pages reclaimed by the page reclaim algorithm.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.pgsteal as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_workingset_refault_file_total",
        "Cumulative number of refaults of previously evicted file pages.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.workingset_refault_file as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_workingset_refault_anon_total",
        "Cumulative number of refaults of previously evicted anonymous pages.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.workingset_refault_anon as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_events_high_total",
        "Cumulative count of memory.high throttle events for the container",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.events.high as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_events_max_total",
        "Cumulative count of memory.max limit hit events for the container",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(m.events.max as f64);
            }
        },
    ),
    counter(
        Group::Memory,
        "container_memory_failures_total",
        "Cumulative count of memory allocation failures.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                failures(m, out);
            }
        },
    )
    .labels(&["failure_type", "scope"]),
    gauge(
        Group::MemoryNuma,
        "container_memory_numa_pages",
        "Number of used pages per NUMA node",
        |_, s, out| {
            if let Some(m) = &s.memory {
                numa(m, out);
            }
        },
    )
    .labels(&["scope", "type", "node"]),
    counter(
        Group::Pressure,
        "container_pressure_memory_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to memory congestion.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(micros(m.psi.full.total));
            }
        },
    ),
    counter(
        Group::Pressure,
        "container_pressure_memory_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to memory congestion.",
        |_, s, out| {
            if let Some(m) = &s.memory {
                out.add(micros(m.psi.some.total));
            }
        },
    ),
    gauge(
        Group::Cpuset,
        "container_memory_migrate",
        "Memory migrate status.",
        |_, s, out| out.add(s.cpuset.memory_migrate as f64),
    ),
    gauge(
        Group::ReferencedMemory,
        "container_referenced_bytes",
        "Container referenced bytes during last measurements cycle",
        |_, s, out| out.add(s.referenced_memory as f64),
    ),
    counter(
        Group::OomEvent,
        "container_oom_events_total",
        "Count of out of memory events observed for the container",
        |_, s, out| out.add(s.oom_events as f64),
    ),
    counter(
        Group::Hugetlb,
        "container_hugetlb_failcnt",
        "Number of hugepage usage hits limits",
        |_, s, out| {
            for (size, pages) in &s.hugetlb {
                out.with(&[size], pages.failcnt as f64);
            }
        },
    )
    .labels(&["pagesize"]),
    gauge(
        Group::Hugetlb,
        "container_hugetlb_usage_bytes",
        "Current hugepage usage in bytes",
        |_, s, out| {
            for (size, pages) in &s.hugetlb {
                out.with(&[size], pages.usage as f64);
            }
        },
    )
    .labels(&["pagesize"]),
    gauge(
        Group::Hugetlb,
        "container_hugetlb_max_usage_bytes",
        "Maximum hugepage usage recorded in bytes",
        |_, s, out| {
            for (size, pages) in &s.hugetlb {
                out.with(&[size], pages.max_usage as f64);
            }
        },
    )
    .labels(&["pagesize"]),
    gauge(
        Group::Resctrl,
        "container_memory_bandwidth_bytes",
        "Total memory bandwidth usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).",
        |_, s, out| {
        for (node, value) in s.resctrl.memory_bandwidth.iter().enumerate() {
            out.with(&[&node.to_string()], value.total_bytes as f64);
        }
        },
    )
    .labels(&["node_id"]),
    gauge(
        Group::Resctrl,
        "container_memory_bandwidth_local_bytes",
        "Local memory bandwidth usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).",
        |_, s, out| {
        for (node, value) in s.resctrl.memory_bandwidth.iter().enumerate() {
            out.with(&[&node.to_string()], value.local_bytes as f64);
        }
        },
    )
    .labels(&["node_id"]),
    gauge(
        Group::Resctrl,
        "container_llc_occupancy_bytes",
        "Last level cache usage statistics for container counted with RDT Memory Bandwidth Monitoring (MBM).",
        |_, s, out| {
        for (node, value) in s.resctrl.cache.iter().enumerate() {
            out.with(&[&node.to_string()], value.llc_occupancy as f64);
        }
        },
    )
    .labels(&["node_id"]),
];

fn failures(memory: &Memory, out: &mut Samples<'_, '_>) {
    for (scope, faults) in [
        ("container", &memory.container_data),
        ("hierarchy", &memory.hierarchical_data),
    ] {
        out.with(&["pgfault", scope], faults.pgfault as f64);
        out.with(&["pgmajfault", scope], faults.pgmajfault as f64);
    }
}

fn numa(memory: &Memory, out: &mut Samples<'_, '_>) {
    for (scope, data) in [
        ("container", &memory.container_data),
        ("hierarchy", &memory.hierarchical_data),
    ] {
        let numa = &data.numa_stats;
        for (kind, nodes) in [
            ("file", &numa.file),
            ("anon", &numa.anon),
            ("unevictable", &numa.unevictable),
        ] {
            for (node, pages) in nodes {
                out.with(&[scope, kind, node], *pages as f64);
            }
        }
    }
}
