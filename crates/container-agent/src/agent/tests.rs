//! Pages over a tree of files.

use std::path::Path;

use exposition::Format;

use super::*;
use crate::groups::DISABLED;

struct Site {
    dir: tempfile::TempDir,
    agent: Agent,
}

fn id(last: u8) -> String {
    format!("{last:064x}")
}

impl Site {
    fn new(change: impl FnOnce(&mut Config)) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            groups: Groups::from_flags("", DISABLED).unwrap(),
            labels: LabelPolicy::All,
            docker_only: false,
            raw_prefixes: Vec::new(),
            root_stats: true,
            storage_duration: Duration::from_secs(120),
            machine_id_files: "/etc/machine-id".to_owned(),
            boot_id_files: String::new(),
        };
        change(&mut config);
        put(dir.path(), "cg/cgroup.controllers", "cpu\n");
        put(dir.path(), "cg/cpu.stat", "usage_usec 1000000\n");
        put(
            dir.path(),
            "cg/system.slice/ssh.service/cpu.stat",
            "usage_usec 7\n",
        );
        put(
            dir.path(),
            "proc/meminfo",
            "MemTotal: 8 kB\nMemFree: 2 kB\n",
        );
        let cgroups = Cgroups::find(&dir.path().join("cg")).unwrap();
        let agent = Agent::new(
            config,
            Some(cgroups),
            Host::below(dir.path()),
            Arc::default(),
            None,
        );
        Site { dir, agent }
    }

    /// A container that runs.
    fn start(&self, last: u8, name: &str) -> Identity {
        let id = id(last);
        put(
            self.dir.path(),
            &format!("cg/docker/{id}/cpu.stat"),
            "usage_usec 2000000\n",
        );
        put(
            self.dir.path(),
            &format!("cg/docker/{id}/io.stat"),
            "8:0 rbytes=5\n7:1 rbytes=6\n",
        );
        put(
            self.dir.path(),
            &format!("cg/docker/{id}/cgroup.procs"),
            "42\n",
        );
        put(
            self.dir.path(),
            "proc/42/cgroup",
            &format!("0::/docker/{id}\n"),
        );
        put(
            self.dir.path(),
            "proc/42/net/dev",
            "h\nh\n eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
        );
        let identity = Identity {
            id,
            name: name.to_owned(),
            image: "img".to_owned(),
            pid: 42,
            created_ms: Some(5000),
            ..Identity::default()
        };
        self.agent.identities.set(identity.clone());
        identity
    }

    fn stop(&self, last: u8) {
        std::fs::remove_dir_all(self.dir.path().join("cg/docker").join(id(last))).unwrap();
    }

    fn page(&self, now_ms: i64) -> String {
        let mut writer = Writer::new(Format::default());
        self.agent.write(now_ms, &[], &mut writer);
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|l| l == line), "no {line}\n{page}");
}

#[test]
fn a_page() {
    let site = Site::new(|_| {});
    site.start(1, "web");
    std::fs::create_dir_all(site.dir.path().join("sys/dev/block")).unwrap();
    std::os::unix::fs::symlink("../../block/sda", site.dir.path().join("sys/dev/block/8:0"))
        .unwrap();
    let page = site.page(9000);
    let web = format!("id=\"/docker/{}\",image=\"img\"", id(1));
    has(
        &page,
        &format!("container_cpu_usage_seconds_total{{cpu=\"total\",{web},name=\"web\"}} 2 9000"),
    );
    has(
        &page,
        "container_cpu_usage_seconds_total{cpu=\"total\",id=\"/\",image=\"\",name=\"\"} 1 9000",
    );
    has(
        &page,
        "container_cpu_usage_seconds_total{cpu=\"total\",id=\"/system.slice/ssh.service\",image=\"\",name=\"\"} 7e-06 9000",
    );
    has(
        &page,
        &format!(
            "container_network_receive_bytes_total{{{web},interface=\"eth0\",name=\"web\"}} 1 9000"
        ),
    );
    has(
        &page,
        &format!("container_fs_reads_bytes_total{{device=\"/dev/sda\",{web},name=\"web\"}} 5 9000"),
    );
    has(
        &page,
        &format!("container_fs_reads_bytes_total{{device=\"7:1\",{web},name=\"web\"}} 6 9000"),
    );
    has(
        &page,
        &format!("container_start_time_seconds{{{web},name=\"web\"}} 5"),
    );
    has(
        &page,
        "container_spec_memory_limit_bytes{id=\"/\",image=\"\",name=\"\"} 8192",
    );
    has(
        &page,
        "container_memory_usage_bytes{id=\"/\",image=\"\",name=\"\"} 6144 9000",
    );
    has(&page, "container_scrape_error 0");
    has(
        &page,
        "machine_memory_bytes{boot_id=\"\",machine_id=\"\",system_uuid=\"\"} 8192 9000",
    );
    assert!(!page.contains("container_network_tcp_usage_total"));
}

#[test]
fn only_containers() {
    let site = Site::new(|config| {
        config.docker_only = true;
        config.root_stats = false;
        config.raw_prefixes = vec!["/system.slice/ssh".to_owned()];
    });
    site.start(1, "web");
    let page = site.page(9000);
    assert!(page.contains("ssh.service") && page.contains("name=\"web\""));
    assert!(!page.contains("id=\"/docker\"") && !page.contains("id=\"/system.slice\""));
    has(
        &page,
        "container_spec_memory_limit_bytes{id=\"/\",image=\"\",name=\"\"} 8192",
    );
    assert!(!page.contains("container_last_seen{id=\"/\""));
}

#[test]
fn one_that_nobody_saw_is_shown_for_a_while() {
    let site = Site::new(|_| {});
    let line = |name: &str, n, at| {
        format!(
            "container_cpu_usage_seconds_total{{cpu=\"total\",id=\"/docker/{}\",image=\"img\",name=\"{name}\"}} 2 {at}",
            id(n)
        )
    };
    site.page(1000);
    let brief = site.start(1, "brief");
    site.agent.observe(&brief, 2000);
    site.stop(1);
    site.agent.observe(&brief, 2500);
    for now in [3000, 122_500] {
        has(&site.page(now), &line("brief", 1, 2000));
    }
    assert!(!site.page(122_501).contains("brief"));

    // Where nobody asks, nothing piles up.
    site.agent.observe(&brief, 123_000);
    let later = site.start(4, "later");
    site.agent.observe(&later, 300_000);
    assert_eq!(site.agent.state.lock().unseen.len(), 1);

    // One that a page has shown is gone when it is gone.
    let seen = site.start(2, "calm");
    site.agent.observe(&seen, 330_000);
    has(&site.page(331_000), &line("calm", 2, 331_000));
    site.agent.observe(&seen, 332_000);
    site.stop(2);
    site.agent.observe(&seen, 332_000);
    assert!(!site.page(333_000).contains("calm"));

    // One that was gone before anything could be read is counted.
    let mut quick = brief.clone();
    (quick.id, quick.name, quick.pid) = (id(3), "quick".to_owned(), 0);
    site.agent.observe(&quick, 334_000);
    let page = site.page(335_000);
    has(
        &page,
        &format!(
            "container_health_state{{id=\"/docker/{}\",image=\"img\",name=\"quick\"}} -1 334000",
            id(3)
        ),
    );
}

#[test]
fn scheduling_times_of_ended_processes_stay() {
    let site = Site::new(|config| config.groups = Groups::default().with(Group::Sched));
    site.start(1, "web");
    let procs = format!("cg/docker/{}/cgroup.procs", id(1));
    put(site.dir.path(), &procs, "42\n43\n");
    put(site.dir.path(), "proc/42/schedstat", "1000000000 2 3\n");
    put(site.dir.path(), "proc/43/schedstat", "2000000000 2 3\n");
    let line = |value: &str| {
        format!(
            "container_cpu_schedstat_run_seconds_total{{id=\"/docker/{}\",image=\"img\",name=\"web\"}} {value} ",
            id(1)
        )
    };
    assert!(site.page(1000).contains(&line("3")));
    put(site.dir.path(), &procs, "42\n");
    assert!(site.page(2000).contains(&line("3")));
    put(site.dir.path(), "proc/42/schedstat", "1500000000 2 3\n");
    assert!(site.page(3000).contains(&line("3.5")));
}

#[test]
fn a_root_that_went_away_is_an_error_of_the_page() {
    let site = Site::new(|_| {});
    std::fs::remove_dir_all(site.dir.path().join("cg")).unwrap();
    has(&site.page(1000), "container_scrape_error 1");
}

#[test]
fn numbers_that_an_engine_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        groups: Groups::from_flags("", DISABLED).unwrap(),
        labels: LabelPolicy::All,
        docker_only: false,
        raw_prefixes: Vec::new(),
        root_stats: true,
        storage_duration: Duration::from_secs(120),
        machine_id_files: String::new(),
        boot_id_files: String::new(),
    };
    let agent = Agent::new(config, None, Host::below(dir.path()), Arc::default(), None);
    let mut identity = Identity {
        id: id(1),
        name: "web".to_owned(),
        ..Identity::default()
    };
    identity.memory.limit = 4096;
    let stats = Stats {
        memory: Some(crate::info::Memory {
            usage: 77,
            ..Default::default()
        }),
        ..Stats::default()
    };
    let told = [(Arc::new(identity), stats)];
    let mut writer = Writer::new(Format::default());
    agent.write(9000, &told, &mut writer);
    let page = String::from_utf8(writer.finish().unwrap()).unwrap();
    let web = format!("id=\"/docker/{}\",name=\"web\"", id(1));
    has(
        &page,
        &format!("container_memory_usage_bytes{{{web}}} 77 9000"),
    );
    has(
        &page,
        &format!("container_spec_memory_limit_bytes{{{web}}} 4096"),
    );
    // One that was told of no more is gone; one that nobody was told of is shown for a while.
    let other = Identity {
        id: id(2),
        name: "brief".to_owned(),
        ..Identity::default()
    };
    agent.observe(&other, 9100);
    let mut writer = Writer::new(Format::default());
    agent.write(9500, &[], &mut writer);
    let page = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert!(page.contains("name=\"brief\"") && !page.contains("name=\"web\""));
}

#[test]
fn what_a_container_fills() {
    let mut site = Site::new(|_| {});
    let root = site.dir.path().to_owned();
    let (major, minor) = crate::filesystems::device_of(&root).unwrap();
    put(
        &root,
        "proc/1/mountinfo",
        &format!("1 0 {major}:{minor} / / rw - ext4 /dev/sda1 rw\n"),
    );
    put(
        &root,
        "proc/diskstats",
        &format!(" {major} {minor} sda1 1 2 3 4 5 6 7 8 9 10 11\n"),
    );
    put(&root, "layers/web/file", "some bytes");
    let identity = Identity {
        layer: Some(PathBuf::from("/layers/web")),
        ..site.start(1, "web")
    };
    site.agent.identities.set(identity);
    let usages = Arc::new(Usages::new(
        Host::below(&root),
        Arc::clone(&site.agent.identities),
    ));
    usages.start().unwrap();
    let measured = std::time::Instant::now();
    while usages.of(&id(1)).is_none() {
        assert!(measured.elapsed().as_secs() < 20, "not measured");
        std::thread::sleep(Duration::from_millis(5));
    }
    let usage = usages.of(&id(1)).unwrap();
    site.agent.usages = Some(usages);
    let page = site.page(usage.measured_ms + 1500);
    let web = format!("id=\"/docker/{}\",image=\"img\",name=\"web\"", id(1));
    for (family, value) in [
        ("usage_bytes", usage.bytes.to_string()),
        ("inodes_total", "2".to_owned()),
        ("inodes_free", "0".to_owned()),
        ("reads_total", "1".to_owned()),
    ] {
        let line = format!("container_fs_{family}{{device=\"/dev/sda1\",{web}}} {value} ");
        assert!(page.contains(&line), "no {line}\n{page}");
    }
    let age = format!("container_agent_fs_usage_age_seconds{{{web}}} 1.5 ");
    assert!(page.contains(&age), "no {age}\n{page}");
    // What the cgroup counts of the device stands for the device's own number, not beside it.
    std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    std::os::unix::fs::symlink("../../sda1", root.join("sys/dev/block/8:0")).unwrap();
    put(
        &root,
        &format!("cg/docker/{}/io.stat", id(1)),
        "8:0 rbytes=5 rios=3\n",
    );
    let counted = site.page(usage.measured_ms + 2000);
    let series = format!("container_fs_reads_total{{device=\"/dev/sda1\",{web}}} ");
    let values: Vec<&str> = counted
        .lines()
        .filter_map(|l| l.strip_prefix(&series))
        .collect();
    assert_eq!(values.len(), 1, "{values:?}");
    assert!(values[0].starts_with("3 "), "{values:?}");
    let root = "container_fs_reads_total{device=\"/dev/sda1\",id=\"/\",image=\"\",name=\"\"} 1 ";
    assert!(page.contains(root), "no {root}\n{page}");
}
