//! tapestats: tape drives of /sys/class/scsi_tape.

use model::MetricType::{self, Counter, Gauge};
use service::Args;

use super::filter::pattern;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File of `stats`, type, metric, help; `_ns` is nanoseconds.
const METRICS: [(&str, MetricType, &str, &str); 10] = [
    (
        "in_flight",
        Gauge,
        "node_tape_io_now",
        "The number of I/Os currently outstanding to this device.",
    ),
    (
        "io_ns",
        Counter,
        "node_tape_io_time_seconds_total",
        "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on close tape devices are used.",
    ),
    (
        "other_cnt",
        Counter,
        "node_tape_io_others_total",
        "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete these commands uses the following calculation io_time_seconds_total-read_time_seconds_total-write_time_seconds_total",
    ),
    (
        "read_byte_cnt",
        Counter,
        "node_tape_read_bytes_total",
        "The number of bytes read from the tape drive.",
    ),
    (
        "read_cnt",
        Counter,
        "node_tape_reads_completed_total",
        "The number of read requests issued to the tape drive.",
    ),
    (
        "read_ns",
        Counter,
        "node_tape_read_time_seconds_total",
        "The amount of time spent waiting for read requests to complete.",
    ),
    (
        "resid_cnt",
        Counter,
        "node_tape_residual_total",
        "The number of times during a read or write we found the residual amount to be non-zero. This should mean that a program is issuing a read larger thean the block size on tape. For write not all data made it to tape.",
    ),
    (
        "write_byte_cnt",
        Counter,
        "node_tape_written_bytes_total",
        "The number of bytes written to the tape drive.",
    ),
    (
        "write_cnt",
        Counter,
        "node_tape_writes_completed_total",
        "The number of write requests issued to the tape drive.",
    ),
    (
        "write_ns",
        Counter,
        "node_tape_write_time_seconds_total",
        "The amount of time spent waiting for write requests to complete.",
    ),
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let ignored = pattern(args, "collector.tapestats.ignored-devices")?;
    Ok(Box::new(move |files, out| {
        let class = files.paths.sys.join("class/scsi_tape");
        for device in list(&class).map_err(CollectError::missing_is_no_data)? {
            // `st0` is a drive, `st0a` and `nst0` are other modes of it.
            let number = device.strip_prefix("st").unwrap_or_default();
            let is_drive = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            if is_drive && !ignored.as_ref().is_some_and(|i| i.is_match(&device)) {
                collect(files, out, &device);
            }
        }
        Outcome::Ok(())
    }))
}

fn collect(files: &mut Files, out: &mut Page, device: &str) {
    let dir = files
        .paths
        .sys
        .join("class/scsi_tape")
        .join(device)
        .join("stats");
    for (file, kind, name, help) in METRICS {
        if let Some(value) = files.number(&dir.join(file)) {
            let value = if file.ends_with("_ns") {
                value * 1e-9
            } else {
                value
            };
            out.add(kind, name, help, &[("device", device)], value);
        }
    }
}
