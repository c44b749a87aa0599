//! The fixture tree with a file missing, empty, cut off, garbled or not to be read, and with files that
//! change during a scrape: no panic, and nothing is lost but what is in that file.
//!
//! `FUZZ_CASES` says how many files are changed one after the other.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use support::{get, prepare, router, runtime};

/// What no two scrapes have the same of.
const RESTLESS: [&str; 5] = ["time", "timex", "filesystem", "arp", "netdev"];

/// Panics anywhere in the process: those of collectors are caught, and must not be there.
fn panics() -> &'static AtomicUsize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static HOOK: OnceLock<()> = OnceLock::new();
    HOOK.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("collect") {
                COUNT.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    &COUNT
}

/// A copy of the fixtures; `None`, said loudly, where the set is not there.
fn fixtures() -> Option<tempfile::TempDir> {
    let Some(set) = conformance::directory("node") else {
        assert!(
            !std::env::var("CI").is_ok_and(|v| v == "true"),
            "the conformance set node is missing"
        );
        eprintln!("SKIPPED: the conformance set node is missing");
        return None;
    };
    let copy = tempfile::tempdir().unwrap();
    prepare(&set, copy.path());
    Some(copy)
}

/// Every collector that reads files, on the copy.
fn flags(root: &Path) -> Vec<String> {
    let fixtures = root.join("fixtures");
    let path = |flag: &str, dir: &str| format!("--{flag}={}", fixtures.join(dir).display());
    let mut flags = vec![
        path("path.procfs", "proc"),
        path("path.sysfs", "sys"),
        path("path.udev.data", "udev/data"),
        path("path.rootfs", ""),
        path("collector.textfile.directory", "textfile/two_metric_files"),
        path("collector.qdisc.fixtures", "qdisc"),
        path("collector.wifi.fixtures", "wifi"),
        path("collector.ethtool.fixtures", "ethtool"),
        path("collector.pcidevice.idsfile", "pci.ids"),
        "--collector.pcidevice.names".to_owned(),
        "--collector.cpu.info".to_owned(),
        "--collector.stat.softirq".to_owned(),
        "--collector.bcache.priorityStats".to_owned(),
        "--collector.sysctl.include=fs.file-nr".to_owned(),
        "--no-collector.netdev.netlink".to_owned(),
    ];
    let off = "buddyinfo cgroups cpu_vulnerabilities drbd drm ethtool interrupts ksmd lnstat meminfo_numa \
               mountstats nvmesubsystem pcidevice processes qdisc slabinfo softirqs swap sysctl tcpstat wifi \
               xfrm zoneinfo";
    flags.extend(off.split_whitespace().map(|n| format!("--collector.{n}")));
    flags
}

/// The page of each collector alone, without its duration.
fn pages(runtime: &tokio::runtime::Runtime, router: &Router, names: &[String]) -> Pages {
    let mut pages = BTreeMap::new();
    for name in names {
        let query = format!("?collect[]={name}");
        let (status, text) = runtime.block_on(get(router, &query)).unwrap();
        assert_eq!(status, 200, "{name}: {text}");
        let own = |line: &&str| {
            line.starts_with("node_")
                && !line.starts_with("node_scrape_collector_duration")
                && !line.starts_with("node_exporter")
                && !line.starts_with("node_textfile_mtime")
        };
        let lines = text.lines().filter(own).map(str::to_owned).collect();
        pages.insert(name.clone(), lines);
    }
    pages
}

type Pages = BTreeMap<String, BTreeSet<String>>;

fn collectors(runtime: &tokio::runtime::Runtime, router: &Router) -> Vec<String> {
    let (status, text) = runtime.block_on(get(router, "")).unwrap();
    assert_eq!(status, 200);
    let name = |line: &str| {
        let rest = line.strip_prefix("node_scrape_collector_success{collector=\"")?;
        Some(rest.split('"').next()?.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            files_below(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// The same numbers at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % count.max(1)
    }

    fn mutate(&mut self, path: &Path) {
        let old = fs::read(path).unwrap();
        // The fixtures are read-only, which root does not notice and others do.
        fs::remove_file(path).unwrap();
        let cut = self.below(old.len());
        match self.below(8) {
            0 => {}
            1 => fs::write(path, b"").unwrap(),
            2 => fs::write(path, &old[..cut]).unwrap(),
            3 => {
                let lines = [&old[..], b"\nnew_in_linux_9: 1 2 x\n: :\n"].concat();
                fs::write(path, lines).unwrap();
            }
            4 => {
                let mut new = old;
                for _ in 0..8 {
                    let at = self.below(new.len());
                    if let Some(byte) = new.get_mut(at) {
                        *byte = self.below(256) as u8;
                    }
                }
                fs::write(path, new).unwrap();
            }
            5 => {
                let huge = b"18446744073709551616 -9223372036854775809 1e999 NaN 0x 0xffffffffffffffffff\n";
                fs::write(path, huge).unwrap();
            }
            // What root cannot read either: a directory, a link in a circle.
            6 => fs::create_dir(path).unwrap(),
            _ => std::os::unix::fs::symlink(path, path).unwrap(),
        }
    }
}

fn restore(path: &Path, content: &[u8]) {
    match path.symlink_metadata() {
        Ok(kind) if kind.is_dir() => fs::remove_dir(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
    fs::write(path, content).unwrap();
}

#[test]
fn one_broken_file_costs_what_is_in_it() {
    let panics = panics();
    let Some(root) = fixtures() else { return };
    let runtime = runtime().unwrap();
    let router = router(&flags(root.path())).unwrap();
    let mut names = collectors(&runtime, &router);
    assert!(names.len() > 60, "{names:?}");
    names.retain(|name| !RESTLESS.contains(&name.as_str()));
    let healthy = pages(&runtime, &router, &names);
    let mut files = Vec::new();
    files_below(&root.path().join("fixtures"), &mut files);
    files.sort();
    let cases = std::env::var("FUZZ_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    let mut dice = Dice(0x6e6f_6465);
    for _ in 0..cases.unwrap_or(30) {
        let path = files[dice.below(files.len())].clone();
        let content = fs::read(&path).unwrap();
        dice.mutate(&path);
        let broken = pages(&runtime, &router, &names);
        let changed: Vec<&String> = names
            .iter()
            .filter(|name| broken[*name] != healthy[*name])
            .collect();
        // /proc/stat and cpuinfo have several readers; nothing has more.
        assert!(changed.len() <= 3, "{}: {changed:?}", path.display());
        restore(&path, &content);
        assert_eq!(panics.load(Ordering::SeqCst), 0, "{}", path.display());
    }
    assert_eq!(pages(&runtime, &router, &names), healthy);
}

#[test]
fn files_that_change_during_a_scrape() {
    let panics = panics();
    let Some(root) = fixtures() else { return };
    let runtime = runtime().unwrap();
    let router = router(&flags(root.path())).unwrap();
    let mut files = Vec::new();
    files_below(&root.path().join("fixtures"), &mut files);
    let quiet = root.path().join("fixtures/proc/loadavg");
    files.retain(|file| *file != quiet);
    files.sort();
    let stop = Arc::new(AtomicBool::new(false));
    let vandal = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut dice = Dice(7);
            while !stop.load(Ordering::SeqCst) {
                let path = &files[dice.below(files.len())];
                let content = fs::read(path).unwrap();
                dice.mutate(path);
                std::thread::sleep(Duration::from_micros(200));
                restore(path, &content);
            }
        }
    });
    let until = Instant::now() + Duration::from_secs(3);
    let mut scrapes = 0;
    while Instant::now() < until {
        let (status, text) = runtime.block_on(get(&router, "")).unwrap();
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("\nnode_load1 0.21\n"));
        scrapes += 1;
    }
    stop.store(true, Ordering::SeqCst);
    vandal.join().unwrap();
    assert!(scrapes > 3, "{scrapes}");
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}
