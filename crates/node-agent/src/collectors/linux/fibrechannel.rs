//! fibrechannel: host adapters of /sys/class/fc_host.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File of `statistics`, metric, help.
const METRICS: [(&str, &str, &str); 14] = [
    (
        "error_frames",
        "node_fibrechannel_error_frames_total",
        "Number of errors in frames",
    ),
    (
        "invalid_crc_count",
        "node_fibrechannel_invalid_crc_total",
        "Invalid Cyclic Redundancy Check count",
    ),
    (
        "rx_frames",
        "node_fibrechannel_rx_frames_total",
        "Number of frames received",
    ),
    (
        "rx_words",
        "node_fibrechannel_rx_words_total",
        "Number of words received by host port",
    ),
    (
        "tx_frames",
        "node_fibrechannel_tx_frames_total",
        "Number of frames transmitted by host port",
    ),
    (
        "tx_words",
        "node_fibrechannel_tx_words_total",
        "Number of words transmitted by host port",
    ),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Number of seconds since last host port reset",
    ),
    (
        "invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Number of invalid words transmitted by host port",
    ),
    (
        "link_failure_count",
        "node_fibrechannel_link_failure_total",
        "Number of times the host port link has failed",
    ),
    (
        "loss_of_sync_count",
        "node_fibrechannel_loss_of_sync_total",
        "Number of failures on either bit or transmission word boundaries",
    ),
    (
        "loss_of_signal_count",
        "node_fibrechannel_loss_of_signal_total",
        "Number of times signal has been lost",
    ),
    (
        "nos_count",
        "node_fibrechannel_nos_total",
        "Number Not_Operational Primitive Sequence received by host port",
    ),
    (
        "fcp_packet_aborts",
        "node_fibrechannel_fcp_packet_aborts_total",
        "Number of aborted packets",
    ),
    (
        "dumped_frames",
        "node_fibrechannel_dumped_frames_total",
        "Number of dumped frames",
    ),
];

/// What the driver writes for a counter it does not have.
const ABSENT: &str = "0xffffffffffffffff";

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/fc_host");
    for host in list(&class).map_err(CollectError::missing_is_no_data)? {
        let dir = class.join(&host);
        let mut text = |file: &str| {
            let value = files.value(&dir.join(file)).unwrap_or_default();
            value.strip_prefix("0x").unwrap_or(value).to_owned()
        };
        out.gauge(
            "node_fibrechannel_info",
            "Non-numeric data from /sys/class/fc_host/<host>, value is always 1.",
            &[
                ("fc_host", &host),
                ("speed", &text("speed")),
                ("port_state", &text("port_state")),
                ("port_type", &text("port_type")),
                ("port_id", &text("port_id")),
                ("port_name", &text("port_name")),
                ("fabric_name", &text("fabric_name")),
                ("symbolic_name", &text("symbolic_name")),
                ("supported_classes", &text("supported_classes")),
                ("supported_speeds", &text("supported_speeds")),
                ("dev_loss_tmo", &text("dev_loss_tmo")),
            ],
            1.0,
        );
        for (file, name, help) in METRICS {
            let path = dir.join("statistics").join(file);
            if files.value(&path) == Some(ABSENT) {
                continue;
            }
            if let Some(value) = files.number(&path) {
                out.counter(name, help, &[("fc_host", &host)], value);
            }
        }
    }
    Ok(())
}
