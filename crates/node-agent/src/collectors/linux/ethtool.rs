//! ethtool: counters, driver and link modes of network devices, asked by ioctl.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use golang::regexp::Regexp;
use service::Args;

use super::filter::{Filter, pattern};
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// Counters that have a name and a help of their own.
const KNOWN: [(&str, &str, &str); 7] = [
    (
        "rx_bytes",
        "node_ethtool_received_bytes_total",
        "Network interface bytes received",
    ),
    (
        "rx_dropped",
        "node_ethtool_received_dropped_total",
        "Number of received frames dropped",
    ),
    (
        "rx_errors",
        "node_ethtool_received_errors_total",
        "Number of received frames with errors",
    ),
    (
        "rx_packets",
        "node_ethtool_received_packets_total",
        "Network interface packets received",
    ),
    (
        "tx_bytes",
        "node_ethtool_transmitted_bytes_total",
        "Network interface bytes sent",
    ),
    (
        "tx_errors",
        "node_ethtool_transmitted_errors_total",
        "Number of sent frames with errors",
    ),
    (
        "tx_packets",
        "node_ethtool_transmitted_packets_total",
        "Network interface packets sent",
    ),
];

/// Bit, Mbit/s, duplex and medium of the link modes that the 32 bits of ETHTOOL_GSET can say.
const SPEEDS: [(u32, u32, &str, &str); 22] = [
    (0, 10, "half", "T"),
    (1, 10, "full", "T"),
    (2, 100, "half", "T"),
    (3, 100, "full", "T"),
    (4, 1000, "half", "T"),
    (5, 1000, "full", "T"),
    (12, 10_000, "full", "T"),
    (17, 1000, "full", "KX"),
    (18, 10_000, "full", "KX4"),
    (19, 10_000, "full", "KR"),
    (20, 10_000, "full", "R_FEC"),
    (21, 20_000, "full", "MLD2"),
    (22, 20_000, "full", "KR2"),
    (23, 40_000, "full", "KR4"),
    (24, 40_000, "full", "CR4"),
    (25, 40_000, "full", "SR4"),
    (26, 40_000, "full", "LR4"),
    (27, 56_000, "full", "KR4"),
    (28, 56_000, "full", "CR4"),
    (29, 56_000, "full", "SR4"),
    (30, 56_000, "full", "LR4"),
    (31, 25_000, "full", "CR"),
];
const PORTS: [(u32, &str); 6] = [
    (7, "TP"),
    (8, "AUI"),
    (9, "MII"),
    (10, "FIBRE"),
    (11, "BNC"),
    (16, "Backplane"),
];
const AUTONEGOTIATE: u32 = 6;
const PAUSE: u32 = 13;
const ASYMMETRIC_PAUSE: u32 = 14;

/// Link modes as bits.
#[derive(Debug, Default, PartialEq, Eq)]
struct Link {
    supported: u32,
    advertised: u32,
    autonegotiate: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Driver {
    driver: String,
    version: String,
    firmware: String,
    bus: String,
    rom: String,
    counters: u32,
}

/// Whom to ask about a device.
enum Source {
    Kernel(kernel::Socket),
    /// `<dir>/<device>/{settings,driver,statistics}`, as the program `ethtool` prints them.
    Files(PathBuf),
}

struct Ethtool {
    devices: Filter,
    metrics: Option<Regexp>,
    source: Source,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let fixtures = args.str("collector.ethtool.fixtures");
    let source = if fixtures.is_empty() {
        let socket = kernel::Socket::open().map_err(|e| format!("cannot open a socket: {e}"))?;
        Source::Kernel(socket)
    } else {
        Source::Files(fixtures.into())
    };
    let ethtool = Ethtool {
        devices: Filter::exclusive(
            args,
            "collector.ethtool.device-exclude",
            "collector.ethtool.device-include",
        )?,
        metrics: pattern(args, "collector.ethtool.metrics-include")?,
        source,
    };
    Ok(Box::new(move |files, out| ethtool.collect(files, out)))
}

impl Ethtool {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let class = files.paths.sys.join("class/net");
        for device in list(&class).map_err(CollectError::missing_is_no_data)? {
            if self.devices.ignored(&device) || !class.join(&device).is_dir() {
                continue;
            }
            let said = |what: &str, error: io::Error| {
                tracing::debug!(device, err = %error, "ethtool {what} error");
            };
            match self.source.link(files, &device) {
                Ok(link) => write_link(out, &device, &link),
                Err(error) => said("link info", error),
            }
            let driver = self.source.driver(files, &device);
            if let Ok(driver) = &driver {
                write_driver(out, &device, driver);
            }
            let counters = driver.and_then(|d| self.source.counters(files, &device, d.counters));
            match counters {
                Ok(counters) => self.write_counters(out, &device, &counters),
                Err(error) => said("stats", error),
            }
        }
        Ok(())
    }

    /// Of counters that would have the same name none is shown.
    fn write_counters(&self, out: &mut Page, device: &str, counters: &[(String, u64)]) {
        let mut by_name: BTreeMap<String, Option<(String, u64)>> = BTreeMap::new();
        for (counter, value) in counters {
            let counter = plain(counter);
            if self.metrics.as_ref().is_some_and(|m| !m.is_match(&counter)) {
                continue;
            }
            by_name
                .entry(metric_name(&counter))
                .and_modify(|found| *found = None)
                .or_insert(Some((counter, *value)));
        }
        for (name, found) in by_name {
            let Some((counter, value)) = found else {
                continue;
            };
            let labels = [("device", device)];
            match KNOWN.iter().find(|known| known.0 == counter) {
                Some((_, name, help)) => out.untyped(name, help, &labels, value as f64),
                None => {
                    let help = format!("Network interface {counter}");
                    out.untyped(&name, &help, &labels, value as f64);
                }
            }
        }
    }
}

/// Whatever is no letter, digit or underscore becomes one underscore, with those around it.
fn plain(counter: &str) -> String {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let mut plain = String::new();
    let mut rest = counter;
    while let Some(at) = rest.find(is_other) {
        let (before, after) = rest.split_at(at);
        plain.push_str(before.trim_end_matches('_'));
        plain.push('_');
        rest = after.trim_start_matches(is_other).trim_start_matches('_');
    }
    plain + rest
}

/// `rx` and `tx` are spelt out. Of two in a row only the first is, as in upstream, where an expression
/// takes the underscore between them.
fn metric_name(counter: &str) -> String {
    let spell = |text: &str, short: &str, long: &str| {
        let mut previous = false;
        let words = text.split('_').map(|word| {
            previous = word == short && !previous;
            if previous { long } else { word }
        });
        words.collect::<Vec<&str>>().join("_")
    };
    let lower = counter.to_lowercase();
    let received = spell(lower.trim_start_matches('_'), "rx", "received");
    format!("node_ethtool_{}", spell(&received, "tx", "transmitted"))
}

fn write_driver(out: &mut Page, device: &str, driver: &Driver) {
    out.gauge(
        "node_ethtool_info",
        "A metric with a constant '1' value labeled by bus_info, device, driver, expansion_rom_version, firmware_version, version.",
        &[
            ("bus_info", &driver.bus),
            ("device", device),
            ("driver", &driver.driver),
            ("expansion_rom_version", &driver.rom),
            ("firmware_version", &driver.firmware),
            ("version", &driver.version),
        ],
        1.0,
    );
}

fn write_link(out: &mut Page, device: &str, link: &Link) {
    let labels = [("device", device)];
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    let has = |modes: u32, bit: u32| modes & (1 << bit) != 0;
    for (bit, name) in PORTS {
        if has(link.supported, bit) {
            out.gauge(
                "node_network_supported_port_info",
                "Type of ports or PHYs supported by network device",
                &[labels[0], ("type", name)],
                1.0,
            );
        }
    }
    let sides = [
        (
            "supported",
            link.supported,
            "Combination of speeds and features supported by network device",
            "supports",
            ["autonegotiate", "pause frames", "asymmetric pause frames"],
        ),
        (
            "advertised",
            link.advertised,
            "Combination of speeds and features offered by network device",
            "offers",
            [
                "autonegotiate",
                "pause capability",
                "asymmetric pause capability",
            ],
        ),
    ];
    for (side, modes, help, verb, words) in sides {
        for (bit, speed, duplex, medium) in SPEEDS {
            if has(modes, bit) {
                let mode = format!("{speed}base{medium}");
                out.gauge(
                    &format!("node_network_{side}_speed_bytes"),
                    help,
                    &[labels[0], ("duplex", duplex), ("mode", &mode)],
                    f64::from(speed) * 1_000_000.0 / 8.0,
                );
            }
        }
        let bits = [
            ("autonegotiate", AUTONEGOTIATE),
            ("pause", PAUSE),
            ("asymmetricpause", ASYMMETRIC_PAUSE),
        ];
        for ((name, bit), word) in bits.iter().zip(words) {
            let help = format!("If this port device {verb} {word}");
            let name = format!("node_network_{name}_{side}");
            out.gauge(&name, &help, &labels, flag(has(modes, *bit)));
        }
    }
    out.gauge(
        "node_network_autonegotiate",
        "If this port is using autonegotiate",
        &labels,
        flag(link.autonegotiate),
    );
}

impl Source {
    fn link(&self, files: &mut Files, device: &str) -> io::Result<Link> {
        match self {
            Source::Kernel(socket) => socket.link(device),
            Source::Files(dir) => read(files, dir, device, "settings").map(|t| printed_link(&t)),
        }
    }

    fn driver(&self, files: &mut Files, device: &str) -> io::Result<Driver> {
        match self {
            Source::Kernel(socket) => socket.driver(device),
            Source::Files(dir) => read(files, dir, device, "driver").map(|t| printed_driver(&t)),
        }
    }

    fn counters(
        &self,
        files: &mut Files,
        device: &str,
        count: u32,
    ) -> io::Result<Vec<(String, u64)>> {
        match self {
            Source::Kernel(socket) => socket.counters(device, count),
            Source::Files(dir) => {
                read(files, dir, device, "statistics").map(|t| printed_counters(&t))
            }
        }
    }
}

fn read(files: &mut Files, dir: &Path, device: &str, name: &str) -> io::Result<String> {
    let text = files.read(&dir.join(device).join(name));
    text.map(str::to_owned).map_err(io::Error::other)
}

/// `ethtool eth0`.
fn printed_link(text: &str) -> Link {
    let mut link = Link::default();
    let mut key = "";
    for line in text.lines() {
        let (found, value) = line.split_once(':').unwrap_or(("", line));
        if !found.is_empty() {
            key = found.trim();
        }
        let modes = match key {
            "Supported ports"
            | "Supported link modes"
            | "Supported pause frame use"
            | "Supports auto-negotiation" => &mut link.supported,
            "Advertised link modes"
            | "Advertised pause frame use"
            | "Advertised auto-negotiation" => &mut link.advertised,
            "Auto-negotiation" => {
                link.autonegotiate = value.trim() == "on";
                continue;
            }
            _ => continue,
        };
        let is_pause = key.ends_with("pause frame use");
        for word in value.split_ascii_whitespace() {
            let speed = SPEEDS.iter().find(|(_, speed, duplex, medium)| {
                word.eq_ignore_ascii_case(&format!("{speed}base{medium}/{duplex}"))
            });
            let port = PORTS.iter().find(|(_, name)| *name == word);
            let bit = match word {
                "Symmetric" if is_pause => Some(PAUSE),
                "Receive-only" | "Transmit-only" if is_pause => Some(ASYMMETRIC_PAUSE),
                "Yes" if key.ends_with("auto-negotiation") => Some(AUTONEGOTIATE),
                _ => speed.map(|s| s.0).or(port.map(|p| p.0)),
            };
            *modes |= bit.map_or(0, |bit| 1 << bit);
        }
    }
    link
}

/// `ethtool -i eth0`.
fn printed_driver(text: &str) -> Driver {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| *name == key);
        found.map_or("", |(_, value)| value.trim()).to_owned()
    };
    Driver {
        driver: value("driver"),
        version: value("version"),
        firmware: value("firmware-version"),
        bus: value("bus-info"),
        rom: value("expansion-rom-version"),
        counters: 0,
    }
}

/// `ethtool -S eth0`.
fn printed_counters(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(':')?;
        Some((name.trim().to_owned(), value.trim().parse().ok()?))
    };
    let lines = text.lines().filter(|line| line.starts_with(' '));
    lines.filter_map(line).collect()
}

/// The ioctl SIOCETHTOOL (include/uapi/linux/ethtool.h): a command and room for its answer.
mod kernel {
    use std::io::{self, Error, ErrorKind};
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::{Driver, Link};
    use crate::netlink::{text, u32_at, u64_at};

    const ETHTOOL: libc::c_ulong = 0x8946;
    const GET_LINK: u32 = 1;
    const GET_DRIVER: u32 = 3;
    const GET_STRINGS: u32 = 0x1b;
    const GET_COUNTERS: u32 = 0x1d;
    const STRING_BYTES: usize = 32;
    /// More than any driver has.
    const MOST_COUNTERS: u32 = 65_536;

    /// Any socket will do.
    pub struct Socket(OwnedFd);

    impl Socket {
        pub fn open() -> io::Result<Socket> {
            let socket = rustix::net::socket_with(
                AddressFamily::INET,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                None,
            );
            Ok(Socket(socket?))
        }

        /// `answer` begins with the command, and is as long as the command's struct.
        fn ioctl(&self, device: &str, command: u32, answer: &mut [u8]) -> io::Result<()> {
            // struct ifreq: the name of the device, a pointer, padding.
            #[repr(C)]
            struct Request {
                name: [u8; 16],
                data: *mut u8,
                padding: [u64; 2],
            }
            let mut request = Request {
                name: [0; 16],
                data: answer.as_mut_ptr(),
                padding: [0; 2],
            };
            if device.len() >= request.name.len() {
                return Err(ErrorKind::InvalidInput.into());
            }
            request.name[..device.len()].copy_from_slice(device.as_bytes());
            answer[..4].copy_from_slice(&command.to_ne_bytes());
            // SAFETY: the request lives until the call returns, and its pointer is to a buffer of the
            // length that the command writes: each caller makes it from the struct's length, with
            // the number of elements set in it.
            let done = unsafe { libc::ioctl(self.0.as_raw_fd(), ETHTOOL as _, &mut request) };
            if done < 0 {
                return Err(Error::last_os_error());
            }
            Ok(())
        }

        pub fn link(&self, device: &str) -> io::Result<Link> {
            // struct ethtool_cmd: command, supported, advertising, speed, duplex, port, phy,
            // transceiver, autoneg, ...
            let mut answer = [0u8; 44];
            self.ioctl(device, GET_LINK, &mut answer)?;
            Ok(Link {
                supported: u32_at(&answer, 4).unwrap_or_default(),
                advertised: u32_at(&answer, 8).unwrap_or_default(),
                autonegotiate: answer[18] != 0,
            })
        }

        pub fn driver(&self, device: &str) -> io::Result<Driver> {
            // struct ethtool_drvinfo: command, five texts, reserved, five numbers.
            let mut answer = [0u8; 196];
            self.ioctl(device, GET_DRIVER, &mut answer)?;
            let part = |at: usize| text(&answer[4 + at * 32..4 + (at + 1) * 32]);
            Ok(Driver {
                driver: part(0),
                version: part(1),
                firmware: part(2),
                bus: part(3),
                rom: part(4),
                counters: u32_at(&answer, 180).unwrap_or_default(),
            })
        }

        pub fn counters(&self, device: &str, count: u32) -> io::Result<Vec<(String, u64)>> {
            if count == 0 || count > MOST_COUNTERS {
                return Ok(Vec::new());
            }
            const COUNTER_STRINGS: u32 = 1;
            let length = count as usize;
            // struct ethtool_gstrings: command, which, how many, texts.
            let mut names = vec![0u8; 12 + length * STRING_BYTES];
            names[4..8].copy_from_slice(&COUNTER_STRINGS.to_ne_bytes());
            names[8..12].copy_from_slice(&count.to_ne_bytes());
            self.ioctl(device, GET_STRINGS, &mut names)?;
            // struct ethtool_stats: command, how many, numbers.
            let mut values = vec![0u8; 8 + length * 8];
            values[4..8].copy_from_slice(&count.to_ne_bytes());
            self.ioctl(device, GET_COUNTERS, &mut values)?;
            let names = names[12..].chunks(STRING_BYTES).map(text);
            let values = (0..length).map_while(|at| u64_at(&values, 8 + at * 8));
            Ok(names.zip(values).collect())
        }
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn loopback_has_no_driver_and_other_names_are_refused() {
            let socket = super::Socket::open().unwrap();
            for device in ["lo", "not-there", "a name that is too long for a device"] {
                // Loopback answers some kernels' questions: no answer may be wrong in its length.
                let _ = socket.link(device);
                let _ = socket.driver(device);
            }
            assert!(socket.driver("not-there").is_err());
            assert!(socket.counters("lo", u32::MAX).unwrap().is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (counter, name) in [
            ("rx_packets", "received_packets"),
            ("port.rx_dropped", "port_received_dropped"),
            ("tx-0.bytes", "transmitted_0_bytes"),
            ("[0]: rx_a", "0_received_a"),
            ("a_.b", "a_b"),
            ("trx_b", "trx_b"),
            ("tx_tx_timeouts", "transmitted_tx_timeouts"),
            ("rx_tx", "received_transmitted"),
            ("RX__Errs", "received__errs"),
        ] {
            assert_eq!(
                metric_name(&plain(counter)),
                format!("node_ethtool_{name}"),
                "{counter}"
            );
        }
    }

    #[test]
    fn what_the_program_prints() {
        let link = printed_link(
            "Settings for eth0:\n\tSupported ports: [ TP\t MII ]\n\tSupported link modes:   10baseT/Half 10baseT/Full\n\
             \t                        10000baseT/Full\n\tSupported pause frame use: Symmetric Receive-only\n\
             \tAdvertised auto-negotiation: Yes\n\tAuto-negotiation: on\n",
        );
        let bits = [0, 1, 12, 7, 9, PAUSE, ASYMMETRIC_PAUSE];
        assert_eq!(link.supported, bits.iter().map(|b| 1u32 << b).sum::<u32>());
        assert_eq!((link.advertised, link.autonegotiate), (1 << 6, true));
        let counters = printed_counters("NIC statistics:\n     a: 1\n     b b: 2\n     c: x\n");
        assert_eq!(counters, [("a".to_owned(), 1), ("b b".to_owned(), 2)]);
    }
}
