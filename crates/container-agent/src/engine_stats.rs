//! Numbers as the engine tells them, for hosts whose cgroups cannot be read: less than the kernel
//! knows (no pressure, no swap or peak on version 2, no root), and dear for the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    ContainerBlkioStatEntry, ContainerBlkioStats, ContainerCpuStats, ContainerMemoryStats,
    ContainerStatsResponse,
};
use bollard::query_parameters::StatsOptions;
use futures::StreamExt;
use parking_lot::RwLock;

use crate::cgroup::{add_operation, memory_stat};
use crate::identity::Identity;
use crate::info::{Cpu, DiskIo, Interface, Memory, Network, PerDisk, Processes, Stats};

/// Containers asked about at a time.
const AT_A_TIME: usize = 8;
/// How long a page waits for the engines; what was not told by then is not on it.
const DEADLINE: Duration = Duration::from_secs(8);

/// The engines that are being followed.
#[derive(Debug, Default)]
pub struct Engines {
    clients: RwLock<HashMap<String, Docker>>,
}

/// What an engine told of one of its containers.
pub type Told = (Arc<Identity>, Stats);

impl Engines {
    /// Notes that an engine answers.
    pub fn set(&self, address: &str, client: Docker) {
        self.clients.write().insert(address.to_owned(), client);
    }

    /// Asks about these containers.
    pub async fn ask(&self, running: Vec<Arc<Identity>>) -> Vec<Told> {
        let clients: Vec<Docker> = self.clients.read().values().cloned().collect();
        let clients = &clients;
        let asked = running.into_iter().map(|identity| async move {
            for client in clients {
                let options = StatsOptions {
                    stream: false,
                    one_shot: true,
                };
                let mut answers = std::pin::pin!(client.stats(&identity.id, Some(options)));
                if let Some(Ok(answer)) = answers.next().await {
                    return Some((identity, stats(answer)));
                }
            }
            None
        });
        let answers = futures::stream::iter(asked).buffer_unordered(AT_A_TIME);
        let until = tokio::time::sleep(DEADLINE);
        let answers = answers.take_until(until).filter_map(std::future::ready);
        answers.collect().await
    }
}

fn stats(answer: ContainerStatsResponse) -> Stats {
    let pids = answer.pids_stats.unwrap_or_default();
    let mut networks: Vec<_> = answer.networks.unwrap_or_default().into_iter().collect();
    networks.sort_by(|(a, _), (b, _)| a.cmp(b));
    let interfaces = networks.into_iter().map(|(name, n)| Interface {
        name,
        rx_bytes: n.rx_bytes.unwrap_or(0),
        rx_packets: n.rx_packets.unwrap_or(0),
        rx_errors: n.rx_errors.unwrap_or(0),
        rx_dropped: n.rx_dropped.unwrap_or(0),
        tx_bytes: n.tx_bytes.unwrap_or(0),
        tx_packets: n.tx_packets.unwrap_or(0),
        tx_errors: n.tx_errors.unwrap_or(0),
        tx_dropped: n.tx_dropped.unwrap_or(0),
    });
    let interfaces: Vec<Interface> = interfaces.collect();
    Stats {
        cpu: Some(cpu(answer.cpu_stats.unwrap_or_default())),
        memory: Some(memory(answer.memory_stats.unwrap_or_default())),
        disk_io: Some(disk_io(answer.blkio_stats.unwrap_or_default())),
        network: (!interfaces.is_empty()).then(|| Network {
            interfaces,
            ..Network::default()
        }),
        processes: Some(Processes {
            threads_current: pids.current.unwrap_or(0),
            threads_max: pids.limit.filter(|max| *max != u64::MAX).unwrap_or(0),
            ..Processes::default()
        }),
        ..Stats::default()
    }
}

fn cpu(stats: ContainerCpuStats) -> Cpu {
    let usage = stats.cpu_usage.unwrap_or_default();
    let throttling = stats.throttling_data.unwrap_or_default();
    let mut cpu = Cpu::default();
    cpu.usage.total = usage.total_usage.unwrap_or(0);
    cpu.usage.user = usage.usage_in_usermode.unwrap_or(0);
    cpu.usage.system = usage.usage_in_kernelmode.unwrap_or(0);
    cpu.usage.per_cpu_usage = usage.percpu_usage.unwrap_or_default();
    cpu.cfs.periods = throttling.periods.unwrap_or(0);
    cpu.cfs.throttled_periods = throttling.throttled_periods.unwrap_or(0);
    cpu.cfs.throttled_time = throttling.throttled_time.unwrap_or(0);
    cpu
}

fn memory(stats: ContainerMemoryStats) -> Memory {
    let mut memory = Memory {
        usage: stats.usage.unwrap_or(0),
        max_usage: stats.max_usage.unwrap_or(0),
        failcnt: stats.failcnt.unwrap_or(0),
        ..Memory::default()
    };
    let lines = stats.stats.unwrap_or_default();
    // Version 1 says `total_rss` and `rss`, version 2 `anon`.
    let version = if lines.contains_key("anon") { 2 } else { 1 };
    let lines = lines.iter().map(|(key, value)| (key.as_str(), *value));
    memory_stat(version, lines, true, &mut memory);
    memory.working_set = memory.usage.saturating_sub(memory.total_inactive_file);
    memory
}

fn disk_io(stats: ContainerBlkioStats) -> DiskIo {
    DiskIo {
        io_service_bytes: operations(stats.io_service_bytes_recursive),
        io_serviced: operations(stats.io_serviced_recursive),
        io_queued: operations(stats.io_queue_recursive),
        sectors: operations(stats.sectors_recursive),
        io_service_time: operations(stats.io_service_time_recursive),
        io_merged: operations(stats.io_merged_recursive),
        ..DiskIo::default()
    }
}

fn operations(entries: Option<Vec<ContainerBlkioStatEntry>>) -> Vec<PerDisk> {
    let mut disks = Vec::new();
    for entry in entries.unwrap_or_default() {
        let (Some(major), Some(minor), Some(value)) = (entry.major, entry.minor, entry.value)
        else {
            continue;
        };
        // `Read`, or `read` from version 2.
        let operation = entry.op.unwrap_or_default();
        let mut letters = operation.chars();
        let first = letters
            .next()
            .map_or('T', |first| first.to_ascii_uppercase());
        let operation = format!("{first}{}", letters.as_str());
        add_operation(&mut disks, major, minor, &operation, value);
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Stats {
        stats(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_an_engine_on_version_1_tells() {
        let stats = of(
            r#"{"cpu_stats":{"cpu_usage":{"total_usage":9,"percpu_usage":[4,5],"usage_in_kernelmode":2,
            "usage_in_usermode":7},"throttling_data":{"periods":3,"throttled_periods":1,"throttled_time":8}},
            "memory_stats":{"usage":100,"max_usage":120,"failcnt":1,"stats":{"rss":1,"total_rss":11,"total_cache":22,"total_inactive_file":30}},
            "blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"Read","value":5},{"major":8,"minor":0,"op":"Write","value":6}]},
            "networks":{"eth0":{"rx_bytes":1,"tx_dropped":2}},"pids_stats":{"current":2,"limit":18446744073709551615}}"#,
        );
        let cpu = stats.cpu.unwrap();
        assert_eq!(
            (cpu.usage.total, cpu.usage.user, cpu.usage.system),
            (9, 7, 2)
        );
        assert_eq!(cpu.usage.per_cpu_usage, [4, 5]);
        assert_eq!((cpu.cfs.periods, cpu.cfs.throttled_time), (3, 8));
        let memory = stats.memory.unwrap();
        assert_eq!(
            (memory.usage, memory.max_usage, memory.working_set),
            (100, 120, 70)
        );
        assert_eq!((memory.rss, memory.cache), (11, 22));
        let disk = &stats.disk_io.unwrap().io_service_bytes[0];
        assert_eq!(
            (disk.major, disk.stats["Read"], disk.stats["Write"]),
            (8, 5, 6)
        );
        let network = stats.network.unwrap();
        assert_eq!(network.interfaces[0].tx_dropped, 2);
        let processes = stats.processes.unwrap();
        assert_eq!((processes.threads_current, processes.threads_max), (2, 0));
    }

    #[test]
    fn what_an_engine_on_version_2_tells() {
        let stats = of(
            r#"{"memory_stats":{"usage":100,"stats":{"anon":10,"file":20,"inactive_file":200}},
            "blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"read","value":5}],"io_serviced_recursive":null}}"#,
        );
        let memory = stats.memory.unwrap();
        assert_eq!((memory.rss, memory.cache, memory.working_set), (10, 20, 0));
        assert_eq!(stats.disk_io.unwrap().io_service_bytes[0].stats["Read"], 5);
        assert_eq!(stats.network, None);
        assert_eq!(of("{}").memory.unwrap(), Memory::default());
    }
}
