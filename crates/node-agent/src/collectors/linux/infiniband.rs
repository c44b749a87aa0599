//! infiniband: ports of /sys/class/infiniband.

use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File of a port, metric, factor, help. Data is counted in words of four bytes.
const METRICS: [(&str, &str, f64, &str); 24] = [
    (
        "counters_ext/port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        1.0,
        "Number of multicast packets received",
    ),
    (
        "counters_ext/port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        1.0,
        "Number of multicast packets transmitted",
    ),
    (
        "counters_ext/port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        4.0,
        "Number of data octets received on all links",
    ),
    (
        "counters_ext/port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        1.0,
        "Number of data packets received on all links",
    ),
    (
        "counters_ext/port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        1.0,
        "Number of unicast packets received",
    ),
    (
        "counters_ext/port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        1.0,
        "Number of unicast packets transmitted",
    ),
    (
        "counters_ext/port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        4.0,
        "Number of data octets transmitted on all links",
    ),
    (
        "counters_ext/port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        1.0,
        "Number of data packets received on all links",
    ),
    (
        "counters/link_downed",
        "node_infiniband_link_downed_total",
        1.0,
        "Number of times the link failed to recover from an error state and went down",
    ),
    (
        "counters/link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        1.0,
        "Number of times the link successfully recovered from an error state",
    ),
    (
        "counters/multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        1.0,
        "Number of multicast packets received (including errors)",
    ),
    (
        "counters/multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        1.0,
        "Number of multicast packets transmitted (including errors)",
    ),
    (
        "counters/port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        1.0,
        "Number of packets received on the switch physical port that are discarded",
    ),
    (
        "counters/port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        1.0,
        "Number of packets not transmitted from the switch physical port",
    ),
    (
        "counters/port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        4.0,
        "Number of data octets received on all links",
    ),
    (
        "counters/port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        4.0,
        "Number of data octets transmitted on all links",
    ),
    (
        "counters/port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        1.0,
        "Number of inbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        1.0,
        "Number of outbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters/port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        1.0,
        "Number of packets containing an error that were received on this port",
    ),
    (
        "counters/port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        1.0,
        "Number of packets received on all VLs by this port (including errors)",
    ),
    (
        "counters/port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        1.0,
        "Number of packets transmitted on all VLs from this port (including errors)",
    ),
    (
        "counters/port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        1.0,
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
    ),
    (
        "counters/unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        1.0,
        "Number of unicast packets received (including errors)",
    ),
    (
        "counters/unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        1.0,
        "Number of unicast packets transmitted (including errors)",
    ),
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::exclusive(
        args,
        "collector.infiniband.device-exclude",
        "collector.infiniband.device-include",
    )?;
    Ok(Box::new(move |files, out| collect(files, out, &filter)))
}

/// Bytes a second of `40 Gb/sec (4X QDR)`.
fn rate(text: &str) -> Option<f64> {
    let gigabits: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some((gigabits * 1_000_000_000.0 / 8.0).trunc())
}

fn collect(files: &mut Files, out: &mut Page, filter: &Filter) -> Outcome {
    let class = files.paths.sys.join("class/infiniband");
    for device in list(&class).map_err(CollectError::missing_is_no_data)? {
        if filter.ignored(&device) {
            continue;
        }
        let dir = class.join(&device);
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        out.gauge(
            "node_infiniband_info",
            "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.",
            &[
                ("device", &device),
                ("board_id", &text("board_id")),
                ("firmware_version", &text("fw_ver")),
                ("hca_type", &text("hca_type")),
            ],
            1.0,
        );
        for port in list(&dir.join("ports")).unwrap_or_default() {
            let dir = dir.join("ports").join(&port);
            let labels = [("device", device.as_str()), ("port", port.as_str())];
            // `4: ACTIVE`
            let states = [
                (
                    "state",
                    "node_infiniband_state_id",
                    "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)",
                ),
                (
                    "phys_state",
                    "node_infiniband_physical_state_id",
                    "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)",
                ),
            ];
            for (file, name, help) in states {
                let state = files
                    .value(&dir.join(file))
                    .and_then(|text| text.split_once(':')?.0.parse().ok());
                if let Some(state) = state {
                    out.gauge(name, help, &labels, state);
                }
            }
            if let Some(rate) = files.value(&dir.join("rate")).and_then(rate) {
                out.gauge(
                    "node_infiniband_rate_bytes_per_second",
                    "Maximum signal transfer rate",
                    &labels,
                    rate,
                );
            }
            for (file, name, factor, help) in METRICS {
                if let Some(value) = files.number(&dir.join(file)) {
                    out.counter(name, help, &labels, value * factor);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn rates() {
        assert_eq!(super::rate("40 Gb/sec (4X QDR)"), Some(5e9));
        assert_eq!(super::rate("2.5 Gb/sec (1X SDR)"), Some(312_500_000.0));
        assert_eq!(super::rate(""), None);
    }
}
