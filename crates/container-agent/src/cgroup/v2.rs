//! cgroup version 2 (kernel `Documentation/admin-guide/cgroup-v2.rst`).

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{Files, key_values, number};
use crate::groups::{Group, Groups};
use crate::info::{
    Cpu, CpuSpec, DiskIo, Hugetlb, Memory, MemoryEvents, MemorySpec, PerDisk, Processes, Spec,
    Stats,
};

/// One cgroup; `None` if it is gone.
pub fn read(directory: &Path, groups: Groups) -> Option<(Spec, Stats)> {
    let files = Files::new(directory.to_owned());
    if !files.exist() {
        return None;
    }
    let spec = Spec {
        has_cpu: true,
        cpu: cpu_spec(&files),
        // The root has no limits.
        has_memory: files.text("memory.max").is_some(),
        memory: MemorySpec {
            limit: files.number("memory.max").unwrap_or(0),
            reservation: files.number("memory.min").unwrap_or(0),
            swap_limit: files.number("memory.swap.max").unwrap_or(0),
        },
        ..Spec::default()
    };
    let mut stats = Stats {
        cpu: Some(cpu(&files, groups)),
        memory: Some(memory(&files, groups)),
        oom_events: files.value_of("memory.events", "oom_kill").unwrap_or(0),
        ..Stats::default()
    };
    if groups.any(&[Group::DiskIo, Group::Pressure]) {
        stats.disk_io = Some(disk_io(&files, groups));
    }
    if groups.has(Group::Hugetlb) {
        stats.hugetlb = hugetlb(&files);
    }
    if groups.has(Group::Process) {
        stats.processes = Some(Processes {
            threads_current: files.number("pids.current").unwrap_or(0),
            threads_max: files
                .number("pids.max")
                .filter(|max| *max != u64::MAX)
                .unwrap_or(0),
            ..Processes::default()
        });
    }
    Some((spec, stats))
}

fn cpu_spec(files: &Files) -> CpuSpec {
    let mut spec = CpuSpec::default();
    if let Some(weight) = files
        .number("cpu.weight")
        .filter(|weight| (1..=10_000).contains(weight))
    {
        // The same scale as version 1's shares: 1..10000 to 2..262144.
        spec.limit = 2 + ((weight - 1) * 262_142) / 9999;
    }
    if let Some(text) = files.text("cpu.max")
        && let Some((quota, period)) = text.trim().split_once(' ')
    {
        spec.quota = quota.parse().unwrap_or(0);
        spec.period = period.parse().unwrap_or(0);
    }
    spec
}

fn cpu(files: &Files, groups: Groups) -> Cpu {
    let mut cpu = Cpu::default();
    for (key, value) in key_values(&files.text("cpu.stat").unwrap_or_default()) {
        let nanos = value.saturating_mul(1000);
        match key {
            "usage_usec" => cpu.usage.total = nanos,
            "user_usec" => cpu.usage.user = nanos,
            "system_usec" => cpu.usage.system = nanos,
            "nr_periods" => cpu.cfs.periods = value,
            "nr_throttled" => cpu.cfs.throttled_periods = value,
            "throttled_usec" => cpu.cfs.throttled_time = nanos,
            "nr_bursts" => cpu.cfs.bursts_periods = value,
            "burst_usec" => cpu.cfs.burst_time = nanos,
            _ => {}
        }
    }
    if groups.has(Group::Pressure) {
        cpu.psi = files.psi("cpu.pressure");
    }
    cpu
}

fn memory(files: &Files, groups: Groups) -> Memory {
    let mut memory = Memory::default();
    let text = files.text("memory.stat").unwrap_or_default();
    memory_stat(key_values(&text), &mut memory);
    if groups.has(Group::Memory) {
        memory.usage = files.number("memory.current").unwrap_or(0);
        memory.max_usage = files.number("memory.peak").unwrap_or(0);
        memory.swap = files.number("memory.swap.current").unwrap_or(0);
        memory.working_set = memory.usage.saturating_sub(memory.total_inactive_file);
        let events = files.text("memory.events").unwrap_or_default();
        for (key, value) in key_values(&events) {
            match key {
                "high" => memory.events.high = value,
                "max" => memory.events.max = value,
                _ => {}
            }
        }
    } else {
        memory.events = MemoryEvents::default();
    }
    if groups.has(Group::Pressure) {
        memory.psi = files.psi("memory.pressure");
    }
    memory
}

/// `memory.stat`.
pub fn memory_stat<'a>(lines: impl Iterator<Item = (&'a str, u64)>, memory: &mut Memory) {
    for (key, value) in lines {
        match key {
            "anon" => memory.rss = value,
            "file" => memory.cache = value,
            "kernel" => memory.kernel_usage = value,
            "file_mapped" => memory.mapped_file = value,
            "file_dirty" => memory.file_dirty = value,
            "file_writeback" => memory.file_writeback = value,
            "active_file" => memory.total_active_file = value,
            "inactive_file" => memory.total_inactive_file = value,
            "pgscan" => memory.pgscan = value,
            "pgsteal" => memory.pgsteal = value,
            "workingset_refault_file" => memory.workingset_refault_file = value,
            "workingset_refault_anon" => memory.workingset_refault_anon = value,
            "pgfault" => {
                memory.container_data.pgfault = value;
                memory.hierarchical_data.pgfault = value;
            }
            "pgmajfault" => {
                memory.container_data.pgmajfault = value;
                memory.hierarchical_data.pgmajfault = value;
            }
            _ => {}
        }
    }
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`, with `cost.*` where that controller is on.
fn disk_io(files: &Files, groups: Groups) -> DiskIo {
    let mut io = DiskIo::default();
    if groups.has(Group::Pressure) {
        io.psi = files.psi("io.pressure");
    }
    if !groups.has(Group::DiskIo) {
        return io;
    }
    for line in files.text("io.stat").unwrap_or_default().lines() {
        let mut fields = line.split(' ');
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        for field in fields {
            let Some((key, value)) = field.split_once('=') else {
                continue;
            };
            let Some(value) = number(value) else { continue };
            let (list, operation) = match key {
                "rbytes" => (&mut io.io_service_bytes, "Read"),
                "wbytes" => (&mut io.io_service_bytes, "Write"),
                "rios" => (&mut io.io_serviced, "Read"),
                "wios" => (&mut io.io_serviced, "Write"),
                "cost.usage" => (&mut io.io_cost_usage, "Count"),
                "cost.wait" => (&mut io.io_cost_wait, "Count"),
                "cost.indebt" => (&mut io.io_cost_indebt, "Count"),
                "cost.indelay" => (&mut io.io_cost_indelay, "Count"),
                _ => continue,
            };
            add(list, major, minor, operation, value);
        }
    }
    io
}

/// Adds an operation to a device's entry.
pub fn add(list: &mut Vec<PerDisk>, major: u64, minor: u64, operation: &str, value: u64) {
    let known = list
        .iter()
        .position(|disk| (disk.major, disk.minor) == (major, minor));
    let at = known.unwrap_or_else(|| {
        list.push(PerDisk {
            major,
            minor,
            ..PerDisk::default()
        });
        list.len() - 1
    });
    list[at].stats.insert(operation.to_owned(), value);
}

fn hugetlb(files: &Files) -> BTreeMap<String, Hugetlb> {
    let mut sizes = BTreeMap::new();
    for name in files.names() {
        let size = name
            .strip_prefix("hugetlb.")
            .and_then(|name| name.strip_suffix(".current"));
        // `hugetlb.2MB.rsvd.current` counts reservations.
        let Some(size) = size.filter(|size| !size.contains('.')) else {
            continue;
        };
        let pages = Hugetlb {
            usage: files.number(&name).unwrap_or(0),
            max_usage: 0,
            failcnt: files
                .value_of(&format!("hugetlb.{size}.events"), "max")
                .unwrap_or(0),
        };
        sizes.insert(size.to_owned(), pages);
    }
    sizes
}
