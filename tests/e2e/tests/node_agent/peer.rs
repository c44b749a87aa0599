//! Side by side with node_exporter on this machine: names, labels, help, types, values, and the
//! queries of the dashboards that people use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use e2e::part::{missing, peer};
use e2e::{Process, free_port, get, query, wait_for};
use serde_json::Value as Json;

use crate::page::Page;
use crate::{Exporter, agent, strings};

/// Debian's node_exporter has other defaults than upstream; these are upstream's.
fn upstream_defaults() -> Vec<String> {
    strings(&[
        "--no-collector.systemd",
        "--collector.textfile.directory=",
        "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
        "--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs|erofs)$",
    ])
}

/// What may be on one page only, and why.
fn is_known_difference(series: &str) -> bool {
    [
        // Each says who it is.
        "node_exporter_build_info",
        "go_",
        // Since 1.12, which Debian does not have yet.
        "node_scrape_collector_duration_seconds{collector=\"dmmultipath\"}",
        "node_scrape_collector_success{collector=\"dmmultipath\"}",
        "node_timex_offset_overflow_total",
        // node_exporter 1.11 says 0 of a read-only mount that has other options too.
        "node_filesystem_readonly",
        // Lines of meminfo that Go's procfs does not know.
        "node_memory_",
        // It is "0" in Go where any file of the queue cannot be read.
        "node_disk_info",
    ]
    .iter()
    .any(|prefix| series.starts_with(prefix))
}

/// Both, with the same flags; `None` where there is no peer.
fn both(flags: &[&str], dir: &Path) -> Option<(Exporter, Exporter)> {
    let theirs = peer("prometheus-node-exporter")?;
    let mut all = upstream_defaults();
    all.extend(strings(flags));
    let ours = Exporter::start(&agent(), &all, dir);
    Some((Exporter::start(&theirs, &all, dir), ours))
}

/// Names, labels, help and types are the same.
fn compare(theirs: &Page, ours: &Page) {
    let keys = |page: &Page| -> BTreeSet<String> { page.series.keys().cloned().collect() };
    let (a, b) = (keys(theirs), keys(ours));
    let lost: Vec<_> = a
        .difference(&b)
        .filter(|s| !is_known_difference(s))
        .collect();
    let more: Vec<_> = b
        .difference(&a)
        .filter(|s| !is_known_difference(s))
        .collect();
    assert!(
        lost.is_empty() && more.is_empty(),
        "only node_exporter has {lost:#?}\nonly node-agent has {more:#?}"
    );
    for (family, said) in &theirs.said {
        if let Some(ours) = ours.said.get(family) {
            assert_eq!(said, ours);
        } else {
            assert!(is_known_difference(family), "{family} is not on our page");
        }
    }
}

#[test]
fn the_pages_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some((theirs, ours)) = both(&[], dir.path()) else {
        return;
    };
    // The machine changes: devices of containers come and go.
    for attempt in 0.. {
        let (a, b) = (theirs.scrape(), ours.scrape());
        let run = std::panic::catch_unwind(|| compare(&a, &b));
        match run {
            Ok(()) => break,
            Err(failure) if attempt == 3 => std::panic::resume_unwind(failure),
            Err(_) => sleep(Duration::from_secs(1)),
        }
    }
}

#[test]
fn optional_collectors_have_the_same_pages() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--collector.disable-defaults",
        "--collector.buddyinfo",
        "--collector.cgroups",
        "--collector.cpu_vulnerabilities",
        "--collector.drm",
        "--collector.ethtool",
        "--collector.interrupts",
        "--collector.ksmd",
        "--collector.lnstat",
        "--collector.meminfo_numa",
        "--collector.netdev",
        "--collector.netdev.address-info",
        "--collector.netdev.enable-detailed-metrics",
        "--collector.network_route",
        "--collector.pcidevice",
        "--collector.perf",
        "--collector.perf.disable-hardware-profilers",
        "--collector.perf.disable-cache-profilers",
        "--collector.processes",
        "--collector.qdisc",
        "--collector.slabinfo",
        "--collector.softirqs",
        "--collector.swap",
        "--collector.sysctl",
        "--collector.sysctl.include=kernel.pid_max",
        "--collector.tcpstat",
        "--collector.wifi",
        "--collector.xfrm",
        "--collector.zoneinfo",
    ];
    let Some((theirs, ours)) = both(&flags, dir.path()) else {
        return;
    };
    // States of processes and connections come and go.
    let restless = ["node_processes_", "node_tcp_connection_states"];
    let calm = |mut page: Page| {
        page.series
            .retain(|series, _| !restless.iter().any(|r| series.starts_with(r)));
        page
    };
    compare(&calm(theirs.scrape()), &calm(ours.scrape()));
}

/// A value that node_exporter shows lies between two of ours, the one before and the one after.
#[test]
fn the_values_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some((theirs, ours)) = both(&[], dir.path()) else {
        return;
    };
    let own = |series: &str| {
        ["process_", "promhttp_", "node_scrape_", "node_textfile_"]
            .iter()
            .any(|prefix| series.starts_with(prefix))
    };
    let mut open: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
    for round in 0..10 {
        let before = ours.scrape();
        let peer = theirs.scrape();
        let after = ours.scrape();
        let mut agrees = BTreeSet::new();
        let mut differs = BTreeMap::new();
        for (series, value) in &peer.series {
            let (Some(a), Some(b)) = (before.value(series), after.value(series)) else {
                continue;
            };
            if own(series) || is_known_difference(series) && !series.starts_with("node_memory_") {
                continue;
            }
            // What goes up and down between two reads: a hundredth of the value; how many processes run is
            // another number each time.
            let room = match series.starts_with("node_procs_") {
                true => 32.0,
                false => value.abs() / 100.0,
            };
            if a.min(b) - room <= *value && *value <= a.max(b) + room {
                agrees.insert(series.clone());
            } else {
                differs.insert(series.clone(), (a, *value, b));
            }
        }
        assert!(agrees.len() > 300, "{}", agrees.len());
        open.extend(differs.clone());
        if round == 0 {
            open = differs;
        }
        open.retain(|series, _| !agrees.contains(series));
        if open.is_empty() {
            return;
        }
        sleep(Duration::from_millis(500));
    }
    panic!("before, theirs, after, in ten rounds: {open:#?}");
}

/// The conformance sets, where they are.
fn shared(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let found = Some(root.join(set)).filter(|dir| dir.is_dir());
    if found.is_none() {
        missing(&format!("the conformance set {set}"), "set CONFORMANCE_DIR");
    }
    found
}

/// What node_exporter answers of the dashboards' queries, node-agent answers with the same labels.
#[test]
fn the_dashboards_show_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(prometheus), Some(dashboards)) = (peer("prometheus"), shared("dashboards")) else {
        return;
    };
    let flags = [
        "--collector.processes",
        "--collector.interrupts",
        "--collector.tcpstat",
    ];
    let Some((theirs, ours)) = both(&flags, dir.path()) else {
        return;
    };
    let store = |name: &str, exporter: &Exporter| {
        let home = dir.path().join(name);
        std::fs::create_dir(&home).unwrap();
        let target = exporter.url.trim_start_matches("http://");
        let config = format!(
            "global: {{scrape_interval: 2s}}\nscrape_configs:\n- job_name: node\n  static_configs:\n  \
             - targets: ['{target}']\n    labels: {{instance: 'host1:9100', cluster: c1}}\n"
        );
        std::fs::write(home.join("prometheus.yml"), config).unwrap();
        let url = format!("127.0.0.1:{}", free_port());
        let args = [
            format!("--config.file={}/prometheus.yml", home.display()),
            format!("--storage.tsdb.path={}/data", home.display()),
            format!("--web.listen-address={url}"),
        ];
        let process = Process::start(name, &prometheus, &args, &home);
        (process, format!("http://{url}"))
    };
    let (_one, theirs_url) = store("theirs", &theirs);
    let (_two, ours_url) = store("ours", &ours);
    for url in [&theirs_url, &ours_url] {
        wait_for("the store has scraped", Duration::from_secs(60), || {
            query(url, "count_over_time(up[5m]) > 15").filter(|found| !found.is_empty())
        });
    }
    let (mut asked, mut answered) = (0, 0);
    let mut wrong = Vec::new();
    for group in ["node-exporter-full", "node-other"] {
        let text = std::fs::read_to_string(dashboards.join(format!("{group}.json"))).unwrap();
        let group: Json = serde_json::from_str(&text).unwrap();
        for case in group["cases"].as_array().unwrap() {
            // The port is in the variable and once more in some dashboards.
            let text = case["query"]
                .as_str()
                .unwrap()
                .replace(":9100:9100", ":9100");
            asked += 1;
            let Some(expected) = labels(&theirs_url, &text).filter(|l| !l.is_empty()) else {
                continue;
            };
            answered += 1;
            // Which are the largest changes between two reads: their number does not.
            let is_choice = text.contains("topk") || text.contains("bottomk");
            let same = |found: &Option<BTreeSet<String>>| match found {
                Some(found) if is_choice => found.len() == expected.len(),
                Some(found) => *found == expected,
                None => false,
            };
            let mut found = labels(&ours_url, &text);
            // A series that has just come is in one store a scrape earlier.
            for _ in 0..3 {
                if same(&found) {
                    break;
                }
                sleep(Duration::from_secs(2));
                found = labels(&ours_url, &text);
            }
            if !same(&found) {
                wrong.push(format!("{text}\n  theirs {expected:?}\n  ours   {found:?}"));
            }
        }
    }
    eprintln!("{asked} queries, {answered} with an answer");
    assert!(
        answered > 150,
        "only {answered} of {asked} have an answer here"
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The label sets of an answer; `None` for a query that fails.
fn labels(store: &str, text: &str) -> Option<BTreeSet<String>> {
    let result = query(store, text)?;
    let mut sets = BTreeSet::new();
    for series in result {
        // Since 1.12, which Debian does not have yet.
        if series["metric"]["collector"] == "dmmultipath" {
            continue;
        }
        let mut labels = series["metric"].clone();
        if let Some(labels) = labels.as_object_mut() {
            // Where each differs by its nature, or by Go's procfs.
            if labels
                .get("__name__")
                .is_some_and(|n| n == "node_exporter_build_info")
            {
                labels.retain(|name, _| name == "__name__");
            }
            labels.remove("rotational");
        }
        sets.insert(labels.to_string());
    }
    Some(sets)
}

#[test]
fn refused_and_unknown_are_answered_alike() {
    let dir = tempfile::tempdir().unwrap();
    let Some((theirs, ours)) = both(&[], dir.path()) else {
        return;
    };
    for query in [
        "?collect[]=nothing",
        "?collect[]=ntp",
        "?collect[]=cpu&exclude[]=stat",
    ] {
        let answer = |exporter: &Exporter| get(&format!("{}/metrics{query}", exporter.url));
        let ((a, theirs), (b, ours)) = (answer(&theirs).unwrap(), answer(&ours).unwrap());
        assert_eq!((a, theirs.trim()), (b, ours.trim()), "{query}");
    }
}
