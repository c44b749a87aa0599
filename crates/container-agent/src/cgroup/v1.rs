//! cgroup version 1 (kernel `Documentation/admin-guide/cgroup-v1/`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::directory;
use super::files::{Files, key_values, number};
use super::v2::add;
use crate::groups::{Group, Groups};
use crate::info::{
    Cpu, CpuSpec, DiskIo, Hugetlb, Memory, MemorySpec, Numa, PerDisk, Processes, Spec, Stats,
};

/// Ticks per second of `cpuacct.stat`: a constant of the kernel's interface (USER_HZ).
const TICK_NANOS: u64 = 1_000_000_000 / 100;

/// Where each controller is mounted; one that is not is `None`.
#[derive(Debug, Clone)]
pub struct Controllers {
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory: Option<PathBuf>,
    blkio: Option<PathBuf>,
    blkio_files: BlkioFiles,
    pids: Option<PathBuf>,
    hugetlb: Option<PathBuf>,
    cpuset: Option<PathBuf>,
    /// One that is there, for listing.
    any: PathBuf,
}

impl Controllers {
    /// The controllers mounted below `root`; `None` without one that counts.
    pub fn find(root: &Path) -> Option<Controllers> {
        let mounted = |names: &[&str], file: &str| {
            let mut paths = names.iter().map(|name| root.join(name));
            paths.find(|path| path.join(file).exists())
        };
        let cpu = mounted(&["cpu", "cpu,cpuacct", "cpuacct,cpu"], "cpu.shares");
        let cpuacct = mounted(&["cpuacct", "cpu,cpuacct", "cpuacct,cpu"], "cpuacct.usage");
        let memory = mounted(&["memory"], "memory.usage_in_bytes");
        let blkio = mounted(&["blkio"], "cgroup.procs");
        Some(Controllers {
            blkio_files: blkio.as_deref().map(BlkioFiles::find).unwrap_or_default(),
            any: cpu.clone().or(cpuacct.clone()).or(memory.clone())?,
            cpu,
            cpuacct,
            memory,
            blkio,
            pids: mounted(&["pids"], "cgroup.procs"),
            hugetlb: mounted(&["hugetlb"], "cgroup.procs"),
            cpuset: mounted(&["cpuset"], "cgroup.procs"),
        })
    }

    /// The tree that processes are looked up in.
    pub fn tree(&self) -> &PathBuf {
        &self.any
    }

    /// The trees that together name all cgroups.
    pub fn trees(&self) -> Vec<&PathBuf> {
        let mut trees = vec![&self.any];
        trees.extend(self.memory.iter().filter(|memory| **memory != self.any));
        trees
    }

    /// One cgroup; `None` if it is gone from every tree.
    pub fn read(&self, path: &str, groups: Groups) -> Option<(Spec, Stats)> {
        let files = |controller: &Option<PathBuf>| {
            let files = Files::new(directory(controller.as_ref()?, path));
            files.exist().then_some(files)
        };
        let (cpu, cpuacct, memory) = (files(&self.cpu), files(&self.cpuacct), files(&self.memory));
        let present = [&cpu, &cpuacct, &memory];
        if present.iter().all(|files| files.is_none()) {
            return None;
        }
        let spec = Spec {
            has_cpu: cpu.is_some(),
            cpu: cpu.as_ref().map(cpu_spec).unwrap_or_default(),
            has_memory: memory.is_some(),
            memory: memory.as_ref().map(memory_spec).unwrap_or_default(),
            ..Spec::default()
        };
        let mut stats = Stats {
            cpu: Some(read_cpu(cpu.as_ref(), cpuacct.as_ref(), groups)),
            memory: Some(
                memory
                    .as_ref()
                    .map(|m| read_memory(m, groups))
                    .unwrap_or_default(),
            ),
            ..Stats::default()
        };
        if let Some(memory) = &memory {
            stats.oom_events = memory
                .value_of("memory.oom_control", "oom_kill")
                .unwrap_or(0);
        }
        if groups.any(&[Group::DiskIo, Group::Pressure]) {
            stats.disk_io = Some(match files(&self.blkio) {
                Some(blkio) if groups.has(Group::DiskIo) => self.blkio_files.read(&blkio),
                _ => DiskIo::default(),
            });
        }
        if groups.has(Group::Hugetlb)
            && let Some(files) = files(&self.hugetlb)
        {
            stats.hugetlb = read_hugetlb(&files);
        }
        if groups.has(Group::Cpuset)
            && let Some(files) = files(&self.cpuset)
        {
            stats.cpuset.memory_migrate = files.number("cpuset.memory_migrate").unwrap_or(0);
        }
        if groups.has(Group::Process) {
            let pids = files(&self.pids);
            let number = |file| pids.as_ref().and_then(|pids| pids.number(file));
            stats.processes = Some(Processes {
                threads_current: number("pids.current").unwrap_or(0),
                threads_max: number("pids.max")
                    .filter(|max| *max != u64::MAX)
                    .unwrap_or(0),
                ..Processes::default()
            });
        }
        Some((spec, stats))
    }
}

fn cpu_spec(files: &Files) -> CpuSpec {
    CpuSpec {
        limit: files.number("cpu.shares").unwrap_or(0),
        // -1 is no quota, and no number here.
        quota: files.number("cpu.cfs_quota_us").unwrap_or(0),
        period: files.number("cpu.cfs_period_us").unwrap_or(0),
    }
}

fn memory_spec(files: &Files) -> MemorySpec {
    MemorySpec {
        limit: files.number("memory.limit_in_bytes").unwrap_or(0),
        reservation: files.number("memory.soft_limit_in_bytes").unwrap_or(0),
        swap_limit: files.number("memory.memsw.limit_in_bytes").unwrap_or(0),
    }
}

fn read_cpu(cpu: Option<&Files>, cpuacct: Option<&Files>, groups: Groups) -> Cpu {
    let mut out = Cpu::default();
    let stat = cpu
        .and_then(|files| files.text("cpu.stat"))
        .unwrap_or_default();
    for (key, value) in key_values(&stat) {
        match key {
            "nr_periods" => out.cfs.periods = value,
            "nr_throttled" => out.cfs.throttled_periods = value,
            "throttled_time" => out.cfs.throttled_time = value,
            "nr_bursts" => out.cfs.bursts_periods = value,
            "burst_time" => out.cfs.burst_time = value,
            _ => {}
        }
    }
    let Some(files) = cpuacct else { return out };
    out.usage.total = files.number("cpuacct.usage").unwrap_or(0);
    for (key, ticks) in key_values(&files.text("cpuacct.stat").unwrap_or_default()) {
        match key {
            "user" => out.usage.user = ticks.saturating_mul(TICK_NANOS),
            "system" => out.usage.system = ticks.saturating_mul(TICK_NANOS),
            _ => {}
        }
    }
    if groups.has(Group::PerCpu) {
        let text = files.text("cpuacct.usage_percpu").unwrap_or_default();
        let values: Option<Vec<u64>> = text
            .split_whitespace()
            .map(|value| value.parse().ok())
            .collect();
        out.usage.per_cpu_usage = values.unwrap_or_default();
    }
    out
}

fn read_memory(files: &Files, groups: Groups) -> Memory {
    let mut out = Memory {
        usage: files.number("memory.usage_in_bytes").unwrap_or(0),
        max_usage: files.number("memory.max_usage_in_bytes").unwrap_or(0),
        failcnt: files.number("memory.failcnt").unwrap_or(0),
        kernel_usage: files.number("memory.kmem.usage_in_bytes").unwrap_or(0),
        ..Memory::default()
    };
    let total = files.number("memory.use_hierarchy") == Some(1);
    let text = files.text("memory.stat").unwrap_or_default();
    memory_stat(key_values(&text), total, &mut out);
    out.working_set = out.usage.saturating_sub(out.total_inactive_file);
    if groups.has(Group::MemoryNuma) {
        let text = files.text("memory.numa_stat").unwrap_or_default();
        out.container_data.numa_stats = numa(&text, "");
        out.hierarchical_data.numa_stats = numa(&text, "hierarchical_");
    }
    out
}

/// `memory.stat`; with `total` (`memory.use_hierarchy`) the cgroups below count too.
pub fn memory_stat<'a>(lines: impl Iterator<Item = (&'a str, u64)>, total: bool, out: &mut Memory) {
    for (key, value) in lines {
        match (key.strip_prefix("total_"), key, total) {
            (Some("active_file"), ..) => out.total_active_file = value,
            (Some("inactive_file"), ..) => out.total_inactive_file = value,
            (Some("cache"), _, true) | (None, "cache", false) => out.cache = value,
            (Some("rss"), _, true) | (None, "rss", false) => out.rss = value,
            (Some("swap"), _, true) | (None, "swap", false) => out.swap = value,
            (Some("mapped_file"), _, true) | (None, "mapped_file", false) => {
                out.mapped_file = value;
            }
            (None, "workingset_refault_file", _) => out.workingset_refault_file = value,
            (None, "workingset_refault_anon", _) => out.workingset_refault_anon = value,
            (None, "pgfault", _) => {
                out.container_data.pgfault = value;
                out.hierarchical_data.pgfault = value;
            }
            (None, "pgmajfault", _) => {
                out.container_data.pgmajfault = value;
                out.hierarchical_data.pgmajfault = value;
            }
            _ => {}
        }
    }
}

/// `file=44428 N0=32614 N1=7335`
fn numa(text: &str, prefix: &str) -> Numa {
    let mut numa = Numa::default();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let kind = fields.next().and_then(|first| first.split_once('='));
        let nodes = match kind.and_then(|(kind, _)| kind.strip_prefix(prefix)) {
            Some("file") => &mut numa.file,
            Some("anon") => &mut numa.anon,
            Some("unevictable") => &mut numa.unevictable,
            _ => continue,
        };
        let pairs = fields.filter_map(|field| field.strip_prefix('N')?.split_once('='));
        nodes
            .extend(pairs.filter_map(|(node, pages)| Some((node.to_owned(), pages.parse().ok()?))));
    }
    numa
}

/// The files of blkio that this kernel has, for each statistic in the order in which they are tried:
/// those of the IO scheduler, where there is one that counts, else of throttling.
#[derive(Debug, Clone, Default)]
struct BlkioFiles {
    service_bytes: Vec<String>,
    serviced: Vec<String>,
    queued: Vec<String>,
    sectors: Vec<String>,
    service_time: Vec<String>,
    merged: Vec<String>,
}

impl BlkioFiles {
    /// What lies in the tree's root.
    fn find(root: &Path) -> BlkioFiles {
        let present = |names: Vec<String>| -> Vec<String> {
            let there = names.into_iter().filter(|name| root.join(name).exists());
            there.collect()
        };
        let of_scheduler = |name: &str| {
            present(vec![
                format!("blkio.{name}_recursive"),
                format!("blkio.bfq.{name}_recursive"),
            ])
        };
        let with_throttling = |name: &str| {
            let mut files = of_scheduler(name);
            let throttling = present(vec![
                format!("blkio.throttle.{name}_recursive"),
                format!("blkio.throttle.{name}"),
            ]);
            // Older kernels lack the one with what lies below.
            files.extend(throttling.into_iter().next());
            files
        };
        BlkioFiles {
            service_bytes: with_throttling("io_service_bytes"),
            serviced: with_throttling("io_serviced"),
            queued: of_scheduler("io_queued"),
            sectors: of_scheduler("sectors"),
            service_time: of_scheduler("io_service_time"),
            merged: of_scheduler("io_merged"),
        }
    }

    fn read(&self, files: &Files) -> DiskIo {
        let first = |names: &[String]| {
            let mut tried = names.iter().map(|name| operations(files, name));
            tried.find(|disks| !disks.is_empty()).unwrap_or_default()
        };
        DiskIo {
            io_service_bytes: first(&self.service_bytes),
            io_serviced: first(&self.serviced),
            io_queued: first(&self.queued),
            sectors: first(&self.sectors),
            io_service_time: first(&self.service_time),
            io_merged: first(&self.merged),
            ..DiskIo::default()
        }
    }
}

/// `8:0 Read 4096`; the sum over all devices at the end names none.
fn operations(files: &Files, file: &str) -> Vec<PerDisk> {
    let mut disks = Vec::new();
    for line in files.text(file).unwrap_or_default().lines() {
        let mut fields = line.split_whitespace();
        let device = fields.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        match (fields.next(), fields.next().and_then(number)) {
            (Some(operation), Some(value)) => add(&mut disks, major, minor, operation, value),
            // `blkio.sectors` has no operations.
            (Some(value), None) => {
                if let Some(value) = number(value) {
                    add(&mut disks, major, minor, "Count", value);
                }
            }
            (None, _) => {}
        }
    }
    disks
}

fn read_hugetlb(files: &Files) -> BTreeMap<String, Hugetlb> {
    let mut sizes = BTreeMap::new();
    for name in files.names() {
        let size = name
            .strip_prefix("hugetlb.")
            .and_then(|n| n.strip_suffix(".usage_in_bytes"));
        let Some(size) = size.filter(|size| !size.contains('.')) else {
            continue;
        };
        let number = |what: &str| files.number(&format!("hugetlb.{size}.{what}")).unwrap_or(0);
        let pages = Hugetlb {
            usage: number("usage_in_bytes"),
            max_usage: number("max_usage_in_bytes"),
            failcnt: number("failcnt"),
        };
        sizes.insert(size.to_owned(), pages);
    }
    sizes
}
