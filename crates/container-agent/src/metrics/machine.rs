//! The machine (cadvisor `lib/metrics/prometheus_machine.go`).

use exposition::Writer;
use model::MetricType;

use super::merged;
use crate::info::Machine;

struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: Values,
}

type Values = fn(&Machine, &mut dyn FnMut(&[&str], f64));

const fn family(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: Values,
) -> Family {
    Family {
        name,
        help,
        labels,
        values,
    }
}

/// Writes the families of the machine, sorted by name; `failed` says that reading it did.
pub fn write(machine: &Machine, failed: bool, writer: &mut Writer) {
    let base = [
        ("boot_id", machine.boot_id.as_str()),
        ("machine_id", &machine.machine_id),
        ("system_uuid", &machine.system_uuid),
    ];
    let failed = f64::from(u8::from(failed));
    let mut error_written = false;
    for family in TABLE {
        if !error_written && family.name > ERROR {
            writer.family(ERROR, ERROR_HELP, MetricType::Gauge);
            writer.sample::<&str, &str>(&[], failed);
            error_written = true;
        }
        let mut begun = false;
        (family.values)(machine, &mut |values, value| {
            if !begun {
                writer.family(family.name, family.help, MetricType::Gauge);
                begun = true;
            }
            let labels = merged(&base, family.labels, values);
            writer.sample_at(&labels, value, machine.timestamp_ms);
        });
    }
}

const ERROR: &str = "machine_scrape_error";
const ERROR_HELP: &str = "1 if there was an error while getting machine metrics, 0 otherwise.";

const TABLE: &[Family] = &[
    family(
        "machine_cpu_books",
        "Number of CPU books.",
        &[],
        |m, out| out(&[], m.num_books as f64),
    ),
    family(
        "machine_cpu_cache_capacity_bytes",
        "Cache size in bytes assigned to NUMA node and CPU core.",
        &["node_id", "core_id", "type", "level"],
        |m, out| {
            for node in &m.topology {
                let id = node.node_id.to_string();
                let of_cores = node.cores.iter().flat_map(|core| {
                    let id = core.core_id.to_string();
                    core.caches.iter().map(move |cache| (id.clone(), cache))
                });
                let of_node = node.caches.iter().map(|cache| (String::new(), cache));
                for (core, cache) in of_cores.chain(of_node) {
                    let level = cache.level.to_string();
                    out(&[&id, &core, &cache.kind, &level], cache.size as f64);
                }
            }
        },
    ),
    family(
        "machine_cpu_cores",
        "Number of logical CPU cores.",
        &[],
        |m, out| out(&[], m.num_cores as f64),
    ),
    family(
        "machine_cpu_drawers",
        "Number of CPU drawers.",
        &[],
        |m, out| out(&[], m.num_drawers as f64),
    ),
    family(
        "machine_cpu_physical_cores",
        "Number of physical CPU cores.",
        &[],
        |m, out| out(&[], m.num_physical_cores as f64),
    ),
    family(
        "machine_cpu_sockets",
        "Number of CPU sockets.",
        &[],
        |m, out| out(&[], m.num_sockets as f64),
    ),
    family(
        "machine_dimm_capacity_bytes",
        "Total RAM DIMM capacity (all types memory modules) value labeled by dimm type.",
        &["type"],
        |m, out| {
            for (kind, modules) in &m.memory_by_type {
                out(&[kind], modules.capacity as f64);
            }
        },
    ),
    family(
        "machine_dimm_count",
        "Number of RAM DIMM (all types memory modules) value labeled by dimm type.",
        &["type"],
        |m, out| {
            for (kind, modules) in &m.memory_by_type {
                out(&[kind], modules.dimm_count as f64);
            }
        },
    ),
    family(
        "machine_memory_bytes",
        "Amount of memory installed on the machine.",
        &[],
        |m, out| out(&[], m.memory_capacity as f64),
    ),
    family(
        "machine_node_distance",
        "Distance between NUMA node and target NUMA node.",
        &["node_id", "target_node_id"],
        |m, out| {
            for node in &m.topology {
                for (target, distance) in m.topology.iter().zip(&node.distances) {
                    let (from, to) = (node.node_id.to_string(), target.node_id.to_string());
                    out(&[&from, &to], *distance as f64);
                }
            }
        },
    ),
    family(
        "machine_node_hugepages_count",
        "Numer of hugepages assigned to NUMA node.",
        &["node_id", "page_size"],
        |m, out| {
            for node in &m.topology {
                for pages in &node.hugepages {
                    let (id, size) = (node.node_id.to_string(), pages.page_size.to_string());
                    out(&[&id, &size], pages.num_pages as f64);
                }
            }
        },
    ),
    family(
        "machine_node_memory_capacity_bytes",
        "Amount of memory assigned to NUMA node.",
        &["node_id"],
        |m, out| {
            for node in &m.topology {
                out(&[&node.node_id.to_string()], node.memory as f64);
            }
        },
    ),
    family(
        "machine_nvm_avg_power_budget_watts",
        "NVM power budget.",
        &[],
        |m, out| out(&[], m.nvm.avg_power_budget as f64),
    ),
    family(
        "machine_nvm_capacity",
        "NVM capacity value labeled by NVM mode (memory mode or app direct mode).",
        &["mode"],
        |m, out| {
            out(&["memory_mode"], m.nvm.memory_mode_capacity as f64);
            out(&["app_direct_mode"], m.nvm.app_direct_mode_capacity as f64);
        },
    ),
    family(
        "machine_swap_bytes",
        "Amount of swap memory available on the machine.",
        &[],
        |m, out| out(&[], m.swap_capacity as f64),
    ),
    family(
        "machine_thread_siblings_count",
        "Number of CPU thread siblings.",
        &["node_id", "core_id", "thread_id"],
        |m, out| {
            for node in &m.topology {
                for core in &node.cores {
                    let (id, core_id) = (node.node_id.to_string(), core.core_id.to_string());
                    for thread in &core.thread_ids {
                        out(
                            &[&id, &core_id, &thread.to_string()],
                            core.thread_ids.len() as f64,
                        );
                    }
                }
            }
        },
    ),
];
