//! Hosts that are not as they should be: files missing, empty, cut, binary.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use service::Boot;
use tower::ServiceExt;

async fn page(flags: &[String], path: &str) -> (u16, String) {
    let boot = Boot::new(&node_agent::PROGRAM, flags).unwrap();
    let router = node_agent::router(&boot, node_agent::build(&boot.args).unwrap());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn flags(root: &Path) -> Vec<String> {
    let path = |name: &str, dir: &str| format!("--path.{name}={}", root.join(dir).display());
    vec![
        path("procfs", "proc"),
        path("sysfs", "sys"),
        path("rootfs", ""),
        path("udev.data", "udev"),
    ]
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

const STAT: &[u8] = b"cpu  1 2 3 4\ncpu0 100 2 3 400 5 6 7 8 9 10\nctxt 7\nbtime 1418183276\n";

#[tokio::test]
async fn a_missing_file_costs_its_own_collector() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "proc/stat", STAT);
    write(root.path(), "proc/loadavg", b"0.21 0.37 0.39 1/719 19737\n");
    write(
        root.path(),
        "proc/meminfo",
        b"MemTotal: 16 kB\nHugePages_Total: 3\n",
    );
    let (status, page) = page(&flags(root.path()), "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "node_load1 0.21",
        "node_memory_MemTotal_bytes 16384",
        "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 4",
        "node_scrape_collector_success{collector=\"cpu\"} 1",
        "node_scrape_collector_success{collector=\"diskstats\"} 0",
        "node_scrape_collector_success{collector=\"zfs\"} 0",
    ] {
        assert!(
            page.lines().any(|l| l == line),
            "{line} is not on the page:\n{page}"
        );
    }
}

#[tokio::test]
async fn broken_files_lose_no_other_metrics() {
    let names = [
        "proc/loadavg",
        "proc/meminfo",
        "proc/diskstats",
        "proc/net/dev",
        "proc/net/arp",
        "proc/net/netstat",
        "proc/net/snmp",
        "proc/net/snmp6",
        "proc/net/sockstat",
        "proc/net/softnet_stat",
        "proc/net/udp",
        "proc/net/ip_vs",
        "proc/net/ip_vs_stats",
        "proc/net/rpc/nfs",
        "proc/net/rpc/nfsd",
        "proc/net/stat/nf_conntrack",
        "proc/vmstat",
        "proc/schedstat",
        "proc/mdstat",
        "proc/pressure/cpu",
        "proc/1/mountinfo",
        "proc/sys/fs/file-nr",
        "proc/sys/kernel/random/entropy_avail",
        "proc/interrupts",
        "proc/spl/kstat/zfs/arcstats",
        "sys/class/net/eth0/speed",
        "sys/class/hwmon/hwmon0/temp1_input",
        "sys/fs/xfs/sda1/stats/stats",
        "sys/fs/bcache/a/bdev0/writeback_rate_debug",
        "sys/fs/btrfs/a/allocation/data/raid5/total_bytes",
        "sys/class/thermal/thermal_zone0/temp",
        "etc/os-release",
    ];
    let contents: [&[u8]; 8] = [
        b"",
        b"\n",
        b"\0\xff\xfe\x00garbage",
        b"a",
        b"-1 -1 -1 -1",
        b"a: 1 2\nb: x y\n",
        b"99999999999999999999999999 99999999999999999999999999",
        b"\n\n:\n::\n-> a:b c d e f\n",
    ];
    for content in contents {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            write(root.path(), name, content);
        }
        write(root.path(), "proc/stat", STAT);
        let mut flags = flags(root.path());
        flags.push("--collector.interrupts".to_owned());
        let (status, page) = page(&flags, "/metrics").await;
        assert_eq!(status, 200);
        assert!(
            page.contains("node_context_switches_total 7\n"),
            "{content:?}"
        );
        assert!(page.contains("node_scrape_collector_success{collector=\"stat\"} 1\n"));
    }
}

#[tokio::test]
async fn filters_that_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let flags = flags(root.path());
    let refused = "Combined collect and exclude queries are not allowed.";
    let (status, text) = page(&flags, "/metrics?collect[]=cpu&exclude[]=cpu").await;
    assert_eq!((status, text.as_str()), (400, refused));
    let (status, text) = page(&flags, "/metrics?collect[]=wifi").await;
    assert_eq!(status, 400);
    assert!(text.ends_with("disabled collector: wifi"), "{text}");
    let (status, text) = page(&flags, "/metrics?exclude[]=stat").await;
    assert_eq!(status, 200);
    assert!(!text.contains("collector=\"stat\"") && text.contains("collector=\"cpu\""));
}

#[test]
fn what_is_missing_is_refused_by_name() {
    let boot = Boot::new(&node_agent::PROGRAM, &["--collector.ntp"]).unwrap();
    let error = node_agent::build(&boot.args).err().unwrap();
    assert!(error.contains("--collector.ntp"), "{error}");
    let both = [
        "--collector.netdev.device-include=a",
        "--collector.netdev.device-exclude=b",
    ];
    let boot = Boot::new(&node_agent::PROGRAM, &both).unwrap();
    let error = node_agent::build(&boot.args).err().unwrap();
    assert!(
        error.contains("device-exclude & device-include are mutually exclusive"),
        "{error}"
    );
}
