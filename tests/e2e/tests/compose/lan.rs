//! Hosts on one network: a network namespace each, joined by a bridge in one more.
//!
//! ```text
//!   the test ── fwN 198.18.X.1 ──┐
//!   host 1 ──── eth0 198.18.X.11 ─┼── bridge
//!   host 2 ──── eth0 198.18.X.12 ─┘
//! ```
//!
//! A namespace goes with the processes in it, and its interfaces with the namespace: nothing is to be
//! cleaned up.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::{Process, part, wait_for};

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// The bridge, and this host's end of it.
pub(crate) struct Lan {
    switch: Process,
    /// The third number of all addresses.
    net: u32,
    joined: u32,
}

impl Lan {
    /// Makes the network; `None`, said loudly, where that is not allowed.
    ///
    /// # Panics
    /// With `CI=true`, instead of `None`.
    pub(crate) fn new(dir: &Path) -> Option<Lan> {
        part::program("nsenter", "apt-get install util-linux")?;
        if !Path::new("/usr/sbin/ip").is_file() && !Path::new("/sbin/ip").is_file() {
            part::missing("ip", "apt-get install iproute2");
            return None;
        }
        let args = ["--net", "sleep", "infinity"].map(str::to_owned);
        let mut switch = Process::start("switch", Path::new("unshare"), &args, dir);
        let id = switch.id().expect("it has just been started");
        let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
        let moved = wait_for("a network namespace", Duration::from_secs(20), || {
            let there =
                namespace(&id.to_string()).filter(|net| Some(net) != namespace("self").as_ref());
            (there.is_some() || !switch.is_running()).then_some(there.is_some())
        });
        if !moved {
            part::missing("the right to make network namespaces", "run as root");
            return None;
        }
        inside(id, &["ip", "link", "add", "lan", "type", "bridge"]);
        inside(id, &["ip", "link", "set", "lan", "up"]);
        let mut lan = Lan {
            switch,
            // Private to this network: other tests, and other test programs, may have theirs.
            net: (std::process::id() * 2 + NETWORKS.fetch_add(1, Ordering::Relaxed)) % 250,
            joined: 0,
        };
        let own = lan.join(None, 1);
        assert_eq!(own, lan.address(1));
        Some(lan)
    }

    pub(crate) fn address(&self, host: u32) -> String {
        format!("198.18.{}.{host}", self.net)
    }

    /// Gives the namespace of a process (or the test's own) an interface with the address of `host`.
    pub(crate) fn join(&mut self, process: Option<u32>, host: u32) -> String {
        let switch = self
            .switch
            .id()
            .expect("it runs as long as we do")
            .to_string();
        self.joined += 1;
        let (near, far) = (
            format!("fw{}n{}", self.net, self.joined),
            format!("fw{}f{}", self.net, self.joined),
        );
        run(&[
            "ip", "link", "add", &near, "type", "veth", "peer", "name", &far,
        ]);
        run(&["ip", "link", "set", &far, "netns", &switch]);
        let id = self.switch.id().expect("it runs as long as we do");
        inside(id, &["ip", "link", "set", &far, "master", "lan"]);
        inside(id, &["ip", "link", "set", &far, "up"]);
        let address = self.address(host);
        let with_mask = format!("{address}/24");
        let words: [&[&str]; 3] = [
            &["ip", "address", "add", &with_mask, "dev", &near],
            &["ip", "link", "set", &near, "up"],
            &["ip", "link", "set", "lo", "up"],
        ];
        if let Some(process) = process {
            run(&["ip", "link", "set", &near, "netns", &process.to_string()]);
            for words in words {
                inside(process, words);
            }
        } else {
            for words in &words[..2] {
                run(words);
            }
        }
        address
    }
}

fn inside(process: u32, words: &[&str]) {
    let net = format!("--net=/proc/{process}/ns/net");
    let mut all = vec!["nsenter", &net];
    all.extend(words);
    run(&all);
}

fn run(words: &[&str]) {
    // Debian has ip where not every user looks.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
}
