//! Puts a page together: the cgroups there are, who they are, what the kernel says of them now.
//!
//! Everything but what containers fill of their file systems is read when a page is asked for. Between pages only the engine's events do something:
//! a container that starts or ends is looked at once, so that one which nobody saw alive is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use exposition::{Family, Value, Writer};
use parking_lot::Mutex;

use crate::cgroup::{Cgroups, read_file};
use crate::engine_stats::Told;
use crate::filesystems::{host, usage::Usages};
use crate::groups::{Group, Groups};
use crate::identity::{Identities, Identity, id_of};
use crate::info::{
    Container, DiskIo, Filesystem, Machine, Network, PerDisk, Schedstat, Spec, Stats,
};
use crate::labels::LabelPolicy;
use crate::machine::{self, Host};
use crate::metrics::{self, Page};
use crate::proc;

/// What the flags say.
#[derive(Debug, Clone)]
pub struct Config {
    pub groups: Groups,
    pub labels: LabelPolicy,
    /// Of other cgroups than containers' only the root and those below `raw_prefixes`.
    pub docker_only: bool,
    pub raw_prefixes: Vec<String>,
    pub root_stats: bool,
    /// How long containers are shown that came and went between two pages.
    pub storage_duration: Duration,
    /// Files, separated by commas.
    pub machine_id_files: String,
    pub boot_id_files: String,
}

/// Reads containers and machine.
pub struct Agent {
    config: Config,
    /// `None`: they cannot be read, and engines are asked instead.
    cgroups: Option<Cgroups>,
    host: Host,
    identities: Arc<Identities>,
    /// What containers fill of their file systems; `None` where nobody wants to know.
    usages: Option<Arc<Usages>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    machine: Option<(i64, Machine)>,
    /// The containers of the last page, by cgroup.
    shown: HashSet<String>,
    /// Containers that started after the last page, with what was read of them last.
    unseen: BTreeMap<String, Unseen>,
    sched: HashMap<String, Sched>,
}

struct Unseen {
    container: Container,
    id: String,
    seen_ms: i64,
}

/// Scheduling times of a cgroup's processes; those of processes that ended still count.
#[derive(Default)]
struct Sched {
    alive: HashMap<u32, Schedstat>,
    ended: Schedstat,
}

/// How long the machine is taken to stay as it is.
const MACHINE_MS: i64 = 5 * 60 * 1000;

impl Agent {
    /// An agent that reads these cgroups.
    pub fn new(
        config: Config,
        cgroups: Option<Cgroups>,
        host: Host,
        identities: Arc<Identities>,
        usages: Option<Arc<Usages>>,
    ) -> Agent {
        Agent {
            config,
            cgroups,
            host,
            identities,
            usages,
            state: Mutex::default(),
        }
    }

    /// Writes the page at the time `now_ms`, without the program's own metrics. `told` is what engines
    /// say of their containers; it counts where there are no cgroups.
    pub fn write(&self, now_ms: i64, told: &[Told], writer: &mut Writer) {
        let mut state = self.state.lock();
        // Copied: whoever reads the page slowly must not keep events waiting.
        let machine = self.machine(&mut state, now_ms).clone();
        let collected = match &self.cgroups {
            Some(cgroups) => self.collect(&mut state, cgroups, now_ms),
            None => Ok(self.collect_told(&mut state, told, now_ms)),
        };
        let (containers, failed) = match collected {
            Ok(containers) => (containers, false),
            Err(error) => {
                tracing::warn!(err = %error, "Couldn't get containers");
                (Vec::new(), true)
            }
        };
        drop(state);
        let mut version = machine::version(&self.host);
        version.docker_version = self.identities.engine_version();
        let page = Page {
            containers: &containers,
            version: &version,
            groups: self.config.groups,
            labels: &self.config.labels,
            failed,
            now_ms,
        };
        metrics::write(&page, writer);
        metrics::write_machine(&machine, machine.memory_capacity == 0, writer);
    }

    fn machine<'s>(&self, state: &'s mut State, now_ms: i64) -> &'s Machine {
        let fresh = |(read_ms, _): &(i64, Machine)| (0..MACHINE_MS).contains(&(now_ms - read_ms));
        let kept = state.machine.take().filter(fresh);
        let (_, machine) = state.machine.insert(kept.unwrap_or_else(|| {
            let config = &self.config;
            let topology = config.groups.has(Group::CpuTopology);
            let (machine_id, boot_id) = (&config.machine_id_files, &config.boot_id_files);
            (
                now_ms,
                machine::read(&self.host, machine_id, boot_id, topology),
            )
        }));
        machine.timestamp_ms = Some(now_ms);
        machine
    }

    /// All containers now, and those nobody saw.
    fn collect(
        &self,
        state: &mut State,
        cgroups: &Cgroups,
        now_ms: i64,
    ) -> Result<Vec<Container>, crate::cgroup::Error> {
        let paths = cgroups.list()?;
        let boot_ms = self.host.boot_ms();
        let mut containers = Vec::new();
        for path in &paths {
            let identity = id_of(path).and_then(|id| self.identities.get(id));
            if identity.is_none() && !self.is_wanted(path) {
                continue;
            }
            let Some(container) = self.read(state, path, identity.as_deref(), now_ms, boot_ms)
            else {
                continue;
            };
            containers.push(container);
        }
        state.sched.retain(|path, _| paths.contains(path));
        self.complete(state, &mut containers, paths, now_ms);
        Ok(containers)
    }

    /// The same from what engines tell.
    fn collect_told(&self, state: &mut State, told: &[Told], now_ms: i64) -> Vec<Container> {
        let mut containers = Vec::new();
        let mut paths = BTreeSet::new();
        for (identity, stats) in told {
            let path = format!("/docker/{}", identity.id);
            let mut container = Container {
                name: path.clone(),
                ..Container::default()
            };
            let spec = &mut container.spec;
            (spec.has_cpu, spec.has_memory) = (true, true);
            (spec.cpu, spec.memory) = (identity.cpu.clone(), identity.memory.clone());
            let mut stats = stats.clone();
            complete_container(&mut container, &mut stats, identity, now_ms);
            container.stats.push(stats);
            containers.push(container);
            paths.insert(path);
        }
        self.complete(state, &mut containers, paths, now_ms);
        containers
    }

    /// What a page has beyond single cgroups: file systems, names of devices, containers nobody saw.
    fn complete(
        &self,
        state: &mut State,
        containers: &mut Vec<Container>,
        paths: BTreeSet<String>,
        now_ms: i64,
    ) {
        if self.config.groups.any(&[Group::Disk, Group::DiskIo]) {
            self.add_filesystems(containers);
        }
        let mut devices = Devices::new(&self.host);
        for container in containers.iter_mut() {
            let stats = container.stats.first_mut();
            devices.name(stats.and_then(|stats| stats.disk_io.as_mut()));
        }
        if let Some(usages) = &self.usages {
            usages.asked(now_ms);
        }
        self.forget(state, now_ms);
        state.unseen.retain(|path, _| !paths.contains(path));
        containers.extend(state.unseen.values().map(|unseen| unseen.container.clone()));
        state.shown = paths.into_iter().collect();
    }

    /// The root has the host's file systems; a container the one it writes to, with what it fills of
    /// it. As upstream shows it, all inodes of a container are in use, and the counters are the device's.
    fn add_filesystems(&self, containers: &mut [Container]) {
        let filesystems = host::of_host(&self.host);
        for container in containers {
            let Some(stats) = container.stats.first_mut() else {
                continue;
            };
            if container.name == "/" {
                stats.filesystem.clone_from(&filesystems);
            }
            let id = container.aliases.get(1);
            let usage = id.and_then(|id| self.usages.as_ref()?.of(id));
            let Some(usage) = usage else { continue };
            let on_it = filesystems.iter().find(|fs| fs.device == usage.device);
            stats.filesystem.extend(on_it.map(|filesystem| Filesystem {
                usage: usage.bytes,
                inodes: usage.inodes,
                inodes_free: 0,
                measured_ms: Some(usage.measured_ms),
                ..filesystem.clone()
            }));
        }
    }

    /// Whether a cgroup is shown that is no container's.
    fn is_wanted(&self, path: &str) -> bool {
        !self.config.docker_only
            || path == "/"
            || self
                .config
                .raw_prefixes
                .iter()
                .any(|prefix| path.starts_with(prefix))
    }

    fn read(
        &self,
        state: &mut State,
        path: &str,
        identity: Option<&Identity>,
        now_ms: i64,
        boot_ms: Option<i64>,
    ) -> Option<Container> {
        let groups = self.config.groups;
        let cgroups = self.cgroups.as_ref()?;
        let (spec, mut stats) = cgroups.read(path, groups)?;
        // Of a container the engine knows it; others are as old as their files, but for the root,
        // whose files may be older than the machine's start.
        let created_ms = match identity.and_then(|identity| identity.created_ms) {
            None => cgroups.created_ms(path).max(boot_ms),
            created_ms => created_ms,
        };
        let mut container = Container {
            name: path.to_owned(),
            spec: Spec {
                creation_ms: created_ms,
                ..spec
            },
            ..Container::default()
        };
        let mut pid = 0;
        stats.timestamp_ms = Some(now_ms);
        if let Some(identity) = identity {
            complete_container(&mut container, &mut stats, identity, now_ms);
            pid = identity.pid;
        }
        if path == "/" {
            pid = 1;
            self.complete_root(&mut container, &mut stats);
        }
        let joins = identity.is_some_and(|identity| identity.joins_network);
        if pid > 0 && !joins {
            stats.network = Some(self.network(pid));
        }
        if groups.has(Group::Process)
            && let Some(processes) = &mut stats.processes
        {
            let pids = cgroups.processes(path);
            processes.process_count = pids.len() as u64;
            for pid in pids {
                let (descriptors, sockets) = self.descriptors(pid);
                processes.fd_count += descriptors;
                processes.socket_count += sockets;
            }
            if pid > 0 {
                processes.ulimits = proc::limits(&self.proc_text(pid, "limits"));
            }
        }
        if groups.has(Group::Sched)
            && let Some(cpu) = &mut stats.cpu
        {
            cpu.schedstat = self.schedstat(state, path, cgroups);
        }
        if path != "/" || self.config.root_stats {
            container.stats.push(stats);
        }
        Some(container)
    }

    /// The root's memory where its cgroup has none to tell (version 2), and the machine's limits.
    fn complete_root(&self, container: &mut Container, stats: &mut Stats) {
        let meminfo = self.host.meminfo();
        let value = |key: &str| meminfo.get(key).copied().unwrap_or(0);
        container.spec.has_memory = true;
        container.spec.memory.limit = value("MemTotal");
        container.spec.memory.swap_limit = value("SwapTotal");
        if self.version() == 2
            && let Some(memory) = &mut stats.memory
            && memory.usage == 0
        {
            memory.usage = value("MemTotal").saturating_sub(value("MemFree"));
            memory.swap = value("SwapTotal").saturating_sub(value("SwapFree"));
            memory.working_set = memory.usage.saturating_sub(memory.total_inactive_file);
        }
    }

    /// Of the cgroups.
    fn version(&self) -> u8 {
        self.cgroups.as_ref().map_or(2, Cgroups::version)
    }

    fn proc_text(&self, pid: u32, file: &str) -> String {
        let path = self.host.proc.join(pid.to_string()).join(file);
        read_file(&path).unwrap_or_default()
    }

    fn network(&self, pid: u32) -> Network {
        let groups = self.config.groups;
        let mut network = Network::default();
        if groups.has(Group::Network) {
            let text = self.proc_text(pid, "net/dev");
            network.interfaces = proc::net_dev(&text).unwrap_or_default();
        }
        if groups.has(Group::Tcp) {
            network.tcp = proc::tcp(&self.proc_text(pid, "net/tcp"));
            network.tcp6 = proc::tcp(&self.proc_text(pid, "net/tcp6"));
        }
        if groups.has(Group::Udp) {
            network.udp = proc::udp(&self.proc_text(pid, "net/udp"));
            network.udp6 = proc::udp(&self.proc_text(pid, "net/udp6"));
        }
        if groups.has(Group::AdvancedTcp) {
            for file in ["net/netstat", "net/snmp"] {
                proc::advanced_tcp(&self.proc_text(pid, file), &mut network.tcp_advanced);
            }
        }
        network
    }

    /// Open files of a process, and how many of them are sockets.
    fn descriptors(&self, pid: u32) -> (u64, u64) {
        let directory = self.host.proc.join(pid.to_string()).join("fd");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.fold((0, 0), |(all, sockets), entry| {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let is_socket = target.to_string_lossy().starts_with("socket");
            (all + 1, sockets + u64::from(is_socket))
        })
    }

    fn schedstat(&self, state: &mut State, path: &str, cgroups: &Cgroups) -> Schedstat {
        let sched = state.sched.entry(path.to_owned()).or_default();
        let mut alive = HashMap::new();
        for pid in cgroups.processes(path) {
            let now = proc::schedstat(&self.proc_text(pid, "schedstat"));
            if let Some(value) = now.or_else(|| sched.alive.get(&pid).copied()) {
                alive.insert(pid, value);
            }
        }
        for (pid, last) in &sched.alive {
            if !alive.contains_key(pid) {
                add(&mut sched.ended, last);
            }
        }
        let mut sum = sched.ended;
        alive.values().for_each(|value| add(&mut sum, value));
        sched.alive = alive;
        sum
    }

    /// Looks at a container that has just started, or is about to end, unless a page has shown it.
    pub fn observe(&self, identity: &Identity, now_ms: i64) {
        let mut state = self.state.lock();
        let known = state
            .unseen
            .iter()
            .find(|(_, unseen)| unseen.id == identity.id);
        let path = match known {
            Some((path, _)) => path.clone(),
            None => self.path_of(&state, identity),
        };
        if state.shown.contains(&path) {
            return;
        }
        let boot_ms = self.host.boot_ms();
        let read = self.read(&mut state, &path, Some(identity), now_ms, boot_ms);
        let container = match (read, state.unseen.get_mut(&path)) {
            (Some(mut container), _) => {
                let io = container
                    .stats
                    .first_mut()
                    .and_then(|stats| stats.disk_io.as_mut());
                Devices::new(&self.host).name(io);
                container
            }
            // Gone already: what was read last stays, from now on for as long as it may.
            (None, Some(unseen)) => {
                unseen.seen_ms = now_ms;
                return;
            }
            (None, None) => nameless(&path, identity, now_ms),
        };
        let unseen = Unseen {
            container,
            id: identity.id.clone(),
            seen_ms: now_ms,
        };
        state.unseen.insert(path, unseen);
        // Where nobody asks for pages, nothing piles up.
        self.forget(&mut state, now_ms);
    }

    /// Drops what was last seen too long ago.
    fn forget(&self, state: &mut State, now_ms: i64) {
        let keep_ms = self.config.storage_duration.as_millis() as i64;
        state
            .unseen
            .retain(|_, unseen| now_ms.saturating_sub(unseen.seen_ms) <= keep_ms);
    }

    /// Where a container's cgroup is: its process knows; one that has ended is beside the others.
    fn path_of(&self, state: &State, identity: &Identity) -> String {
        if identity.pid > 0 {
            let text = self.proc_text(identity.pid, "cgroup");
            let path = proc::cgroup_path(&text, self.version());
            if let Some(path) = path.filter(|path| id_of(path) == Some(&identity.id)) {
                return path.to_owned();
            }
        }
        let sibling = state
            .shown
            .iter()
            .find_map(|path| Some((path, id_of(path)?)));
        match sibling {
            Some((path, id)) => path.replace(id, &identity.id),
            None => format!("/docker/{}", identity.id),
        }
    }
}

fn add(sum: &mut Schedstat, value: &Schedstat) {
    sum.run_time = sum.run_time.wrapping_add(value.run_time);
    sum.runqueue_time = sum.runqueue_time.wrapping_add(value.runqueue_time);
    sum.run_periods = sum.run_periods.wrapping_add(value.run_periods);
}

/// What the engine says of a container beside numbers.
fn complete_container(
    container: &mut Container,
    stats: &mut Stats,
    identity: &Identity,
    now_ms: i64,
) {
    identify(container, identity);
    stats.timestamp_ms = Some(now_ms);
    stats.health.status.clone_from(&identity.health);
}

fn identify(container: &mut Container, identity: &Identity) {
    container.aliases = vec![identity.name.clone(), identity.id.clone()];
    let spec = &mut container.spec;
    spec.image = identity.image.clone();
    spec.labels = identity.labels.clone();
    spec.envs = identity.envs.clone();
    spec.creation_ms = identity.created_ms.or(spec.creation_ms);
    spec.start_ms = identity.started_ms;
}

/// A container that was gone before anything could be read.
fn nameless(path: &str, identity: &Identity, now_ms: i64) -> Container {
    let mut container = Container {
        name: path.to_owned(),
        ..Container::default()
    };
    identify(&mut container, identity);
    container.stats.push(Stats {
        timestamp_ms: Some(now_ms),
        ..Stats::default()
    });
    container
}

/// Names of block devices, looked up once a page.
struct Devices {
    directory: PathBuf,
    names: HashMap<(u64, u64), String>,
}

impl Devices {
    fn new(host: &Host) -> Devices {
        Devices {
            directory: host.sys.join("dev/block"),
            names: HashMap::new(),
        }
    }

    fn name(&mut self, io: Option<&mut DiskIo>) {
        let Some(io) = io else { return };
        let lists: [&mut Vec<PerDisk>; 10] = [
            &mut io.io_service_bytes,
            &mut io.io_serviced,
            &mut io.io_queued,
            &mut io.sectors,
            &mut io.io_service_time,
            &mut io.io_merged,
            &mut io.io_cost_usage,
            &mut io.io_cost_wait,
            &mut io.io_cost_indebt,
            &mut io.io_cost_indelay,
        ];
        for disk in lists.into_iter().flatten() {
            let (major, minor) = (disk.major, disk.minor);
            let directory = &self.directory;
            let name = self.names.entry((major, minor)).or_insert_with(|| {
                let number = format!("{major}:{minor}");
                let link = std::fs::read_link(directory.join(&number)).unwrap_or_default();
                match link.file_name().and_then(|name| name.to_str()) {
                    // Upstream does not count these among the disks.
                    Some(name) if !["loop", "ram", "sr"].iter().any(|p| name.starts_with(p)) => {
                        format!("/dev/{name}")
                    }
                    _ => number,
                }
            });
            disk.device.clone_from(name);
        }
    }
}

/// Writes the program's own families after the page.
pub fn write_families(families: &[Family], writer: &mut Writer) {
    for family in families {
        let help = family.help.as_deref().unwrap_or_default();
        writer.family(&family.name, help, family.kind);
        for metric in &family.metrics {
            match &metric.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                    writer.sample_at(&metric.labels, *value, metric.timestamp_ms);
                }
                Value::Summary(summary) => {
                    writer.summary(&metric.labels, summary);
                }
                Value::Histogram(histogram) => {
                    writer.histogram(&metric.labels, histogram);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
