//! DNS discovery against dnsmasq, which the store is shown as the system's name server.

use std::path::Path;
use std::process::Command;

use e2e::{Process, part, wait_for};

use crate::store::{LIMIT, Store, addresses};

const HOW: &str = "apt-get install dnsmasq-base, and root";

/// A name server on an address of loopback that no other test has.
struct Server {
    process: Process,
    address: String,
    dir: tempfile::TempDir,
}

impl Server {
    fn start(records: &str) -> Option<Server> {
        // SAFETY: geteuid(2) has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            part::missing("root, for the name server's port", HOW);
            return None;
        }
        let places = ["/usr/sbin/dnsmasq", "/sbin/dnsmasq", "/usr/bin/dnsmasq"];
        let Some(program) = places.iter().map(Path::new).find(|path| path.is_file()) else {
            part::missing("dnsmasq", HOW);
            return None;
        };
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let id = std::process::id();
        let address = format!("127.53.{}.{}", (id >> 8) & 0xff, (id & 0x7f) + 1);
        let config = dir.path().join("dnsmasq.conf");
        write(&config, &address, records);
        let args = vec![
            "--keep-in-foreground".to_owned(),
            format!("--conf-file={}", config.display()),
        ];
        let process = Process::start("dnsmasq", program, &args, dir.path());
        Some(Server {
            process,
            address,
            dir,
        })
    }

    fn set(&mut self, records: &str) {
        self.process.kill();
        write(
            &self.dir.path().join("dnsmasq.conf"),
            &self.address,
            records,
        );
        self.process.restart();
    }
}

fn write(path: &Path, address: &str, records: &str) {
    let text = format!(
        "no-resolv\nno-hosts\nuser=root\nlisten-address={address}\nbind-interfaces\nport=53\npid-file=\nlocal=/test/\n{records}"
    );
    std::fs::write(path, text).expect("the folder can be written");
}

const RECORDS: &str = "srv-host=_metrics._tcp.test,a.test,9100\nsrv-host=_metrics._tcp.test,b.test,9101\nhost-record=web.test,10.0.0.1\nhost-record=web.test,fd00::1\nmx-host=test,mail.test,10\n";

#[test]
fn records_become_targets() {
    let Some(mut server) = Server::start(RECORDS) else {
        return;
    };
    // The store sees a resolv.conf of its own.
    let resolv = server.dir.path().join("resolv.conf");
    std::fs::write(
        &resolv,
        format!(
            "nameserver {}\noptions timeout:1 attempts:1\n",
            server.address
        ),
    )
    .expect("the folder can be written");
    let mount = format!(
        "mount --bind {} /etc/resolv.conf && exec \"$@\"",
        resolv.display()
    );
    let before: Vec<String> = ["unshare", "--mount", "sh", "-c", &mount, "sh"]
        .map(str::to_owned)
        .to_vec();
    let works = Command::new(&before[0])
        .args(&before[1..])
        .arg("true")
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        part::missing("the right to mount", HOW);
        return;
    }
    let section = |record: &str, name: &str, port: &str| {
        format!("  - {{type: {record}, names: [{name}], refresh_interval: 1s{port}}}\n")
    };
    let config = format!(
        "scrape_configs:\n- job_name: dns\n  scrape_interval: 10m\n  dns_sd_configs:\n{}{}{}{}{}",
        section("SRV", "_metrics._tcp.test", ""),
        section("A", "web.test", ", port: 80"),
        section("AAAA", "web.test", ", port: 80"),
        section("MX", "test", ", port: 25"),
        section("A", "nobody.test", ", port: 1"),
    );
    let store = Store::start_under(&before, &config, &[]);
    let targets = store.until_addresses(&[
        "10.0.0.1:80",
        "[fd00::1]:80",
        "a.test:9100",
        "b.test:9101",
        "mail.test:25",
    ]);
    let of = |address: &str| {
        let mut all = targets.iter();
        all.find(|target| target.discovered["__address__"] == address)
            .expect("it was waited for")
    };
    let label = |address: &str, name: &str| of(address).discovered.get(name).cloned();
    assert_eq!(
        label("a.test:9100", "__meta_dns_name").as_deref(),
        Some("_metrics._tcp.test")
    );
    assert_eq!(
        label("a.test:9100", "__meta_dns_srv_record_target").as_deref(),
        Some("a.test.")
    );
    assert_eq!(
        label("a.test:9100", "__meta_dns_srv_record_port").as_deref(),
        Some("9100")
    );
    assert_eq!(
        label("mail.test:25", "__meta_dns_mx_record_target").as_deref(),
        Some("mail.test.")
    );

    // A record more, one that moved, and one that went.
    server.set("srv-host=_metrics._tcp.test,a.test,9100\nsrv-host=_metrics._tcp.test,c.test,9102\nhost-record=web.test,10.0.0.2\n");
    let moved = ["10.0.0.2:80", "a.test:9100", "c.test:9102"];
    store.until_addresses(&moved);

    // Nobody answers: that is counted and shown, and the last targets stay.
    server.process.kill();
    store.until_problem("_metrics._tcp.test SRV");
    assert!(store.metric("prometheus_sd_dns_lookup_failures_total") >= 1.0);
    assert_eq!(addresses(&store.targets()), moved);
    server.process.restart();
    wait_for("no problem", LIMIT, || {
        store.problems().is_empty().then_some(())
    });
    assert_eq!(addresses(&store.targets()), moved);
}
