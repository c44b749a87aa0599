//! drbd: state and counters of /proc/drbd, for DRBD 8.

use model::MetricType::{self, Counter, Gauge};

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Key, metric, help, type and factor of the numbers.
const NUMBERS: [(&str, &str, &str, MetricType, f64); 12] = [
    (
        "ns",
        "node_drbd_network_sent_bytes_total",
        "Total number of bytes sent via the network.",
        Counter,
        1024.0,
    ),
    (
        "nr",
        "node_drbd_network_received_bytes_total",
        "Total number of bytes received via the network.",
        Counter,
        // The kernel counts KiB here as well; upstream does not multiply.
        1.0,
    ),
    (
        "dw",
        "node_drbd_disk_written_bytes_total",
        "Net data written on local hard disk; in bytes.",
        Counter,
        1024.0,
    ),
    (
        "dr",
        "node_drbd_disk_read_bytes_total",
        "Net data read from local hard disk; in bytes.",
        Counter,
        1024.0,
    ),
    (
        "al",
        "node_drbd_activitylog_writes_total",
        "Number of updates of the activity log area of the meta data.",
        Counter,
        1.0,
    ),
    (
        "bm",
        "node_drbd_bitmap_writes_total",
        "Number of updates of the bitmap area of the meta data.",
        Counter,
        1.0,
    ),
    (
        "lo",
        "node_drbd_local_pending",
        "Number of open requests to the local I/O sub-system.",
        Gauge,
        1.0,
    ),
    (
        "pe",
        "node_drbd_remote_pending",
        "Number of requests sent to the peer, but that have not yet been answered by the latter.",
        Gauge,
        1.0,
    ),
    (
        "ua",
        "node_drbd_remote_unacknowledged",
        "Number of requests received by the peer via the network connection, but that have not yet been answered.",
        Gauge,
        1.0,
    ),
    (
        "ap",
        "node_drbd_application_pending",
        "Number of block I/O requests forwarded to DRBD, but not yet answered by DRBD.",
        Gauge,
        1.0,
    ),
    (
        "ep",
        "node_drbd_epochs",
        "Number of Epochs currently on the fly.",
        Gauge,
        1.0,
    ),
    (
        "oos",
        "node_drbd_out_of_sync_bytes",
        "Amount of data known to be out of sync; in bytes.",
        Gauge,
        1024.0,
    ),
];

/// Key, metric, help and good value of what is said as `local/remote`.
const PAIRS: [(&str, &str, &str, &str); 2] = [
    (
        "ro",
        "node_drbd_node_role_is_primary",
        "Whether the role of the node is in the primary state.",
        "Primary",
    ),
    (
        "ds",
        "node_drbd_disk_state_is_up_to_date",
        "Whether the disk of the node is up to date.",
        "UpToDate",
    ),
];

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files
        .proc("drbd")
        .map_err(CollectError::missing_is_no_data)?;
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    let mut device = "unknown".to_owned();
    for field in text.split_ascii_whitespace() {
        // ` 1: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----`
        let Some((key, value)) = field.split_once(':').filter(|(_, v)| !v.contains(':')) else {
            continue;
        };
        if value.is_empty() {
            if let Ok(id) = key.parse::<u64>() {
                device = format!("drbd{id}");
            }
            continue;
        }
        let labels = [("device", device.as_str())];
        if let Some((_, name, help, kind, factor)) = NUMBERS.iter().find(|n| n.0 == key) {
            let number: f64 = value
                .parse()
                .map_err(|_| CollectError::invalid("number in drbd", field))?;
            out.add(*kind, name, help, &labels, number * factor);
        } else if let Some((_, name, help, good)) = PAIRS.iter().find(|p| p.0 == key) {
            let (local, remote) = value
                .split_once('/')
                .ok_or_else(|| CollectError::invalid("pair in drbd", field))?;
            for (node, state) in [("local", local), ("remote", remote)] {
                let labels = [labels[0], ("node", node)];
                out.gauge(name, help, &labels, flag(state == *good));
            }
        } else if key == "cs" {
            let help = "Whether DRBD is connected to the peer.";
            let connected = flag(value == "Connected");
            out.gauge("node_drbd_connected", help, &labels, connected);
        }
    }
    Ok(())
}
