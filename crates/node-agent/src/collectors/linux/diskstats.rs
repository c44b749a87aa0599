//! diskstats: /proc/diskstats, with what udev knows of each device.

use std::collections::HashMap;
use std::path::Path;

use model::MetricType::{self, Counter, Gauge};
use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

const SECTOR_BYTES: f64 = 512.0;
/// Milliseconds to seconds; a product, as upstream, so that the last digit is the same.
const TICK_SECONDS: f64 = 1.0 / 1000.0;

/// The columns after the device: metric, help, type, factor.
const COLUMNS: [(&str, &str, MetricType, f64); 17] = [
    (
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
        Counter,
        1.0,
    ),
    (
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
        Counter,
        1.0,
    ),
    (
        "node_disk_read_bytes_total",
        "The total number of bytes read successfully.",
        Counter,
        SECTOR_BYTES,
    ),
    (
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        Counter,
        TICK_SECONDS,
    ),
    (
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
        Counter,
        1.0,
    ),
    (
        "node_disk_writes_merged_total",
        "The number of writes merged.",
        Counter,
        1.0,
    ),
    (
        "node_disk_written_bytes_total",
        "The total number of bytes written successfully.",
        Counter,
        SECTOR_BYTES,
    ),
    (
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        Counter,
        TICK_SECONDS,
    ),
    (
        "node_disk_io_now",
        "The number of I/Os currently in progress.",
        Gauge,
        1.0,
    ),
    (
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        Counter,
        TICK_SECONDS,
    ),
    (
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        Counter,
        TICK_SECONDS,
    ),
    (
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
        Counter,
        1.0,
    ),
    (
        "node_disk_discards_merged_total",
        "The total number of discards merged.",
        Counter,
        1.0,
    ),
    (
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        Counter,
        1.0,
    ),
    (
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        Counter,
        TICK_SECONDS,
    ),
    (
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        Counter,
        1.0,
    ),
    (
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        Counter,
        TICK_SECONDS,
    ),
];

const ATA: [(&str, &str, &str); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        "node_disk_ata_write_cache",
        "ATA disk has a write cache.",
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::include_over_default(
        args,
        "collector.diskstats.device-exclude",
        "collector.diskstats.device-include",
    )?;
    Ok(Box::new(move |files, out| collect(files, out, &filter)))
}

/// A line: major and minor number, device, values.
fn parse(line: &str) -> Option<(u32, u32, &str, Vec<f64>)> {
    let mut fields = line.split_ascii_whitespace();
    let major = fields.next()?.parse().ok()?;
    let minor = fields.next()?.parse().ok()?;
    let device = fields.next()?;
    let values: Option<Vec<f64>> = fields.take(COLUMNS.len()).map(|f| f.parse().ok()).collect();
    Some((major, minor, device, values?))
}

/// The `E:` lines of udev's file about a device.
fn properties(text: &str) -> HashMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .collect()
}

fn collect(files: &mut Files, out: &mut Page, filter: &Filter) -> Outcome {
    let text = files.proc("diskstats")?.to_owned();
    let mut bad = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((major, minor, device, values)) = parse(line) else {
            bad = Some(CollectError::invalid("line in diskstats", line));
            continue;
        };
        if filter.ignored(device) {
            continue;
        }
        for ((name, help, kind, factor), value) in COLUMNS.iter().zip(values) {
            out.add(*kind, name, help, &[("device", device)], value * factor);
        }
        let queue = files
            .paths
            .sys
            .join("block")
            .join(device)
            .join("queue/rotational");
        let rotational = match files.number(&queue) {
            Some(n) if n != 0.0 => "1",
            _ => "0",
        };
        let udev = files.paths.udev.join(format!("b{major}:{minor}"));
        let sys = files.paths.sys.clone();
        let udev = files.read(&udev).map(properties).unwrap_or_default();
        device_info(out, device, major, minor, rotational, &udev);
        if udev.get("DM_NAME").is_some_and(|name| !name.is_empty()) {
            backing(&sys, device, out);
        }
    }
    bad.map_or(Ok(()), Err)
}

fn device_info(
    out: &mut Page,
    device: &str,
    major: u32,
    minor: u32,
    rotational: &str,
    udev: &HashMap<&str, &str>,
) {
    let get = |name: &str| udev.get(name).copied().unwrap_or_default();
    let serials = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"];
    let serial = serials.iter().map(|s| get(s)).find(|s| !s.is_empty());
    out.gauge(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        &[
            ("device", device),
            ("major", &major.to_string()),
            ("minor", &minor.to_string()),
            ("path", get("ID_PATH")),
            ("wwn", get("ID_WWN")),
            ("model", get("ID_MODEL")),
            ("serial", serial.unwrap_or_default()),
            ("revision", get("ID_REVISION")),
            ("rotational", rotational),
        ],
        1.0,
    );
    if !get("ID_FS_TYPE").is_empty() {
        out.gauge(
            "node_disk_filesystem_info",
            "Info about disk filesystem.",
            &[
                ("device", device),
                ("type", get("ID_FS_TYPE")),
                ("usage", get("ID_FS_USAGE")),
                ("uuid", get("ID_FS_UUID")),
                ("version", get("ID_FS_VERSION")),
            ],
            1.0,
        );
    }
    if !get("DM_NAME").is_empty() {
        out.gauge(
            "node_disk_device_mapper_info",
            "Info about disk device mapper.",
            &[
                ("device", device),
                ("name", get("DM_NAME")),
                ("uuid", get("DM_UUID")),
                ("vg_name", get("DM_VG_NAME")),
                ("lv_name", get("DM_LV_NAME")),
                ("lv_layer", get("DM_LV_LAYER")),
            ],
            1.0,
        );
    }
    if !get("ID_ATA").is_empty() {
        for (property, name, help) in ATA {
            if let Ok(value) = get(property).parse() {
                out.gauge(name, help, &[("device", device)], value);
            }
        }
    }
}

/// The devices below a device-mapper device.
fn backing(sys: &Path, device: &str, out: &mut Page) {
    let slaves = sys.join("block").join(device).join("slaves");
    for slave in list(&slaves).unwrap_or_default() {
        out.gauge(
            "node_disk_device_mapper_backing_device_info",
            "Info about the underlying block devices of a device mapper device.",
            &[("device", device), ("backing_device", &slave)],
            1.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let (major, minor, device, values) = parse("   8  1 sda1 1 2 3 4").unwrap();
        assert_eq!((major, minor, device, values.len()), (8, 1, "sda1", 4));
        // More columns than are known are left alone.
        let long = format!("8 0 sda{}", " 1".repeat(40));
        assert_eq!(parse(&long).unwrap().3.len(), COLUMNS.len());
        for line in ["", "8 0", "x 0 sda 1", "8 0 sda 1 x"] {
            assert!(parse(line).is_none(), "{line:?}");
        }
    }
}
