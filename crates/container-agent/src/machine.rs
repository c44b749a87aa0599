//! What is known of the machine: `/proc`, `/sys`, `/etc` under a root path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cgroup::Files;
use crate::info::{Cache, Core, HugePages, Machine, Node, Version};

/// Where the host's files are: below `/`, or `/rootfs` in a container that has them there.
#[derive(Debug, Clone)]
pub struct Host {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub root: PathBuf,
}

impl Host {
    /// The host's files below `root`.
    pub fn below(root: &Path) -> Host {
        Host {
            proc: root.join("proc"),
            sys: root.join("sys"),
            root: root.to_owned(),
        }
    }

    /// `/rootfs` where it has a `/proc`, as upstream's documentation mounts it, else `/`.
    pub fn find() -> Host {
        let mounted = Path::new("/rootfs");
        if mounted.join("proc/stat").exists() {
            Host::below(mounted)
        } else {
            Host::below(Path::new("/"))
        }
    }

    /// A text below the host's root, without its final line feed; empty where it is not there.
    pub fn text(&self, path: &str) -> String {
        let text = std::fs::read(self.root.join(path.trim_start_matches('/'))).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// When the machine was started.
    pub fn boot_ms(&self) -> Option<i64> {
        let stat = std::fs::read_to_string(self.proc.join("stat")).ok()?;
        let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        seconds.trim().parse::<i64>().ok()?.checked_mul(1000)
    }

    /// `/proc/meminfo` in bytes.
    pub fn meminfo(&self) -> BTreeMap<String, u64> {
        let text = std::fs::read_to_string(self.proc.join("meminfo")).unwrap_or_default();
        meminfo(&text)
    }
}

fn meminfo(text: &str) -> BTreeMap<String, u64> {
    let entries = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some((key.to_owned(), kib.saturating_mul(1024)))
    });
    entries.collect()
}

/// Reads the machine. `ids`: files of machine id and boot id, the first that is there of each, as the
/// flags name them. The topology costs hundreds of small files and is read only where wanted.
pub fn read(host: &Host, machine_id: &str, boot_id: &str, topology: bool) -> Machine {
    let first = |files: &str| {
        let mut texts = files.split(',').map(|file| host.text(file));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let cpuinfo = std::fs::read_to_string(host.proc.join("cpuinfo")).unwrap_or_default();
    let (num_cores, num_physical_cores, num_sockets) = processors(&cpuinfo);
    let memory = host.meminfo();
    let capacity = |key: &str| memory.get(key).copied().unwrap_or(0);
    Machine {
        timestamp_ms: None,
        num_cores,
        num_physical_cores,
        num_sockets,
        memory_capacity: capacity("MemTotal"),
        swap_capacity: capacity("SwapTotal"),
        machine_id: first(machine_id),
        boot_id: first(boot_id),
        system_uuid: system_uuid(host),
        topology: if topology { nodes(host) } else { Vec::new() },
        ..Machine::default()
    }
}

/// The kernel and the distribution.
pub fn version(host: &Host) -> Version {
    let release = host.text("etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    Version {
        kernel_version: host.text("proc/sys/kernel/osrelease"),
        container_os_version: name.unwrap_or_default().trim_matches('"').to_owned(),
        cadvisor_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Version::default()
    }
}

fn system_uuid(host: &Host) -> String {
    let places = [
        "sys/class/dmi/id/product_uuid",
        "proc/device-tree/system-id",
        "proc/device-tree/vm,uuid",
        "etc/machine-id",
    ];
    let mut texts = places.into_iter().map(|place| host.text(place));
    let text = texts.find(|text| !text.is_empty()).unwrap_or_default();
    text.trim_end_matches('\0').to_owned()
}

/// Threads, cores and sockets of `/proc/cpuinfo`; architectures that do not name the latter two have a
/// core for each thread and one socket.
fn processors(cpuinfo: &str) -> (u64, u64, u64) {
    let (mut threads, mut cores, mut sockets) = (0, BTreeSet::new(), BTreeSet::new());
    let mut socket = "0";
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "processor" => threads += 1,
            "physical id" => {
                socket = value.trim();
                sockets.insert(socket);
            }
            "core id" => {
                cores.insert((socket, value.trim()));
            }
            _ => {}
        }
    }
    let cores = if cores.is_empty() {
        threads
    } else {
        cores.len() as u64
    };
    (threads, cores, (sockets.len() as u64).max(1))
}

fn nodes(host: &Host) -> Vec<Node> {
    let base = host.sys.join("devices/system/node");
    let mut nodes = Vec::new();
    for name in Files::new(base.clone()).names() {
        let Some(Ok(node_id)) = name.strip_prefix("node").map(str::parse) else {
            continue;
        };
        let files = Files::new(base.join(&name));
        // `Node 0 MemTotal:  33604804608 kB`
        let memory = files.text("meminfo").unwrap_or_default();
        let total = memory.lines().find_map(|line| line.split_once("MemTotal:"));
        let total = total.and_then(|(_, rest)| rest.trim().strip_suffix("kB")?.trim().parse().ok());
        let mut node = Node {
            node_id,
            memory: total.map_or(0, |kib: u64| kib.saturating_mul(1024)),
            distances: numbers(&files.text("distance").unwrap_or_default()),
            ..Node::default()
        };
        let sizes = base.join(&name).join("hugepages");
        for size in Files::new(sizes.clone()).names() {
            let page_size = size
                .strip_prefix("hugepages-")
                .and_then(|s| s.strip_suffix("kB"));
            if let Some(Ok(page_size)) = page_size.map(str::parse) {
                let files = Files::new(sizes.join(&size));
                node.hugepages.push(HugePages {
                    page_size,
                    num_pages: files.number("nr_hugepages").unwrap_or(0),
                });
            }
        }
        for cpu in list(&files.text("cpulist").unwrap_or_default()) {
            add_thread(host, &mut node, cpu);
        }
        nodes.push(node);
    }
    nodes.sort_by_key(|node| node.node_id);
    nodes
}

fn add_thread(host: &Host, node: &mut Node, cpu: u64) {
    let base = host.sys.join(format!("devices/system/cpu/cpu{cpu}"));
    let core_id = Files::new(base.join("topology"))
        .number("core_id")
        .unwrap_or(cpu);
    if let Some(core) = node.cores.iter_mut().find(|core| core.core_id == core_id) {
        core.thread_ids.push(cpu);
        return;
    }
    let mut core = Core {
        core_id,
        thread_ids: vec![cpu],
        ..Core::default()
    };
    let caches = base.join("cache");
    for index in Files::new(caches.clone()).names() {
        let files = Files::new(caches.join(&index));
        let text = |file| files.text(file).unwrap_or_default().trim().to_owned();
        let (Some(size), Some(level)) = (size(&text("size")), files.number("level")) else {
            continue;
        };
        let cache = Cache {
            size,
            kind: text("type"),
            level,
        };
        // What more than one core shares belongs to the node, once.
        let threads = list(&text("shared_cpu_list")).len();
        match threads > 2 {
            true if !node.caches.contains(&cache) => node.caches.push(cache),
            true => {}
            false => core.caches.push(cache),
        }
    }
    node.cores.push(core);
}

/// `32K`, `8M`
fn size(text: &str) -> Option<u64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = match &text[at..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(unit)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// `0-3,8`; a range longer than any machine is nonsense.
fn list(text: &str) -> Vec<u64> {
    let mut out = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>())
            && last.checked_sub(first).is_some_and(|count| count < 65_536)
        {
            out.extend(first..=last);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo() {
        let two = "processor\t: 0\nphysical id\t: 0\ncore id\t: 0\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t: 0\n\nprocessor\t: 2\nphysical id\t: 1\ncore id\t: 0\n";
        assert_eq!(processors(two), (3, 2, 2));
        assert_eq!(processors("processor : 0\nprocessor : 1\n"), (2, 2, 1));
        assert_eq!(processors(""), (0, 0, 1));
    }

    #[test]
    fn a_machine_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "proc/meminfo",
            "MemTotal:  2 kB\nSwapTotal: 1 kB\nHugePages_Total: 0\n",
        );
        write("etc/machine-id", "abc\n");
        write("proc/stat", "cpu 1\nbtime 12\n");
        write(
            "sys/devices/system/node/node0/meminfo",
            "Node 0 MemTotal: 4 kB\n",
        );
        write("sys/devices/system/node/node0/cpulist", "0-1\n");
        write("sys/devices/system/node/node0/distance", "10 20\n");
        write(
            "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
            "3\n",
        );
        for cpu in 0..2 {
            write(
                &format!("sys/devices/system/cpu/cpu{cpu}/topology/core_id"),
                "5\n",
            );
        }
        write("sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n");
        write("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
        write("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
        let host = Host::below(dir.path());
        let machine = read(&host, "/etc/none,/etc/machine-id", "/none", true);
        assert_eq!(
            (machine.memory_capacity, machine.swap_capacity),
            (2048, 1024)
        );
        assert_eq!(
            (machine.machine_id.as_str(), machine.boot_id.as_str()),
            ("abc", "")
        );
        let node = &machine.topology[0];
        assert_eq!(
            (node.memory, node.distances.as_slice()),
            (4096, [10, 20].as_slice())
        );
        assert_eq!(node.hugepages[0].num_pages, 3);
        assert_eq!(node.cores[0].thread_ids, [0, 1]);
        assert_eq!(node.cores[0].caches[0].size, 32_768);
        assert_eq!(host.boot_ms(), Some(12_000));
        assert_eq!(list("0-1,4,x,9-8"), [0, 1, 4]);
    }
}
