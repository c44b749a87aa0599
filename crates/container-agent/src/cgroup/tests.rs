//! Trees of files as the kernel shows them, version 1 and 2.

use std::path::Path;

use super::*;
use crate::groups::Group;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn v2() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = "system.slice/docker-ab.scope";
    let put = |file: &str, text: &str| write(dir.path(), &format!("{at}/{file}"), text);
    write(dir.path(), "cgroup.controllers", "cpu memory\n");
    write(dir.path(), "cpu.stat", "usage_usec 9\n");
    put("cgroup.events", "populated 1\n");
    put("cgroup.procs", "12\n34\n");
    put(
        "cpu.stat",
        "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 4\n",
    );
    put("cpu.max", "50000 100000\n");
    put("cpu.weight", "100\n");
    put(
        "cpu.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=21\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=20\n",
    );
    put("memory.current", "1000\n");
    put("memory.peak", "2000\n");
    put("memory.max", "max\n");
    put("memory.min", "0\n");
    put("memory.swap.current", "11\n");
    put("memory.swap.max", "4096\n");
    put(
        "memory.stat",
        "anon 100\nfile 200\nkernel 30\nfile_mapped 40\ninactive_file 250\nactive_file 60\npgfault 70\npgmajfault 8\nfile_dirty 9\n",
    );
    put("memory.events", "low 0\nhigh 3\nmax 4\noom 5\noom_kill 6\n");
    put(
        "io.stat",
        "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\nx:y rbytes=1\n253:1\n",
    );
    put("pids.current", "5\n");
    put("pids.max", "max\n");
    put("hugetlb.2MB.current", "4096\n");
    put("hugetlb.2MB.rsvd.current", "1\n");
    put("hugetlb.2MB.events", "max 2\n");
    dir
}

#[test]
fn version_2() {
    let dir = v2();
    let cgroups = Cgroups::find(dir.path()).unwrap();
    assert_eq!(cgroups.version(), 2);
    let path = "/system.slice/docker-ab.scope";
    let paths: Vec<String> = cgroups.list().unwrap().into_iter().collect();
    assert_eq!(paths, ["/", "/system.slice", path]);
    assert_eq!(cgroups.processes(path), [12, 34]);

    let (spec, stats) = cgroups.read(path, Groups::all()).unwrap();
    assert_eq!(
        (spec.cpu.quota, spec.cpu.period, spec.cpu.limit),
        (50_000, 100_000, 2597)
    );
    assert!(spec.has_memory && cgroups.created_ms(path).is_some());
    assert_eq!(
        (spec.memory.limit, spec.memory.swap_limit),
        (u64::MAX, 4096)
    );
    let cpu = stats.cpu.unwrap();
    assert_eq!(
        (cpu.usage.total, cpu.usage.user, cpu.usage.system),
        (5000, 3000, 2000)
    );
    assert_eq!((cpu.cfs.periods, cpu.cfs.throttled_time), (7, 4000));
    assert_eq!((cpu.psi.some.total, cpu.psi.full.total), (21, 20));
    let memory = stats.memory.unwrap();
    assert_eq!(
        (memory.usage, memory.max_usage, memory.swap),
        (1000, 2000, 11)
    );
    assert_eq!(
        (memory.rss, memory.cache, memory.kernel_usage),
        (100, 200, 30)
    );
    assert_eq!(memory.working_set, 750);
    assert_eq!(
        (memory.events.high, memory.events.max, stats.oom_events),
        (3, 4, 6)
    );
    assert_eq!(memory.hierarchical_data.pgfault, 70);
    let io = stats.disk_io.unwrap();
    assert_eq!(io.io_service_bytes.len(), 1);
    assert_eq!(
        (
            io.io_service_bytes[0].major,
            io.io_service_bytes[0].stats["Write"]
        ),
        (8, 2)
    );
    assert_eq!(io.io_serviced[0].stats["Read"], 3);
    assert_eq!(io.io_cost_usage[0].stats["Count"], 7);
    assert_eq!(stats.processes.unwrap().threads_max, 0);
    assert_eq!(
        (stats.hugetlb["2MB"].usage, stats.hugetlb["2MB"].failcnt),
        (4096, 2)
    );
    assert_eq!(stats.hugetlb.len(), 1);
}

#[test]
fn the_root_of_version_2_has_no_limits() {
    let dir = v2();
    let cgroups = Cgroups::find(dir.path()).unwrap();
    let (spec, stats) = cgroups.read("/", Groups::all()).unwrap();
    assert!(spec.has_cpu && !spec.has_memory);
    assert_eq!(stats.cpu.unwrap().usage.total, 9000);
}

#[test]
fn what_is_cut_short_is_not_there() {
    let dir = v2();
    let at = "system.slice/docker-ab.scope";
    write(dir.path(), &format!("{at}/memory.current"), "10");
    write(
        dir.path(),
        &format!("{at}/cpu.stat"),
        "usage_usec 5\nuser_usec 3",
    );
    write(dir.path(), &format!("{at}/cpu.max"), "nonsense\n");
    write(dir.path(), &format!("{at}/memory.stat"), "");
    std::fs::write(dir.path().join(at).join("io.stat"), [0xff, b'\n']).unwrap();
    let cgroups = Cgroups::find(dir.path()).unwrap();
    let (spec, stats) = cgroups.read(&format!("/{at}"), Groups::all()).unwrap();
    let cpu = stats.cpu.unwrap();
    assert_eq!((cpu.usage.total, cpu.usage.user), (5000, 0));
    assert_eq!(stats.memory.unwrap().usage, 0);
    assert_eq!(spec.cpu.quota, 0);
    assert!(stats.disk_io.unwrap().io_service_bytes.is_empty());
    assert!(cgroups.read("/gone", Groups::all()).is_none());
}

fn v1() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| write(dir.path(), path, text);
    for at in ["", "docker/ab/"] {
        put(&format!("cpu/{at}cpu.shares"), "512\n");
        put(&format!("cpu/{at}cpu.cfs_quota_us"), "-1\n");
        put(&format!("cpu/{at}cpu.cfs_period_us"), "100000\n");
        put(
            &format!("cpu/{at}cpu.stat"),
            "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n",
        );
        put(&format!("cpuacct/{at}cpuacct.usage"), "123\n");
        put(&format!("cpuacct/{at}cpuacct.usage_percpu"), "100 0 23\n");
        put(&format!("cpuacct/{at}cpuacct.stat"), "user 5\nsystem 6\n");
        put(&format!("memory/{at}memory.usage_in_bytes"), "1000\n");
        put(&format!("memory/{at}memory.failcnt"), "4\n");
        put(&format!("memory/{at}memory.use_hierarchy"), "1\n");
        put(
            &format!("memory/{at}memory.limit_in_bytes"),
            "9223372036854771712\n",
        );
        put(
            &format!("memory/{at}memory.oom_control"),
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        );
        put(
            &format!("memory/{at}memory.stat"),
            "cache 1\nrss 2\npgfault 3\ntotal_cache 10\ntotal_rss 20\ntotal_inactive_file 100\ntotal_active_file 7\n",
        );
        put(
            &format!("memory/{at}memory.numa_stat"),
            "total=3 N0=1 N1=2\nfile=3 N0=1 N1=2\nhierarchical_anon=9 N0=9\n",
        );
    }
    put("blkio/cgroup.procs", "");
    put("blkio/blkio.throttle.io_service_bytes", "Total 0\n");
    put(
        "blkio/docker/ab/blkio.throttle.io_service_bytes",
        "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
    );
    put("pids/cgroup.procs", "");
    put("pids/docker/ab/pids.current", "3\n");
    put("pids/docker/ab/pids.max", "100\n");
    put("cpu/docker/ab/cgroup.procs", "7\n");
    put("memory/only-here/memory.usage_in_bytes", "1\n");
    dir
}

#[test]
fn version_1() {
    let dir = v1();
    let cgroups = Cgroups::find(dir.path()).unwrap();
    assert_eq!(cgroups.version(), 1);
    let paths: Vec<String> = cgroups.list().unwrap().into_iter().collect();
    assert_eq!(paths, ["/", "/docker", "/docker/ab", "/only-here"]);
    assert_eq!(cgroups.processes("/docker/ab"), [7]);

    let (spec, stats) = cgroups.read("/docker/ab", Groups::all()).unwrap();
    assert_eq!(
        (spec.cpu.limit, spec.cpu.quota, spec.cpu.period),
        (512, 0, 100_000)
    );
    assert!(spec.has_memory && spec.memory.limit > 1 << 62);
    let cpu = stats.cpu.unwrap();
    assert_eq!(cpu.usage.per_cpu_usage, [100, 0, 23]);
    assert_eq!((cpu.usage.user, cpu.usage.system), (50_000_000, 60_000_000));
    assert_eq!(cpu.cfs.throttled_time, 3);
    let memory = stats.memory.unwrap();
    assert_eq!(
        (memory.cache, memory.rss, memory.working_set),
        (10, 20, 900)
    );
    assert_eq!((memory.failcnt, stats.oom_events), (4, 2));
    assert_eq!(memory.container_data.numa_stats.file["1"], 2);
    assert_eq!(memory.hierarchical_data.numa_stats.anon["0"], 9);
    let io = stats.disk_io.unwrap();
    assert_eq!(io.io_service_bytes.len(), 1);
    assert_eq!(io.io_service_bytes[0].stats["Total"], 30);
    assert_eq!(stats.processes.unwrap().threads_max, 100);

    let groups = Groups::default().with(Group::Cpu);
    let (_, stats) = cgroups.read("/docker/ab", groups).unwrap();
    assert!(stats.cpu.unwrap().usage.per_cpu_usage.is_empty() && stats.disk_io.is_none());
    assert!(cgroups.read("/only-here", Groups::all()).is_some());
    assert!(cgroups.read("/gone", Groups::all()).is_none());
}

#[test]
fn no_cgroups() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let text = Cgroups::find(&none).unwrap_err().to_string();
    assert!(text.starts_with(&format!(
        "no cgroups at {}: mount them there",
        none.display()
    )));
    assert!(matches!(Cgroups::find(dir.path()), Err(Error::Missing(_))));
}

#[test]
fn long_files_are_read_to_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let long: String = (0..20_000).map(|pid| format!("{pid}\n")).collect();
    write(dir.path(), "cgroup.controllers", "cpu\n");
    write(dir.path(), "a/cgroup.procs", &long);
    write(dir.path(), "a/without-end", "1");
    let cgroups = Cgroups::find(dir.path()).unwrap();
    assert_eq!(cgroups.processes("/a").len(), 20_000);
    let without = read_file(&dir.path().join("a/without-end"));
    assert_eq!(without.as_deref(), Some("1"));
    assert_eq!(read_file(&dir.path().join("none")), None);
}
