//! Side by side with cAdvisor: the same containers, the same series, the same values. `CADVISOR` names
//! the program; `tests/e2e/cadvisor` says how it is built.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use e2e::docker::engine;

/// Known differences: `docs/services/container-agent.md`.
const SECONDS_HERE_BILLIONTHS_THERE: [&str; 4] = [
    "container_fs_io_time_seconds_total",
    "container_fs_io_time_weighted_seconds_total",
    "container_fs_read_seconds_total",
    "container_fs_write_seconds_total",
];

/// Series of our containers.
type Series = BTreeMap<(String, page::Labels), f64>;

#[test]
fn pages_agree() {
    let Some(cadvisor) = std::env::var_os("CADVISOR") else {
        eprintln!("SKIPPED: CADVISOR does not name cAdvisor (go build in tests/e2e/cadvisor)");
        return;
    };
    let Some(docker) = engine() else { return };
    if !docker.busybox("fw-same") {
        return;
    }
    let idle = ["sleep", "600"];
    let limits = [
        "--memory=64m",
        "--memory-reservation=32m",
        "--cpus=0.5",
        "--label=a.b=c",
        "--label=город=Köln",
    ];
    docker.run("fw-same-1", &limits, "fw-same", &idle);
    docker.run("fw-same-2", &["--network=host"], "fw-same", &idle);
    docker.run(
        "fw-same-3",
        &["--network=container:fw-same-1", "--env=APP_X=1"],
        "fw-same",
        &idle,
    );
    let write = "dd if=/dev/zero of=/tmp/file bs=1M count=4 conv=fsync && dd if=/dev/zero of=/dev/shm/x bs=1M count=8 && sleep 600";
    docker.run("fw-same-4", &[], "fw-same", &["sh", "-c", write]);
    docker.exec(
        "fw-same-4",
        &[
            "busybox",
            "sh",
            "-c",
            "until [ -s /dev/shm/x ]; do sleep 0.1; done; sleep 1",
        ],
    );

    for groups in [
        &[][..],
        &["-disable_metrics="][..],
        &["-enable_metrics=cpu,memory,network"],
    ] {
        compare(&docker, Path::new(&cadvisor), groups);
    }
}

fn compare(docker: &Docker, cadvisor: &Path, groups: &[&str]) {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let port = free_port();
    let mut args = vec![
        format!("-port={port}"),
        "-docker_only".to_owned(),
        "-env_metadata_whitelist=APP_".to_owned(),
        format!("-docker=unix://{}", docker.socket().display()),
    ];
    // What neither can do here, or only one does.
    let without = "-disable_metrics=resctrl,referenced_memory,perf_event,app";
    let theirs = groups.iter().map(|group| match *group {
        "-disable_metrics=" => without.to_owned(),
        group => group.to_owned(),
    });
    args.extend(theirs);
    let _peer = Process::start("cadvisor", cadvisor, &args, dir.path());
    let mut ours = vec!["-env_metadata_whitelist=APP_"];
    ours.extend(groups);
    let agent = Agent::start(docker, &ours);
    let url = format!("http://127.0.0.1:{port}/metrics");
    // Both have measured what the last container fills.
    let wants_disk = groups.iter().all(|group| !group.contains("enable"));
    let ready = |page: Page| {
        let measured = page.of("container_fs_usage_bytes", "fw-same-4");
        let fine = match wants_disk {
            true => measured.is_some_and(|bytes| bytes > 4e6),
            false => page.labels("fw-same-4").is_some(),
        };
        fine.then_some(page)
    };
    wait_for("container-agent has all", LONG, || ready(agent.page()));
    let theirs = wait_for("cAdvisor has all", LONG, || {
        ready(Page::parse(&get(&url)?.1))
    });
    let ours = agent.page();

    let mut wrong = Vec::new();
    for (family, lines) in &theirs.families {
        match ours.families.get(family) {
            None => wrong.push(format!("no family {family}")),
            Some(own) if own != lines => wrong.push(format!("{own:?} instead of {lines:?}")),
            Some(_) => {}
        }
    }
    let (theirs, ours) = (series(&theirs), series(&ours));
    wrong.extend(
        theirs
            .keys()
            .filter(|k| !ours.contains_key(*k) && !is_joined_network(k))
            .map(|k| format!("missing: {k:?}")),
    );
    wrong.extend(
        ours.keys()
            .filter(|k| !theirs.contains_key(*k))
            .map(|k| format!("too much: {k:?}")),
    );
    for (key, their) in &theirs {
        let Some(our) = ours.get(key) else { continue };
        if SECONDS_HERE_BILLIONTHS_THERE.contains(&key.0.as_str()) {
            continue;
        }
        // Their numbers are up to some seconds older.
        let near = (our - their).abs() <= 0.1 * our.abs().max(their.abs()) + slack(&key.0);
        if !near {
            wrong.push(format!("{key:?}: {our}, theirs {their}"));
        }
    }
    assert!(theirs.len() > 50, "{} series of containers", theirs.len());
    assert!(wrong.is_empty(), "with {groups:?}:\n{}", wrong.join("\n"));
    eprintln!("{groups:?}: {} series of containers agree", theirs.len());
}

/// The network of a container that has joined another's: counted once here, twice there.
fn is_joined_network((family, labels): &(String, page::Labels)) -> bool {
    family.starts_with("container_network_") && labels["name"] == "fw-same-3"
}

/// What a family may change by while nothing happens.
fn slack(family: &str) -> f64 {
    match family {
        "container_last_seen" => 60.0,
        _ if family.ends_with("_bytes") || family.starts_with("container_memory") => 512.0 * 1024.0,
        _ if family.contains("network") => 20_000.0,
        _ if family.contains("seconds") => 0.2,
        _ if family.contains("_fs_") => 1e5,
        _ => 2.0,
    }
}

/// The series of the test's containers; a thread's name and such are nobody else's.
fn series(page: &Page) -> Series {
    let ours = page.samples.iter().filter(|(family, labels, _)| {
        labels
            .get("name")
            .is_some_and(|name| name.starts_with("fw-same-"))
            && !family.starts_with("container_agent_")
    });
    ours.map(|(family, labels, value)| {
        // Labels of other tests' containers come and go.
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
        ((family.clone(), labels.collect()), *value)
    })
    .collect()
}
