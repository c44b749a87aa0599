//! netdev: the counters of /proc/net/dev.

use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
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

struct NetDev {
    filter: Filter,
    /// Metric name and help of each column.
    names: Vec<(String, String)>,
    /// Upstream asks netlink, which has one counter more than the table.
    nohandler: bool,
    alias: bool,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    if args.bool("collector.netdev.address-info") {
        return Err("--collector.netdev.address-info is not supported".to_owned());
    }
    let detailed = args.bool("collector.netdev.enable-detailed-metrics");
    let names = COLUMNS.iter().map(|(plain, detail)| {
        let name = if detailed { detail } else { plain };
        (
            format!("node_network_{name}_total"),
            format!("Network device statistic {name}."),
        )
    });
    let netdev = NetDev {
        filter: Filter::exclusive(
            args,
            "collector.netdev.device-exclude",
            "collector.netdev.device-include",
        )?,
        names: names.collect(),
        nohandler: args.bool("collector.netdev.netlink"),
        alias: args.bool("collector.netdev.label-ifalias"),
    };
    Ok(Box::new(move |files, out| netdev.collect(files, out)))
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

impl NetDev {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let mut bad = None;
        let mut devices = Vec::new();
        // Two lines of headings.
        let text = files.proc("net/dev")?.to_owned();
        for line in text.lines().skip(2) {
            let Some((device, values)) = parse(line) else {
                bad = Some(CollectError::invalid("line in net/dev", line));
                continue;
            };
            if self.filter.ignored(device) {
                continue;
            }
            devices.push(device);
            let alias = self.alias.then(|| self.alias_of(files, device));
            let labels = [
                ("device", device),
                ("ifalias", alias.as_deref().unwrap_or_default()),
            ];
            let labels = if self.alias {
                &labels[..]
            } else {
                &labels[..1]
            };
            for ((name, help), value) in self.names.iter().zip(values) {
                out.counter(name, help, labels, value);
            }
            if self.nohandler {
                let path = files.paths.sys.join("class/net").join(device);
                if let Some(value) = files.number(&path.join("statistics/rx_nohandler")) {
                    out.counter(
                        "node_network_receive_nohandler_total",
                        "Network device statistic receive_nohandler.",
                        labels,
                        value,
                    );
                }
            }
        }
        bad.map_or(Ok(()), Err)
    }

    fn alias_of(&self, files: &mut Files, device: &str) -> String {
        let path = files
            .paths
            .sys
            .join("class/net")
            .join(device)
            .join("ifalias");
        files.value(&path).unwrap_or_default().to_owned()
    }
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
}
