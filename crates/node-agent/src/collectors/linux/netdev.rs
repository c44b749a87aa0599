//! netdev: the counters of network devices, asked over netlink or read from /proc/net/dev.

use std::net::IpAddr;

use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::netlink::{self, Socket, attribute, u32_at, u64_at};
use crate::page::Page;

/// The columns of the table: upstream's name by default, and with
/// `--collector.netdev.enable-detailed-metrics`.
const COLUMNS: [(&str, &str); 16] = [
    ("receive_bytes", "receive_bytes"),
    ("receive_packets", "receive_packets"),
    ("receive_errs", "receive_errors"),
    ("receive_drop", "receive_dropped"),
    ("receive_fifo", "receive_fifo"),
    ("receive_frame", "receive_frame"),
    ("receive_compressed", "receive_compressed"),
    ("receive_multicast", "receive_multicast"),
    ("transmit_bytes", "transmit_bytes"),
    ("transmit_packets", "transmit_packets"),
    ("transmit_errs", "transmit_errors"),
    ("transmit_drop", "transmit_dropped"),
    ("transmit_fifo", "transmit_fifo"),
    ("transmit_colls", "transmit_colls"),
    ("transmit_carrier", "transmit_carrier"),
    ("transmit_compressed", "transmit_compressed"),
];

/// struct rtnl_link_stats64, by upstream's detailed names.
const DETAILS: [&str; 24] = [
    "receive_packets",
    "transmit_packets",
    "receive_bytes",
    "transmit_bytes",
    "receive_errors",
    "transmit_errors",
    "receive_dropped",
    "transmit_dropped",
    "multicast",
    "collisions",
    "receive_length_errors",
    "receive_over_errors",
    "receive_crc_errors",
    "receive_frame_errors",
    "receive_fifo_errors",
    "receive_missed_errors",
    "transmit_aborted_errors",
    "transmit_carrier_errors",
    "transmit_fifo_errors",
    "transmit_heartbeat_errors",
    "transmit_window_errors",
    "receive_compressed",
    "transmit_compressed",
    "receive_nohandler",
];

/// The plain names, and which of [`DETAILS`] the kernel adds up for /proc/net/dev.
const SUMS: [(&str, &[usize]); 17] = [
    ("receive_packets", &[0]),
    ("transmit_packets", &[1]),
    ("receive_bytes", &[2]),
    ("transmit_bytes", &[3]),
    ("receive_errs", &[4]),
    ("transmit_errs", &[5]),
    ("receive_drop", &[6, 15]),
    ("transmit_drop", &[7]),
    ("receive_multicast", &[8]),
    ("transmit_colls", &[9]),
    ("receive_frame", &[10, 11, 12, 13]),
    ("receive_fifo", &[14]),
    ("transmit_carrier", &[16, 17, 19, 20]),
    ("transmit_fifo", &[18]),
    ("receive_compressed", &[21]),
    ("transmit_compressed", &[22]),
    ("receive_nohandler", &[23]),
];

struct NetDev {
    filter: Filter,
    netlink: bool,
    detailed: bool,
    alias: bool,
    address_info: bool,
}

/// Where the counters of a device are: what [`write`] needs to know.
struct Device<'d> {
    name: &'d str,
    alias: Option<&'d str>,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let netdev = NetDev {
        filter: Filter::exclusive(
            args,
            "collector.netdev.device-exclude",
            "collector.netdev.device-include",
        )?,
        netlink: args.bool("collector.netdev.netlink"),
        detailed: args.bool("collector.netdev.enable-detailed-metrics"),
        alias: args.bool("collector.netdev.label-ifalias"),
        address_info: args.bool("collector.netdev.address-info"),
    };
    Ok(Box::new(move |files, out| {
        if netdev.address_info {
            netdev.addresses(out)?;
        }
        if !netdev.netlink {
            return netdev.table(files, out);
        }
        match Socket::route() {
            Ok(mut socket) => netdev.links(files, out, &mut socket),
            // A sandbox without netlink has the table all the same.
            Err(error) => {
                tracing::debug!(err = %error, "no netlink, reading net/dev");
                netdev.table(files, out)
            }
        }
    }))
}

/// Device and values of a line; the device may have colons, and no blank need follow the last.
fn parse(line: &str) -> Option<(&str, [f64; 16])> {
    let (device, rest) = line.rsplit_once(':')?;
    let mut fields = rest.split_ascii_whitespace();
    let mut values = [0.0; 16];
    for value in &mut values {
        *value = fields.next()?.parse().ok()?;
    }
    Some((device.trim(), values))
}

fn write(out: &mut Page, device: &Device<'_>, name: &str, value: f64) {
    let labels = [
        ("device", device.name),
        ("ifalias", device.alias.unwrap_or_default()),
    ];
    let labels = &labels[..if device.alias.is_some() { 2 } else { 1 }];
    let help = format!("Network device statistic {name}.");
    out.counter(&format!("node_network_{name}_total"), &help, labels, value);
}

impl NetDev {
    /// /proc/net/dev.
    fn table(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let mut bad = None;
        // Two lines of headings.
        let text = files.proc("net/dev")?.to_owned();
        for line in text.lines().skip(2) {
            let Some((name, values)) = parse(line) else {
                bad = Some(CollectError::invalid("line in net/dev", line));
                continue;
            };
            if self.filter.ignored(name) {
                continue;
            }
            let alias = self.alias.then(|| alias_of(files, name));
            let device = Device {
                name,
                alias: alias.as_deref(),
            };
            for ((plain, detail), value) in COLUMNS.iter().zip(values) {
                let name = if self.detailed { detail } else { plain };
                write(out, &device, name, value);
            }
        }
        bad.map_or(Ok(()), Err)
    }

    /// The counters of 64 bits that come with the list of links.
    fn links(&self, files: &mut Files, out: &mut Page, socket: &mut Socket) -> Outcome {
        const STATS64: u16 = 23;
        let listed = netlink::links(socket, &mut |link| {
            let find = |kind| attribute(link.attributes, kind);
            let (Some(name), Some(stats)) = (find(netlink::IFLA_NAME), find(STATS64)) else {
                return;
            };
            let name = netlink::text(name);
            if self.filter.ignored(&name) {
                return;
            }
            let alias = self.alias.then(|| alias_of(files, &name));
            let device = Device {
                name: &name,
                alias: alias.as_deref(),
            };
            // Older kernels have fewer counters.
            let counter = |at: usize| u64_at(stats, at * 8);
            if self.detailed {
                for (at, name) in DETAILS.iter().enumerate() {
                    if let Some(value) = counter(at) {
                        write(out, &device, name, value as f64);
                    }
                }
                return;
            }
            for (name, parts) in SUMS {
                let sum = parts
                    .iter()
                    .try_fold(0u64, |sum, at| Some(sum.wrapping_add(counter(*at)?)));
                if let Some(sum) = sum {
                    write(out, &device, name, sum as f64);
                }
            }
        });
        listed.map_err(|e| CollectError::Other(format!("couldn't get netstats: {e}")))
    }

    /// The IP addresses of the devices.
    fn addresses(&self, out: &mut Page) -> Outcome {
        const GET_ADDRESS: u16 = 22;
        const ADDRESS: u16 = 1;
        const LOCAL: u16 = 2;
        // struct ifaddrmsg: family, length of the prefix, flags, scope, index of the device.
        const ADDRESS_BYTES: usize = 8;
        let mut asked = || -> std::io::Result<()> {
            let mut socket = Socket::route()?;
            let names = netlink::link_names(&mut socket)?;
            socket.dump(GET_ADDRESS, &[0; ADDRESS_BYTES], &mut |message| {
                let Some((head, attributes)) = message.split_at_checked(ADDRESS_BYTES) else {
                    return;
                };
                let name = u32_at(head, 4).and_then(|index| names.get(&index));
                // Of two ends of a line the local one is ours.
                let bytes = attribute(attributes, LOCAL).or(attribute(attributes, ADDRESS));
                let (Some(name), Some(ip)) = (name, bytes.and_then(netlink::address)) else {
                    return;
                };
                out.gauge(
                    "node_network_address_info",
                    "node network address by device",
                    &[
                        ("device", name),
                        ("address", &ip.to_string()),
                        ("netmask", &head[1].to_string()),
                        ("scope", scope(ip)),
                    ],
                    1.0,
                );
            })
        };
        asked().map_err(|e| CollectError::Other(format!("couldn't get addresses: {e}")))
    }
}

/// Loopback counts as link-local, as upstream.
fn scope(ip: IpAddr) -> &'static str {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    let none = ip.is_unspecified() || ip.is_multicast() || ip.to_string() == "255.255.255.255";
    match (link_local, none) {
        (true, _) => "link-local",
        (false, true) => "",
        (false, false) => "global",
    }
}

fn alias_of(files: &mut Files, device: &str) -> String {
    let path = files.paths.sys.join("class/net").join(device);
    let alias = files.value(&path.join("ifalias"));
    alias.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ones = " 1".repeat(16);
        assert_eq!(parse(&format!("ibr10:30:{ones}")).unwrap().0, "ibr10:30");
        assert_eq!(parse(&format!("wlan0:1{ones}")).unwrap().1[0], 1.0);
        for line in ["", "eth0", "eth0: 1 2 3", "eth0: x"] {
            assert!(parse(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn scopes() {
        for (ip, expected) in [
            ("127.0.0.1", "link-local"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("10.0.0.1", "global"),
            ("2001:db8::1", "global"),
            ("0.0.0.0", ""),
        ] {
            assert_eq!(scope(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
