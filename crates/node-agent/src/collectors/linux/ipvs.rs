//! ipvs: the kernel's load balancer, of /proc/net/ip_vs and ip_vs_stats.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

/// All labels there are, in the order of [`Backend::labels`].
const LABELS: [&str; 6] = [
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "proto",
    "local_mark",
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let text = args.str("collector.ipvs.backend-labels");
    let mut chosen = Vec::new();
    for label in text.split(',').filter(|label| !label.is_empty()) {
        let at = LABELS.iter().position(|known| *known == label);
        chosen.push(at.ok_or_else(|| format!("unknown IPVS backend labels: {label:?}"))?);
    }
    Ok(Box::new(move |files, out| collect(files, out, &chosen)))
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Backend {
    labels: [String; 6],
    weight: f64,
    active: f64,
    inactive: f64,
}

/// `C0A80016:0CEA` or `[2620:0000:...]:0050` as address and port.
fn address(text: &str) -> Option<(String, String)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).to_string(),
    };
    Some((address, port.to_string()))
}

fn parse(text: &str) -> Option<Vec<Backend>> {
    let mut backends = Vec::new();
    let mut service: [String; 6] = Default::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [proto @ ("TCP" | "UDP"), local, ..] => {
                let (local, port) = address(local)?;
                service = [
                    local,
                    port,
                    String::new(),
                    String::new(),
                    proto.to_owned(),
                    String::new(),
                ];
            }
            ["FWM", mark, ..] => {
                service = Default::default();
                service[1] = "0".to_owned();
                service[4] = "FWM".to_owned();
                service[5] = mark.to_owned();
            }
            ["->", remote, _, weight, active, inactive]
                if remote.contains(':') && weight != "Weight" =>
            {
                let mut labels = service.clone();
                (labels[2], labels[3]) = address(remote)?;
                backends.push(Backend {
                    labels,
                    weight: weight.parse().ok()?,
                    active: active.parse().ok()?,
                    inactive: inactive.parse().ok()?,
                });
            }
            _ => {}
        }
    }
    Some(backends)
}

/// The totals: five hexadecimal numbers in the third line.
fn totals(text: &str) -> Option<Vec<f64>> {
    let fields = text.lines().nth(2)?.split_ascii_whitespace();
    let values: Option<Vec<f64>> = fields
        .map(|f| u64::from_str_radix(f, 16).ok().map(|v| v as f64))
        .collect();
    values.filter(|values| values.len() == 5)
}

fn collect(files: &mut Files, out: &mut Page, chosen: &[usize]) -> Outcome {
    let text = files
        .proc("net/ip_vs_stats")
        .map_err(CollectError::missing_is_no_data)?;
    let values = totals(text).ok_or_else(|| CollectError::invalid("ip_vs_stats", text))?;
    let metrics = [
        (
            "node_ipvs_connections_total",
            "The total number of connections made.",
        ),
        (
            "node_ipvs_incoming_packets_total",
            "The total number of incoming packets.",
        ),
        (
            "node_ipvs_outgoing_packets_total",
            "The total number of outgoing packets.",
        ),
        (
            "node_ipvs_incoming_bytes_total",
            "The total amount of incoming data.",
        ),
        (
            "node_ipvs_outgoing_bytes_total",
            "The total amount of outgoing data.",
        ),
    ];
    for ((name, help), value) in metrics.iter().zip(values) {
        out.counter(name, help, &[], value);
    }
    let text = files
        .proc("net/ip_vs")
        .map_err(CollectError::missing_is_no_data)?;
    let backends = parse(text).ok_or_else(|| CollectError::invalid("ip_vs", text))?;
    // Backends that the chosen labels do not tell apart are added up.
    let mut sums: BTreeMap<Vec<&str>, Backend> = BTreeMap::new();
    for backend in &backends {
        let key = chosen
            .iter()
            .map(|at| backend.labels[*at].as_str())
            .collect();
        let sum = sums.entry(key).or_default();
        sum.weight += backend.weight;
        sum.active += backend.active;
        sum.inactive += backend.inactive;
    }
    for (values, sum) in sums {
        let labels: Vec<(&str, &str)> = chosen.iter().map(|at| LABELS[*at]).zip(values).collect();
        let metrics = [
            (
                "connections_active",
                "The current active connections by local and remote address.",
                sum.active,
            ),
            (
                "connections_inactive",
                "The current inactive connections by local and remote address.",
                sum.inactive,
            ),
            (
                "weight",
                "The current backend weight by local and remote address.",
                sum.weight,
            ),
        ];
        for (name, help, value) in metrics {
            out.gauge(&format!("node_ipvs_backend_{name}"), help, &labels, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(
            address("C0A80016:0CEA"),
            Some(("192.168.0.22".to_owned(), "3306".to_owned()))
        );
        assert_eq!(
            address("[2620::1]:0050"),
            Some(("2620::1".to_owned(), "80".to_owned()))
        );
        for text in ["", "C0A80016", "C0A8001X:0CEA", "[2620::1:0050"] {
            assert_eq!(address(text), None, "{text:?}");
        }
        assert_eq!(
            totals("a\nb\n16AA370 E33656E5 0 51D8C8883AB3 0\n").unwrap()[0],
            23_765_872.0
        );
        assert_eq!(totals("a\nb\nx\n"), None);
    }
}
