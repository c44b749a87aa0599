//! Files of `/proc`: what a container's processes say of network, sockets, scheduling and limits.
//! Texts in, values out; where the files are is the caller's.

use std::collections::BTreeMap;

use crate::info::{Interface, Schedstat, Tcp, Udp, Ulimit};
use crate::metrics::ADVANCED_TCP;

/// Devices that belong to other containers or to nobody.
const IGNORED_DEVICES: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// `/proc/<pid>/net/dev`. One line that is not as expected, and none of the file counts.
pub fn net_dev(text: &str) -> Option<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for line in text.lines().skip(2) {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Option<Vec<u64>> = numbers
            .split_whitespace()
            .map(|field| field.parse().ok())
            .collect();
        let n = numbers.filter(|numbers| numbers.len() == 16)?;
        let name = name.trim();
        let lower = name.to_ascii_lowercase();
        if IGNORED_DEVICES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
        {
            continue;
        }
        interfaces.push(Interface {
            name: name.to_owned(),
            rx_bytes: n[0],
            rx_packets: n[1],
            rx_errors: n[2],
            rx_dropped: n[3],
            tx_bytes: n[8],
            tx_packets: n[9],
            tx_errors: n[10],
            tx_dropped: n[11],
        });
    }
    Some(interfaces)
}

/// `/proc/<pid>/net/tcp`, `tcp6`: sockets by the state in the fourth column (kernel `tcp_states.h`).
pub fn tcp(text: &str) -> Tcp {
    let mut tcp = Tcp::default();
    for line in text.lines().skip(1) {
        let count = match line.split_whitespace().nth(3) {
            Some("01") => &mut tcp.established,
            Some("02") => &mut tcp.syn_sent,
            Some("03") => &mut tcp.syn_recv,
            Some("04") => &mut tcp.fin_wait1,
            Some("05") => &mut tcp.fin_wait2,
            Some("06") => &mut tcp.time_wait,
            Some("07") => &mut tcp.close,
            Some("08") => &mut tcp.close_wait,
            Some("09") => &mut tcp.last_ack,
            Some("0A") => &mut tcp.listen,
            Some("0B") => &mut tcp.closing,
            _ => continue,
        };
        *count += 1;
    }
    tcp
}

/// `/proc/<pid>/net/udp`, `udp6`. Upstream takes the first number of `tx_queue:rx_queue` for what was
/// received; so it is here.
pub fn udp(text: &str) -> Udp {
    let mut udp = Udp::default();
    for line in text.lines().skip(1) {
        udp.listen += 1;
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.len() != 13 {
            continue;
        }
        let Some((rx, tx)) = fields[4].split_once(':') else {
            continue;
        };
        let hex = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        udp.rx_queued += hex(rx);
        udp.tx_queued += hex(tx);
        udp.dropped += fields[12].parse::<u64>().unwrap_or(0);
    }
    udp
}

/// `/proc/<pid>/net/netstat` and `snmp`: lines of names, each followed by one of values.
pub fn advanced_tcp(text: &str, out: &mut BTreeMap<String, f64>) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut names = names.split(' ');
        if !matches!(names.next(), Some("TcpExt:" | "Tcp:")) {
            continue;
        }
        for (name, value) in names.zip(values.split(' ').skip(1)) {
            if let Ok(value) = value.parse()
                && ADVANCED_TCP.contains(&name)
            {
                out.insert(name.to_owned(), value);
            }
        }
    }
}

/// `/proc/<pid>/schedstat`: nanoseconds running, nanoseconds waiting, times run.
pub fn schedstat(text: &str) -> Option<Schedstat> {
    let mut fields = text
        .split_whitespace()
        .map(|field| field.parse::<u64>().ok());
    Some(Schedstat {
        run_time: fields.next()??,
        runqueue_time: fields.next()??,
        run_periods: fields.next()??,
    })
}

/// `/proc/<pid>/limits`: the one limit upstream shows.
pub fn limits(text: &str) -> Vec<Ulimit> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    let soft_limit = match soft {
        Some("unlimited") => Some(-1),
        Some(number) => number.parse().ok(),
        None => None,
    };
    let limit = |soft_limit| Ulimit {
        name: "max_open_files".to_owned(),
        soft_limit,
    };
    soft_limit.map(limit).into_iter().collect()
}

/// The cgroup of a process by `/proc/<pid>/cgroup`: `0::/path`, or version 1's memory or cpu line.
pub fn cgroup_path(text: &str, version: u8) -> Option<&str> {
    let mut lines = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some((controllers, path))
    });
    let (_, path) = lines.find(|(controllers, _)| match version {
        1 => controllers.split(',').any(|c| c == "memory" || c == "cpu"),
        _ => controllers.is_empty(),
    })?;
    // A path outside of our own cgroup namespace says nothing here.
    (path.starts_with('/') && !path.starts_with("/..")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0\nveth1:1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n";

    #[test]
    fn interfaces() {
        let found = net_dev(DEV).unwrap();
        assert_eq!(found.len(), 1);
        let eth0 = &found[0];
        assert_eq!(eth0.name, "eth0");
        assert_eq!((eth0.rx_bytes, eth0.rx_dropped), (10, 13));
        assert_eq!((eth0.tx_bytes, eth0.tx_dropped), (20, 23));
        assert_eq!(net_dev(&DEV.replace(" 22 23", "")), None);
    }

    #[test]
    fn sockets() {
        let text = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0 0\n   1: 0100007F:1F90 00000000:0000 01 0 0\n   2: x\n";
        let tcp = tcp(text);
        assert_eq!((tcp.listen, tcp.established, tcp.close), (1, 1, 0));
        let text = "header\n  1: 00000000:0044 00000000:0000 07 0000000A:00000001 00:00000000 00000000 0 0 1 2 p 7\n cut\n";
        let udp = udp(text);
        assert_eq!(
            (udp.listen, udp.rx_queued, udp.tx_queued, udp.dropped),
            (2, 10, 1, 7)
        );
    }

    #[test]
    fn the_rest() {
        let mut out = BTreeMap::new();
        advanced_tcp(
            "TcpExt: SyncookiesSent New\nTcpExt: 3 4\nUdp: A\nUdp: 1\nTcp: MaxConn\nTcp: -1\n",
            &mut out,
        );
        assert_eq!(out["SyncookiesSent"], 3.0);
        assert_eq!(out["MaxConn"], -1.0);
        assert_eq!(out.len(), 2);
        assert_eq!(schedstat("1 2 3\n").map(|s| s.run_periods), Some(3));
        assert_eq!(schedstat("1 2\n"), None);
        assert_eq!(
            limits("Max open files  1024  4096  files\n")[0].soft_limit,
            1024
        );
        assert_eq!(
            limits("Max open files  unlimited  unlimited  files\n")[0].soft_limit,
            -1
        );
        assert!(limits("").is_empty());
        assert_eq!(cgroup_path("0::/docker/ab\n", 2), Some("/docker/ab"));
        assert_eq!(cgroup_path("0::/../ab\n", 2), None);
        let one = "5:cpu,cpuacct:/docker/ab\n0::/x\n";
        assert_eq!(cgroup_path(one, 1), Some("/docker/ab"));
    }
}
