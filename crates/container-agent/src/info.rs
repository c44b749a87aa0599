//! What is known of a container and of the machine: field names are those of cAdvisor's
//! `/api/v1.3` JSON (cadvisor `lib/model/{container,machine}.go`), as is their meaning.
//!
//! Times are milliseconds since the epoch, CPU times nanoseconds, pressure totals microseconds,
//! sizes bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One container (or another cgroup) at one moment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The path of its cgroup: `/docker/<id>`, `/system.slice/docker-<id>.scope`, `/`.
    pub name: String,
    /// Names users know; the first one becomes the label `name`.
    pub aliases: Vec<String>,
    pub spec: Spec,
    /// The newest first; only that one is shown.
    pub stats: Vec<Stats>,
}

/// What a container is: identity and limits.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Spec {
    #[serde(rename = "creation_time", deserialize_with = "time")]
    pub creation_ms: Option<i64>,
    #[serde(rename = "start_time", deserialize_with = "time")]
    pub start_ms: Option<i64>,
    pub labels: BTreeMap<String, String>,
    pub envs: BTreeMap<String, String>,
    pub has_cpu: bool,
    pub cpu: CpuSpec,
    pub has_memory: bool,
    pub memory: MemorySpec,
    pub image: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CpuSpec {
    /// Shares, 2 to 262144.
    pub limit: u64,
    /// Microseconds in each period; 0: no quota.
    pub quota: u64,
    pub period: u64,
}

/// Bytes; `u64::MAX` is the files' `max`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemorySpec {
    pub limit: u64,
    pub reservation: u64,
    pub swap_limit: u64,
}

/// Measurements of one moment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Stats {
    #[serde(rename = "timestamp", deserialize_with = "time")]
    pub timestamp_ms: Option<i64>,
    pub cpu: Option<Cpu>,
    #[serde(rename = "diskio")]
    pub disk_io: Option<DiskIo>,
    pub memory: Option<Memory>,
    pub hugetlb: BTreeMap<String, Hugetlb>,
    pub network: Option<Network>,
    pub filesystem: Vec<Filesystem>,
    pub task_stats: Tasks,
    pub processes: Option<Processes>,
    pub custom_metrics: BTreeMap<String, Vec<CustomMetric>>,
    pub perf_stats: Vec<PerfStat>,
    pub perf_uncore_stats: Vec<PerfUncoreStat>,
    pub referenced_memory: u64,
    pub resctrl: Resctrl,
    pub cpuset: Cpuset,
    pub oom_events: u64,
    pub health: Health,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub cfs: Cfs,
    pub schedstat: Schedstat,
    pub load_average: i64,
    pub load_d_average: i64,
    pub psi: Psi,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    pub total: u64,
    pub per_cpu_usage: Vec<u64>,
    pub user: u64,
    pub system: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cfs {
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_time: u64,
    pub bursts_periods: u64,
    pub burst_time: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Schedstat {
    pub run_time: u64,
    pub runqueue_time: u64,
    pub run_periods: u64,
}

/// Pressure stall information.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Psi {
    pub full: PsiLine,
    pub some: PsiLine,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PsiLine {
    /// Microseconds.
    pub total: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DiskIo {
    pub io_service_bytes: Vec<PerDisk>,
    pub io_serviced: Vec<PerDisk>,
    pub io_queued: Vec<PerDisk>,
    pub sectors: Vec<PerDisk>,
    pub io_service_time: Vec<PerDisk>,
    pub io_merged: Vec<PerDisk>,
    pub io_cost_usage: Vec<PerDisk>,
    pub io_cost_wait: Vec<PerDisk>,
    pub io_cost_indebt: Vec<PerDisk>,
    pub io_cost_indelay: Vec<PerDisk>,
    pub psi: Psi,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PerDisk {
    pub device: String,
    pub major: u64,
    pub minor: u64,
    /// By operation: `Read`, `Write`, `Total`, `Count`, ...
    pub stats: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub usage: u64,
    pub max_usage: u64,
    pub cache: u64,
    pub rss: u64,
    pub swap: u64,
    pub mapped_file: u64,
    pub working_set: u64,
    pub total_active_file: u64,
    pub total_inactive_file: u64,
    pub file_dirty: u64,
    pub file_writeback: u64,
    pub pgscan: u64,
    pub pgsteal: u64,
    pub workingset_refault_file: u64,
    pub workingset_refault_anon: u64,
    pub failcnt: u64,
    #[serde(rename = "kernel")]
    pub kernel_usage: u64,
    pub container_data: MemoryFaults,
    pub hierarchical_data: MemoryFaults,
    pub psi: Psi,
    pub events: MemoryEvents,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemoryFaults {
    pub pgfault: u64,
    pub pgmajfault: u64,
    pub numa_stats: Numa,
}

/// Pages (v1) or bytes (v2) by NUMA node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Numa {
    pub file: BTreeMap<String, u64>,
    pub anon: BTreeMap<String, u64>,
    pub unevictable: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemoryEvents {
    pub high: u64,
    pub max: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Hugetlb {
    pub usage: u64,
    pub max_usage: u64,
    pub failcnt: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Network {
    pub interfaces: Vec<Interface>,
    pub tcp: Tcp,
    pub tcp6: Tcp,
    pub udp: Udp,
    pub udp6: Udp,
    /// By field name of `/proc/<pid>/net/{snmp,netstat}`.
    pub tcp_advanced: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// Sockets by state.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Tcp {
    pub established: u64,
    pub syn_sent: u64,
    pub syn_recv: u64,
    pub fin_wait1: u64,
    pub fin_wait2: u64,
    pub time_wait: u64,
    pub close: u64,
    pub close_wait: u64,
    pub last_ack: u64,
    pub listen: u64,
    pub closing: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Udp {
    pub listen: u64,
    pub dropped: u64,
    pub rx_queued: u64,
    pub tx_queued: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Filesystem {
    pub device: String,
    #[serde(rename = "capacity")]
    pub limit: u64,
    pub usage: u64,
    pub inodes: u64,
    pub inodes_free: u64,
    pub reads_completed: u64,
    pub reads_merged: u64,
    pub sectors_read: u64,
    pub read_time: u64,
    pub writes_completed: u64,
    pub writes_merged: u64,
    pub sectors_written: u64,
    pub write_time: u64,
    pub io_in_progress: u64,
    pub io_time: u64,
    pub weighted_io_time: u64,
    /// When `usage` was measured, where that is not the time of the page.
    #[serde(skip)]
    pub measured_ms: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Tasks {
    pub nr_sleeping: u64,
    pub nr_running: u64,
    pub nr_stopped: u64,
    pub nr_uninterruptible: u64,
    pub nr_io_wait: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Processes {
    pub process_count: u64,
    pub fd_count: u64,
    pub socket_count: u64,
    pub threads_current: u64,
    /// 0: no limit.
    pub threads_max: u64,
    pub ulimits: Vec<Ulimit>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ulimit {
    pub name: String,
    /// -1: unlimited.
    pub soft_limit: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CustomMetric {
    pub labels: BTreeMap<String, String>,
    pub float_value: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PerfStat {
    pub scaling_ratio: f64,
    pub value: u64,
    pub name: String,
    pub cpu: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PerfUncoreStat {
    pub scaling_ratio: f64,
    pub value: u64,
    pub name: String,
    pub socket: u32,
    pub pmu: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resctrl {
    /// By NUMA node.
    pub memory_bandwidth: Vec<MemoryBandwidth>,
    pub cache: Vec<CacheOccupancy>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemoryBandwidth {
    #[serde(rename = "mbm_total_bytes")]
    pub total_bytes: u64,
    #[serde(rename = "mbm_local_bytes")]
    pub local_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CacheOccupancy {
    pub llc_occupancy: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cpuset {
    pub memory_migrate: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `healthy`, `unhealthy`, `starting`; empty: there is no health check.
    pub status: String,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Machine {
    #[serde(rename = "timestamp", deserialize_with = "time")]
    pub timestamp_ms: Option<i64>,
    pub num_cores: u64,
    pub num_physical_cores: u64,
    pub num_sockets: u64,
    pub num_books: u64,
    pub num_drawers: u64,
    pub memory_capacity: u64,
    pub swap_capacity: u64,
    pub memory_by_type: BTreeMap<String, MemoryModules>,
    pub nvm: Nvm,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub topology: Vec<Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct MemoryModules {
    pub capacity: u64,
    pub dimm_count: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Nvm {
    pub memory_mode_capacity: u64,
    #[serde(rename = "app direct_mode_capacity")]
    pub app_direct_mode_capacity: u64,
    pub avg_power_budget: u64,
}

/// A NUMA node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    pub node_id: u64,
    pub memory: u64,
    #[serde(deserialize_with = "null_is_empty")]
    pub hugepages: Vec<HugePages>,
    #[serde(deserialize_with = "null_is_empty")]
    pub cores: Vec<Core>,
    #[serde(deserialize_with = "null_is_empty")]
    pub caches: Vec<Cache>,
    #[serde(deserialize_with = "null_is_empty")]
    pub distances: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HugePages {
    /// KiB.
    pub page_size: u64,
    pub num_pages: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Core {
    pub core_id: u64,
    pub thread_ids: Vec<u64>,
    #[serde(deserialize_with = "null_is_empty")]
    pub caches: Vec<Cache>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cache {
    pub size: u64,
    #[serde(rename = "type")]
    pub kind: String,
    pub level: u64,
}

/// What `cadvisor_version_info` shows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Version {
    pub kernel_version: String,
    pub container_os_version: String,
    pub docker_version: String,
    pub cadvisor_version: String,
    pub cadvisor_revision: String,
}

/// An RFC 3339 time as milliseconds; Go's zero time and nonsense are `None`.
pub fn parse_time(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    (time.as_second() > -62_135_596_800).then(|| time.as_millisecond())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| parse_time(&text)))
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
