//! Whether the ports are free, before minutes go into a build.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt;

use super::services::{Port, Service};

/// One error that names every taken port, and its owner where /proc tells.
pub fn check(services: &[Service]) -> Result<(), String> {
    let mut taken = Vec::new();
    for service in services {
        for port in &service.ports {
            if is_taken(*port) {
                let owner = owner(*port).map_or_else(String::new, |owner| format!(", by {owner}"));
                let kind = if port.udp { "UDP port" } else { "port" };
                taken.push(format!(
                    "{kind} {} ({} of {}) is already in use{owner}",
                    port.number, port.what, service.name
                ));
            }
        }
    }
    if taken.is_empty() {
        Ok(())
    } else {
        Err(taken.join("\n       "))
    }
}

/// Another listener on any address counts; being denied an address family does not.
fn is_taken(port: Port) -> bool {
    let addresses = [
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.number)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.number)),
    ];
    addresses.iter().any(|address| {
        let result = if port.udp {
            UdpSocket::bind(address).map(drop)
        } else {
            TcpListener::bind(address).map(drop)
        };
        matches!(result, Err(error) if error.kind() == ErrorKind::AddrInUse)
    })
}

/// `name (pid 12)` of the process that listens on a port.
fn owner(port: Port) -> Option<String> {
    let files = if port.udp {
        ["udp", "udp6"]
    } else {
        ["tcp", "tcp6"]
    };
    let inode = files.iter().find_map(|file| {
        let table = std::fs::read_to_string(format!("/proc/net/{file}")).ok()?;
        listening_inode(&table, port)
    })?;
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name();
        let Some(pid) = pid
            .to_str()
            .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        // Those of other users cannot be read.
        let Ok(fds) = std::fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = fds
            .flatten()
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| link.as_os_str().as_bytes() == wanted.as_bytes());
        if holds {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The inode of the listening socket in a `/proc/net` table: column 2 is address:port in
/// hexadecimal, column 4 the state (0A listens, UDP has 07), column 10 the inode.
fn listening_inode(table: &str, port: Port) -> Option<u64> {
    let state = if port.udp { "07" } else { "0A" };
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, number) = columns.get(1)?.rsplit_once(':')?;
        let matches =
            u16::from_str_radix(number, 16).ok()? == port.number && *columns.get(3)? == state;
        if matches {
            columns.get(9)?.parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_number = udp.local_addr().unwrap().port();
        let service = Service {
            name: "thing",
            ports: vec![
                Port {
                    number,
                    udp: false,
                    what: "HTTP",
                },
                Port {
                    number: udp_number,
                    udp: true,
                    what: "StatsD",
                },
            ],
            args: vec![],
            page: "",
            look_at: "",
        };
        let error = check(std::slice::from_ref(&service)).unwrap_err();
        let me = std::process::id();
        let first = error.lines().next().unwrap();
        assert!(
            first.starts_with(&format!(
                "port {number} (HTTP of thing) is already in use, by "
            )),
            "{error}"
        );
        assert!(first.ends_with(&format!("(pid {me})")), "{error}");
        assert!(
            error.contains(&format!(
                "UDP port {udp_number} (StatsD of thing) is already in use"
            )),
            "{error}"
        );
        drop((listener, udp));
        assert_eq!(check(&[service]), Ok(()));
    }

    #[test]
    fn tables() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:2382 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n   1: 00000000:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
        let port = Port {
            number: 0x2382,
            udp: false,
            what: "",
        };
        assert_eq!(listening_inode(table, port), Some(222));
        assert_eq!(listening_inode(table, Port { number: 1, ..port }), None);
        assert_eq!(listening_inode("", port), None);
    }
}
