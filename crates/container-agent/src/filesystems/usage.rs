//! How much each container has written to its file system: the size of its writable layer and of its
//! log, by walking over them. That happens in a thread of its own, never in a page, a few files at a
//! time with long pauses between, all containers in turns; and only while somebody asks for pages.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{Metadata, ReadDir};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::host::device_label;
use crate::identity::{Identities, Identity};
use crate::machine::Host;
use crate::now_ms;

/// Files looked at between two pauses.
const BATCH: usize = 256;
/// Of the time, one part is spent walking and this many are pauses: 0.5 % of a core at most.
const PAUSES: u32 = 199;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How old a measurement is at least before the next.
const FRESH_MS: i64 = 60_000;
/// Containers walked over at the same time.
const WALKS: usize = 16;
/// Files with several names that are remembered for one container, so that each counts once; further
/// ones count for every name.
const HARD_LINKS: usize = 65_536;

/// What a container fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The label of the file system that the writable layer lies on.
    pub device: String,
    /// Of the writable layer and the log, as allocated.
    pub bytes: u64,
    /// Of the writable layer.
    pub inodes: u64,
    pub measured_ms: i64,
}

/// The measurements, and the thread that makes them.
#[derive(Debug)]
pub struct Usages {
    host: Host,
    identities: Arc<Identities>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<String, Outcome>,
    /// Labels of this round's devices: finding one out means reading all mounts.
    devices: HashMap<u64, Option<String>>,
    /// When a page was asked for last.
    asked_ms: i64,
    /// Whether something happened since the thread looked.
    woken: bool,
    complained: bool,
}

/// The last attempt, and what the last successful one found.
#[derive(Debug)]
struct Outcome {
    tried_ms: i64,
    usage: Option<Usage>,
}

impl Usages {
    /// No measurements yet.
    pub fn new(host: Host, identities: Arc<Identities>) -> Usages {
        Usages {
            host,
            identities,
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// What was measured last of a container.
    pub fn of(&self, id: &str) -> Option<Usage> {
        self.state.lock().by_id.get(id)?.usage.clone()
    }

    /// Says that a page is being made: what is old will be measured again.
    pub fn asked(&self, now_ms: i64) {
        let mut state = self.state.lock();
        state.asked_ms = now_ms;
        state.woken = true;
        self.wake.notify_one();
    }

    /// Says that there are other containers than before.
    pub fn changed(&self) {
        self.state.lock().woken = true;
        self.wake.notify_one();
    }

    /// Starts the thread, which lives as long as the program.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let usages = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("fs-usage".to_owned())
            .stack_size(256 * 1024);
        thread.spawn(move || {
            loop {
                usages.round(std::thread::sleep);
                let mut state = usages.state.lock();
                while !state.woken {
                    usages.wake.wait(&mut state);
                }
                state.woken = false;
            }
        })?;
        Ok(())
    }

    /// Measures everything that is due, with pauses that `pause` makes.
    fn round(&self, pause: impl Fn(Duration)) {
        let mut due: VecDeque<Walk> = self.due().into();
        let mut walks = VecDeque::new();
        loop {
            while walks.len() < WALKS
                && let Some(walk) = due.pop_front()
            {
                walks.push_back(walk);
            }
            let Some(mut walk) = walks.pop_front() else {
                return;
            };
            let started = Instant::now();
            match walk.step(BATCH) {
                Step::More => walks.push_back(walk),
                Step::Done => self.note(&walk, Ok(())),
                Step::Failed(path, error) => self.note(&walk, Err((path, error))),
            }
            pause((started.elapsed() * PAUSES).min(LONGEST_PAUSE));
        }
    }

    /// The containers that run and whose measurement is missing, or old and asked for.
    fn due(&self) -> Vec<Walk> {
        let now_ms = now_ms();
        let running = self.identities.running();
        let mut state = self.state.lock();
        let ids: HashSet<&str> = running
            .iter()
            .map(|identity| identity.id.as_str())
            .collect();
        state.by_id.retain(|id, _| ids.contains(id.as_str()));
        state.devices.clear();
        let is_due = |identity: &&Arc<Identity>| match state.by_id.get(&identity.id) {
            None => true,
            Some(outcome) => {
                state.asked_ms > outcome.tried_ms && now_ms - outcome.tried_ms >= FRESH_MS
            }
        };
        let due = running.iter().filter(is_due);
        due.filter_map(|identity| Walk::of(identity, &self.host))
            .collect()
    }

    fn note(&self, walk: &Walk, result: Result<(), (PathBuf, std::io::Error)>) {
        let tried_ms = now_ms();
        let mut state = self.state.lock();
        let usage = result.is_ok().then(|| {
            let device = state.devices.entry(walk.device);
            let device = device.or_insert_with(|| device_label(&self.host, &walk.layer));
            Some(Usage {
                device: device.clone()?,
                bytes: walk.bytes,
                inodes: walk.inodes,
                measured_ms: tried_ms,
            })
        });
        let usage = usage.flatten();
        // A container that has just ended takes its layer along; that is none of the user's business.
        if let Err((path, error)) = result
            && self.identities.get(&walk.id).is_some_and(|i| i.pid > 0)
            && !std::mem::replace(&mut state.complained, true)
        {
            tracing::warn!(
                path = %path.display(),
                err = %error,
                "container_fs_usage_bytes is missing for containers: their layers cannot be read; in a container \
                 mount the host's root (docker run -v /:/rootfs:ro), run as root, or set -disable_metrics=disk"
            );
        }
        let outcome = state.by_id.entry(walk.id.clone()).or_insert(Outcome {
            tried_ms,
            usage: None,
        });
        outcome.tried_ms = tried_ms;
        if usage.is_some() {
            outcome.usage = usage;
        }
    }
}

/// A container being measured.
struct Walk {
    id: String,
    /// As the engine names it; on this side it is below the host's root.
    layer: PathBuf,
    /// Directories still to be read, each with whether its inodes count.
    directories: Vec<(PathBuf, bool)>,
    open: Option<(ReadDir, bool)>,
    /// The device walked on: what is mounted below is somebody else's.
    device: u64,
    hard_links: HashSet<u64>,
    bytes: u64,
    inodes: u64,
}

enum Step {
    More,
    Done,
    Failed(PathBuf, std::io::Error),
}

impl Walk {
    fn of(identity: &Identity, host: &Host) -> Option<Walk> {
        let layer = match &identity.layer {
            Some(layer) => layer.clone(),
            None => layer_of_process(host, identity.pid)?,
        };
        let here = |path: &Path| host.root.join(path.strip_prefix("/").unwrap_or(path));
        let mut directories = Vec::new();
        directories.extend(identity.logs.as_deref().map(|logs| (here(logs), false)));
        directories.push((here(&layer), true));
        Some(Walk {
            id: identity.id.clone(),
            layer,
            directories,
            open: None,
            device: 0,
            hard_links: HashSet::new(),
            bytes: 0,
            inodes: 0,
        })
    }

    /// Looks at that many files.
    fn step(&mut self, files: usize) -> Step {
        for _ in 0..files {
            let Some((open, counts)) = &mut self.open else {
                let Some((path, counts)) = self.directories.pop() else {
                    return Step::Done;
                };
                let is_layer = counts && self.inodes == 0;
                match self.enter(&path, counts) {
                    Ok(()) => {}
                    Err(error) if is_layer => return Step::Failed(path, error),
                    // Gone meanwhile, or nobody's to read.
                    Err(_) => {}
                }
                continue;
            };
            let counts = *counts;
            match open.next() {
                None => self.open = None,
                Some(Ok(entry)) => {
                    let Ok(metadata) = entry.metadata() else {
                        continue;
                    };
                    if metadata.is_dir() {
                        // Counted when it is entered.
                        if metadata.dev() == self.device {
                            self.directories.push((entry.path(), counts));
                        }
                    } else {
                        self.count(&metadata, counts);
                    }
                }
                Some(Err(_)) => self.open = None,
            }
        }
        Step::More
    }

    fn enter(&mut self, path: &Path, counts: bool) -> std::io::Result<()> {
        let metadata = path.symlink_metadata()?;
        if self.device == 0 {
            self.device = metadata.dev();
        }
        let open = std::fs::read_dir(path)?;
        self.open = Some((open, counts));
        self.count(&metadata, counts);
        Ok(())
    }

    fn count(&mut self, metadata: &Metadata, counts: bool) {
        if metadata.dev() != self.device {
            return;
        }
        let linked = !metadata.is_dir() && metadata.nlink() > 1;
        if linked && self.hard_links.len() < HARD_LINKS && !self.hard_links.insert(metadata.ino()) {
            return;
        }
        // st_blocks counts 512 bytes, whatever the file system's blocks are.
        self.bytes = self
            .bytes
            .saturating_add(metadata.blocks().saturating_mul(512));
        self.inodes += u64::from(counts);
    }
}

/// Where a container's first process has its root from; for engines that do not tell (containerd's
/// snapshots under Docker 29).
fn layer_of_process(host: &Host, pid: u32) -> Option<PathBuf> {
    let path = host.proc.join(pid.to_string()).join("mountinfo");
    upper_directory(&std::fs::read_to_string(path).ok()?)
}

/// The `upperdir` of the overlay at `/`.
fn upper_directory(mountinfo: &str) -> Option<PathBuf> {
    let is_root = |line: &&str| line.split(' ').nth(4) == Some("/");
    let line = mountinfo.lines().find(is_root)?;
    let (_, after) = line.split_once(" - overlay ")?;
    let options = after.rsplit(' ').next()?;
    let upper = options
        .split(',')
        .find_map(|option| option.strip_prefix("upperdir="))?;
    upper.starts_with('/').then(|| PathBuf::from(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Arc<Identities>, Usages) {
        let dir = tempfile::tempdir().unwrap();
        let identities = Arc::new(Identities::default());
        let device = super::super::device_of(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("proc/1")).unwrap();
        let mounts = format!("1 0 {}:{} / / rw - ext4 /dev/sda1 rw\n", device.0, device.1);
        std::fs::write(dir.path().join("proc/1/mountinfo"), mounts).unwrap();
        let usages = Usages::new(Host::below(dir.path()), Arc::clone(&identities));
        (dir, identities, usages)
    }

    fn container(id: &str) -> Identity {
        Identity {
            id: id.to_owned(),
            pid: 7,
            layer: Some(PathBuf::from(format!("/layers/{id}"))),
            logs: Some(PathBuf::from("/logs")),
            ..Identity::default()
        }
    }

    #[test]
    fn layer_and_log_are_measured() {
        let (dir, identities, usages) = site();
        let layer = dir.path().join("layers/a");
        std::fs::create_dir_all(layer.join("sub")).unwrap();
        std::fs::create_dir_all(dir.path().join("logs")).unwrap();
        std::fs::write(layer.join("sub/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(layer.join("sub/file"), layer.join("again")).unwrap();
        std::os::unix::fs::symlink("/", layer.join("out")).unwrap();
        std::fs::write(dir.path().join("logs/log"), vec![1; 50_000]).unwrap();
        identities.set(container("a"));
        identities.set(Identity {
            pid: 0,
            ..container("ended")
        });
        usages.round(|_| {});
        let usage = usages.of("a").unwrap();
        assert_eq!(usage.inodes, 4, "layer, sub, file, out");
        assert!((150_000..250_000).contains(&usage.bytes), "{usage:?}");
        assert_eq!(usage.device, "/dev/sda1");
        assert_eq!(usages.of("ended"), None);
        // Fresh: not measured again, however often it is asked for.
        std::fs::remove_file(dir.path().join("logs/log")).unwrap();
        usages.asked(i64::MAX);
        usages.round(|_| {});
        assert_eq!(usages.of("a"), Some(usage));
        identities.remove("a");
        usages.round(|_| {});
        assert_eq!(usages.of("a"), None);
    }

    #[test]
    fn pauses_are_longer_than_the_walk() {
        let (dir, identities, usages) = site();
        std::fs::create_dir_all(dir.path().join("layers/a")).unwrap();
        for file in 0..1000 {
            std::fs::write(dir.path().join(format!("layers/a/{file}")), "").unwrap();
        }
        identities.set(container("a"));
        let pauses = Mutex::new(Vec::new());
        let started = Instant::now();
        usages.round(|pause| pauses.lock().push(pause));
        let walked = started.elapsed();
        let pauses = pauses.into_inner();
        assert_eq!(pauses.len(), 4, "1002 files in batches");
        let paused: Duration = pauses.iter().sum();
        assert!(paused > walked * 50, "{paused:?} for {walked:?}");
        assert_eq!(usages.of("a").unwrap().inodes, 1001);
    }

    #[test]
    fn a_layer_that_is_not_there() {
        let (_dir, identities, usages) = site();
        identities.set(container("a"));
        usages.round(|_| {});
        assert_eq!(usages.of("a"), None);
        assert!(usages.state.lock().complained);
    }

    #[test]
    fn upper_directories() {
        let root = "9 1 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/s/1/fs,workdir=/s/1/work\n";
        assert_eq!(upper_directory(root), Some(PathBuf::from("/s/1/fs")));
        assert_eq!(upper_directory("9 1 8:1 / / rw - ext4 /dev/sda rw\n"), None);
        assert_eq!(upper_directory(""), None);
    }
}
