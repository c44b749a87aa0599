//! File systems, disk IO, IO pressure.

use super::cpu::{micros, nanos};
use super::{Metric, Samples, counter, gauge};
use crate::groups::Group;
use crate::info::{Filesystem, PerDisk, Stats};

/// The families.
pub(super) const TABLE: &[Metric] = &[
    gauge(
        Group::Disk,
        "container_agent_fs_usage_age_seconds",
        "How long ago container_fs_usage_bytes was measured of the container.",
        |view, s, out| {
            let mut measured = s.filesystem.iter().filter_map(|fs| fs.measured_ms);
            if let Some(measured_ms) = measured.next() {
                out.add((view.now_ms - measured_ms) as f64 / 1000.0);
            }
        },
    ),
    gauge(
        Group::Disk,
        "container_fs_inodes_free",
        "Number of available Inodes",
        |_, s, out| filesystems(s, out, |fs| fs.inodes_free as f64),
    )
    .labels(&["device"]),
    gauge(
        Group::Disk,
        "container_fs_inodes_total",
        "Number of Inodes",
        |_, s, out| filesystems(s, out, |fs| fs.inodes as f64),
    )
    .labels(&["device"]),
    gauge(
        Group::Disk,
        "container_fs_limit_bytes",
        "Number of bytes that can be consumed by the container on this filesystem.",
        |_, s, out| filesystems(s, out, |fs| fs.limit as f64),
    )
    .labels(&["device"]),
    gauge(
        Group::Disk,
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        |_, s, out| filesystems(s, out, |fs| fs.usage as f64),
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_reads_bytes_total",
        "Cumulative count of bytes read",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_service_bytes, "Read", count, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_writes_bytes_total",
        "Cumulative count of bytes written",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_service_bytes, "Write", count, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_reads_total",
        "Cumulative count of reads completed",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_serviced, "Read", count, out);
                filesystems_beside(&io.io_serviced, s, out, |fs| fs.reads_completed as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_writes_total",
        "Cumulative count of writes completed",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_serviced, "Write", count, out);
                filesystems_beside(&io.io_serviced, s, out, |fs| fs.writes_completed as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_sector_reads_total",
        "Cumulative count of sector reads completed",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.sectors, "Read", count, out);
                filesystems_beside(&io.sectors, s, out, |fs| fs.sectors_read as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_sector_writes_total",
        "Cumulative count of sector writes completed",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.sectors, "Write", count, out);
                filesystems_beside(&io.sectors, s, out, |fs| fs.sectors_written as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_reads_merged_total",
        "Cumulative count of reads merged",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_merged, "Read", count, out);
                filesystems_beside(&io.io_merged, s, out, |fs| fs.reads_merged as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_writes_merged_total",
        "Cumulative count of writes merged",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_merged, "Write", count, out);
                filesystems_beside(&io.io_merged, s, out, |fs| fs.writes_merged as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_read_seconds_total",
        "Cumulative count of seconds spent reading",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_service_time, "Read", nanos, out);
                filesystems_beside(&io.io_service_time, s, out, |fs| nanos(fs.read_time));
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_write_seconds_total",
        "Cumulative count of seconds spent writing",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_service_time, "Write", nanos, out);
                filesystems_beside(&io.io_service_time, s, out, |fs| nanos(fs.write_time));
            }
        },
    )
    .labels(&["device"]),
    gauge(
        Group::DiskIo,
        "container_fs_io_current",
        "Number of I/Os currently in progress",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_queued, "Total", count, out);
                filesystems_beside(&io.io_queued, s, out, |fs| fs.io_in_progress as f64);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_time_seconds_total",
        "Cumulative count of seconds spent doing I/Os",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_service_time, "Total", nanos, out);
                filesystems_beside(&io.io_service_time, s, out, |fs| nanos(fs.io_time));
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_time_weighted_seconds_total",
        "Cumulative weighted I/O time in seconds",
        |_, s, out| filesystems(s, out, |fs| nanos(fs.weighted_io_time)),
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_cost_usage_seconds_total",
        "Cumulative IOCost usage in seconds",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_cost_usage, "Count", micros, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_cost_wait_seconds_total",
        "Cumulative IOCost wait in seconds",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_cost_wait, "Count", micros, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_cost_indebt_seconds_total",
        "Cumulative IOCost debt in seconds",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_cost_indebt, "Count", micros, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_fs_io_cost_indelay_seconds_total",
        "Cumulative IOCost delay in seconds",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                disks(&io.io_cost_indelay, "Count", micros, out);
            }
        },
    )
    .labels(&["device"]),
    counter(
        Group::DiskIo,
        "container_blkio_device_usage_total",
        "Blkio Device bytes usage",
        |_, s, out| {
            for disk in s.disk_io.iter().flat_map(|io| &io.io_service_bytes) {
                let (major, minor) = (disk.major.to_string(), disk.minor.to_string());
                for (operation, bytes) in &disk.stats {
                    out.with(&[&disk.device, &major, &minor, operation], *bytes as f64);
                }
            }
        },
    )
    .labels(&["device", "major", "minor", "operation"]),
    counter(
        Group::Pressure,
        "container_pressure_io_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to IO congestion.",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                out.add(micros(io.psi.full.total))
            }
        },
    ),
    counter(
        Group::Pressure,
        "container_pressure_io_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to IO congestion.",
        |_, s, out| {
            if let Some(io) = &s.disk_io {
                out.add(micros(io.psi.some.total))
            }
        },
    ),
];

fn count(value: u64) -> f64 {
    value as f64
}

fn disks(disks: &[PerDisk], operation: &str, convert: fn(u64) -> f64, out: &mut Samples<'_, '_>) {
    for disk in disks {
        let value = disk.stats.get(operation).copied().unwrap_or(0);
        out.with(&[&disk.device], convert(value));
    }
}

fn filesystems(stats: &Stats, out: &mut Samples<'_, '_>, value: fn(&Filesystem) -> f64) {
    filesystems_beside(&[], stats, out, value);
}

/// The file systems whose device the cgroup has not counted: the same series must not be there twice,
/// and what the cgroup counts is the container's own.
fn filesystems_beside(
    counted: &[PerDisk],
    stats: &Stats,
    out: &mut Samples<'_, '_>,
    value: fn(&Filesystem) -> f64,
) {
    let other = |fs: &&Filesystem| !counted.iter().any(|disk| disk.device == fs.device);
    for filesystem in stats.filesystem.iter().filter(other) {
        out.with(&[&filesystem.device], value(filesystem));
    }
}
