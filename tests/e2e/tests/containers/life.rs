//! What containers do in their lives.

use super::*;
use e2e::docker::engine;

const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn what_containers_use() {
    let Some(docker) = engine() else { return };
    if !docker.busybox("fw-life") {
        return;
    }
    let burn = "while :; do :; done";
    docker.run(
        "fw-burn",
        &["--cpus=0.2", "--cpu-shares=512"],
        "fw-life",
        &["sh", "-c", burn],
    );
    let hog = "dd if=/dev/zero of=/dev/shm/hog bs=1M count=20 && sleep 600";
    docker.run(
        "fw-hog",
        &["--memory=48m", "--shm-size=32m", "--network=none"],
        "fw-life",
        &["sh", "-c", hog],
    );
    let write = "dd if=/dev/zero of=/tmp/file bs=1M count=8 oflag=direct && sleep 600";
    let limits = counted_disks();
    let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
    docker.run("fw-disk", &limits, "fw-life", &["sh", "-c", write]);
    docker.run("fw-host", &["--network=host"], "fw-life", &["sleep", "600"]);
    docker.run(
        "fw-joined",
        &["--network=container:fw-burn"],
        "fw-life",
        &["sleep", "600"],
    );
    let peer = docker.inspect("fw-burn", "{{.NetworkSettings.IPAddress}}");
    docker.run(
        "fw-talk",
        &[
            "--label=город=Köln",
            "--label=com.example/team=\"a\" \\ b",
            "--env=APP_MODE=test=1",
            "--env=OTHER=no",
        ],
        "fw-life",
        &["sleep", "600"],
    );
    docker.exec(
        "fw-talk",
        &[
            "busybox", "ping", "-q", "-c", "20", "-i", "0.05", "-s", "1400", &peer,
        ],
    );
    docker.exec(
        "fw-disk",
        &[
            "busybox",
            "sh",
            "-c",
            "until [ $(stat -c %s /tmp/file) = 8388608 ]; do sleep 0.1; done; sync",
        ],
    );

    let agent = Agent::start(&docker, &["--env_metadata_whitelist=APP_"]);
    let throttled = |page: &Page| {
        let periods = page.of("container_cpu_cfs_throttled_periods_total", "fw-burn")?;
        (periods > 0.0).then_some(())
    };
    agent.until("the burner is held back", throttled);
    let before = agent.page();
    let burned = before
        .of("container_cpu_usage_seconds_total", "fw-burn")
        .unwrap();
    agent.until("the burner burns", |page| {
        let now = page.of("container_cpu_usage_seconds_total", "fw-burn")?;
        (now > burned + 0.1).then_some(())
    });
    assert_eq!(
        before.of("container_spec_cpu_shares", "fw-burn"),
        Some(512.0)
    );
    assert_eq!(
        before.of("container_spec_cpu_quota", "fw-burn"),
        Some(20_000.0)
    );
    assert_eq!(
        before.of("container_spec_cpu_period", "fw-burn"),
        Some(100_000.0)
    );

    let page = agent.until("the hog has its memory", |page| {
        let usage = page.of("container_memory_usage_bytes", "fw-hog")?;
        (usage >= 20.0 * MIB).then(|| agent.page())
    });
    let hog = |family: &str| page.of(family, "fw-hog").unwrap_or(f64::NAN);
    assert_eq!(hog("container_spec_memory_limit_bytes"), 48.0 * MIB);
    assert!(hog("container_memory_usage_bytes") < 48.0 * MIB);
    assert!(hog("container_memory_max_usage_bytes") >= 20.0 * MIB);
    assert!(hog("container_memory_working_set_bytes") >= 20.0 * MIB);
    assert!(page.of("container_memory_swap", "fw-hog").is_some());

    let written = page
        .of("container_fs_writes_bytes_total", "fw-disk")
        .unwrap_or(0.0);
    assert!(written >= 8.0 * MIB, "{written} bytes written");
    let page = agent.until("the writer's layer is measured", |page| {
        let usage = page.of("container_fs_usage_bytes", "fw-disk")?;
        assert!(
            (8.0 * MIB..9.0 * MIB).contains(&usage),
            "{usage} bytes used"
        );
        Some(agent.page())
    });
    assert!(page.of("container_fs_limit_bytes", "fw-disk").unwrap() > 8.0 * MIB);
    assert!(page.of("container_fs_inodes_total", "fw-disk").unwrap() >= 2.0);
    assert!(
        page.of("container_agent_fs_usage_age_seconds", "fw-disk")
            .unwrap()
            < 600.0
    );

    // 20 pings of 1400 bytes there, and 20 answers back.
    let of_eth0 = |family: &str, name: &str| {
        let found = page.values(family, &[("name", name), ("interface", "eth0")]);
        found.first().copied().unwrap_or(f64::NAN)
    };
    for family in ["receive_bytes", "transmit_bytes"] {
        let family = format!("container_network_{family}_total");
        for name in ["fw-talk", "fw-burn"] {
            let bytes = of_eth0(&family, name);
            assert!(
                (28_000.0..200_000.0).contains(&bytes),
                "{family} of {name}: {bytes}"
            );
        }
    }
    assert_eq!(
        of_eth0("container_network_receive_errors_total", "fw-talk"),
        0.0
    );
    // A network that is another's is counted there; the host's is the host's.
    assert_eq!(
        page.of("container_network_receive_bytes_total", "fw-joined"),
        None
    );
    let hosts = std::fs::read_to_string("/proc/net/dev").unwrap();
    for (_, labels, _) in page.samples.iter().filter(|(family, labels, _)| {
        family == "container_network_receive_bytes_total" && labels["name"] == "fw-host"
    }) {
        assert!(
            hosts.contains(&format!("{}:", labels["interface"])),
            "{labels:?}"
        );
    }

    let labels = page.labels("fw-talk").unwrap();
    assert_eq!(labels["image"], "fw-life");
    assert_eq!(labels["container_label______"], "Köln");
    assert_eq!(labels["container_label_com_example_team"], "\"a\" \\ b");
    assert_eq!(labels["container_env_app_mode"], "test=1");
    assert!(!labels.contains_key("container_env_other"));
    let id = docker.inspect("fw-talk", "{{.Id}}");
    assert!(labels["id"].ends_with(&id) || labels["id"].contains(&format!("docker-{id}.scope")));
    // Every container's series have the same label names.
    let burner = page.labels("fw-burn").unwrap();
    assert!(burner.keys().eq(labels.keys()));
    assert_eq!(burner["container_label_com_example_team"], "");

    let created = page
        .of("container_creation_time_seconds", "fw-talk")
        .unwrap();
    let started = page.of("container_start_time_seconds", "fw-talk").unwrap();
    assert!(created > 1.6e9 && started >= created);
    // The root and the machine are there, and nothing that is neither container nor root.
    assert_eq!(
        page.values("container_cpu_usage_seconds_total", &[("id", "/")])
            .len()
            .min(1),
        1
    );
    assert!(page.values("machine_memory_bytes", &[])[0] > 1e8);
    assert_eq!(
        page.values("container_last_seen", &[("id", "/docker")])
            .len(),
        0
    );
    assert_eq!(page.values("container_scrape_error", &[]), [0.0]);
    assert_eq!(page.values("machine_scrape_error", &[]), [0.0]);
    let mut process = agent.process;
    process.stop();
    assert_eq!(
        process.unannounced(&["Received an OS signal"]),
        Vec::<String>::new()
    );
}

#[test]
fn what_happens_to_containers() {
    let Some(docker) = engine() else { return };
    if !docker.busybox("fw-fate") {
        return;
    }
    let agent = Agent::start(&docker, &["-storage_duration=1s"]);
    let none = "--network=none";
    let oom = "while :; do tail /dev/zero; sleep 1; done";
    docker.run(
        "fw-oom",
        &["--memory=16m", "--memory-swap=16m", none],
        "fw-fate",
        &["sh", "-c", oom],
    );
    let healthy = [
        "--health-cmd=/bin/busybox test -e /tmp/well",
        "--health-interval=1s",
        "--health-retries=1",
        none,
    ];
    docker.run("fw-health", &healthy, "fw-fate", &["sleep", "600"]);
    docker.run(
        "fw-loop",
        &["--restart=always", none],
        "fw-fate",
        &["sleep", "1"],
    );
    let burn = "while :; do :; done";
    docker.run(
        "fw-pause",
        &["--cpus=0.1", none],
        "fw-fate",
        &["sh", "-c", burn],
    );
    docker.run("fw-old", &[none], "fw-fate", &["sleep", "600"]);

    agent.until("kills are counted", |page| {
        let kills = page.of("container_oom_events_total", "fw-oom")?;
        (kills >= 1.0).then_some(())
    });
    let page = agent.page();
    let peak = page.of("container_memory_max_usage_bytes", "fw-oom");
    assert_eq!(peak, Some(16.0 * MIB), "it went to its limit");

    let health = |wanted: f64| {
        agent.until("the health is told", |page| {
            (page.of("container_health_state", "fw-health")? == wanted).then_some(())
        });
    };
    health(0.0);
    docker.exec("fw-health", &["busybox", "touch", "/tmp/well"]);
    health(1.0);
    let page = agent.page();
    assert_eq!(page.of("container_health_state", "fw-old"), Some(-1.0));

    docker.docker(&["pause", "fw-pause"]);
    let used = || {
        agent
            .page()
            .of("container_cpu_usage_seconds_total", "fw-pause")
    };
    let paused = used().expect("a paused container is there");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(used(), Some(paused), "a paused container uses nothing");
    docker.docker(&["unpause", "fw-pause"]);
    wait_for("it goes on", LONG, || used().filter(|now| *now > paused));

    docker.docker(&["rename", "fw-old", "fw-new"]);
    agent.until("the new name is there", |page| {
        page.labels("fw-new").map(|_| ())
    });
    assert_eq!(agent.page().labels("fw-old"), None, "the old name is not");

    agent.until("restarts are counted", |page| {
        let labels = page.labels("fw-loop")?;
        let count: u32 = labels.get("container_label_restartcount")?.parse().ok()?;
        (count >= 2).then_some(())
    });

    let removed = ["fw-new", "fw-oom", "fw-loop", "fw-pause", "fw-health"];
    for name in removed {
        docker.remove(name);
    }
    wait_for("what is removed is gone", LONG, || {
        let names = agent.names();
        (!removed.iter().any(|name| names.contains(*name))).then_some(())
    });
}

/// Options that limit the host's disks generously: newer kernels count on version 1 only what may be
/// throttled.
fn counted_disks() -> Vec<String> {
    let disks = std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten();
    let names = disks.filter_map(|disk| disk.file_name().into_string().ok());
    let real = names.filter(|name| {
        !["loop", "ram", "sr", "zram"]
            .iter()
            .any(|p| name.starts_with(p))
    });
    let there = real.filter(|name| std::path::Path::new(&format!("/dev/{name}")).exists());
    there
        .map(|name| format!("--device-write-bps=/dev/{name}:10gb"))
        .collect()
}
