//! btrfs: space and commits of mounted file systems, of /sys/fs/btrfs. What needs an ioctl on the
//! mount (unused space and errors of single devices) is not here.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// Copies or parity: bytes on disk for a byte of data, by profile and number of devices.
fn ratio(mode: &str, devices: usize) -> f64 {
    let devices = devices as f64;
    match mode {
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => devices / (devices - 1.0),
        "raid6" => devices / (devices - 2.0),
        _ => 1.0,
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let root = files.paths.sys.join("fs/btrfs");
    for uuid in list(&root).map_err(CollectError::missing_is_no_data)? {
        let dir = root.join(&uuid);
        let allocation = dir.join("allocation");
        // `features` beside the file systems has no allocation.
        if !allocation.is_dir() {
            continue;
        }
        let of_fs = [("uuid", uuid.as_str())];
        let label = files
            .value(&dir.join("label"))
            .unwrap_or_default()
            .to_owned();
        out.gauge(
            "node_btrfs_info",
            "Filesystem information",
            &[of_fs[0], ("label", &label)],
            1.0,
        );
        if let Some(size) = files.number(&allocation.join("global_rsv_size")) {
            out.gauge(
                "node_btrfs_global_rsv_size_bytes",
                "Size of global reserve.",
                &of_fs,
                size,
            );
        }
        let devices = list(&dir.join("devices")).unwrap_or_default();
        for device in &devices {
            let sectors = files.number(&dir.join("devices").join(device).join("size"));
            if let Some(sectors) = sectors {
                out.gauge(
                    "node_btrfs_device_size_bytes",
                    "Size of a device that is part of the filesystem.",
                    &[of_fs[0], ("device", device)],
                    sectors * 512.0,
                );
            }
        }
        commits(files, out, &uuid);
        for group in ["data", "metadata", "system"] {
            let dir = allocation.join(group);
            let labels = [of_fs[0], ("block_group_type", group)];
            if let Some(reserved) = files.number(&dir.join("bytes_reserved")) {
                out.gauge(
                    "node_btrfs_reserved_bytes",
                    "Amount of space reserved for a data type",
                    &labels,
                    reserved,
                );
            }
            for mode in list(&dir).unwrap_or_default() {
                let dir = dir.join(&mode);
                let Some(total) = files.number(&dir.join("total_bytes")) else {
                    continue;
                };
                let used = files.number(&dir.join("used_bytes")).unwrap_or_default();
                let labels = [labels[0], labels[1], ("mode", mode.as_str())];
                out.gauge(
                    "node_btrfs_used_bytes",
                    "Amount of used space by a layout/data type",
                    &labels,
                    used,
                );
                out.gauge(
                    "node_btrfs_size_bytes",
                    "Amount of space allocated for a layout/data type",
                    &labels,
                    total,
                );
                out.gauge(
                    "node_btrfs_allocation_ratio",
                    "Data allocation ratio for a layout/data type",
                    &labels,
                    ratio(&mode, devices.len()),
                );
            }
        }
    }
    Ok(())
}

fn commits(files: &mut Files, out: &mut Page, uuid: &str) {
    let path = files
        .paths
        .sys
        .join("fs/btrfs")
        .join(uuid)
        .join("commit_stats");
    // Older kernels do not count commits; upstream shows zeros then.
    let text = files.value(&path).unwrap_or_default();
    let get = |name: &str| -> f64 {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .find(|(n, _)| *n == name)
            .and_then(|(_, v)| v.trim().parse().ok())
            .unwrap_or_default()
    };
    let labels = [("uuid", uuid)];
    out.counter(
        "node_btrfs_commits_total",
        "The total number of commits that have occurred.",
        &labels,
        get("commits"),
    );
    out.gauge(
        "node_btrfs_last_commit_seconds",
        "Duration of the most recent commit, in seconds.",
        &labels,
        get("last_commit_ms") / 1000.0,
    );
    out.gauge(
        "node_btrfs_max_commit_seconds",
        "Duration of the slowest commit, in seconds.",
        &labels,
        get("max_commit_ms") / 1000.0,
    );
    out.counter(
        "node_btrfs_commit_seconds_total",
        "Sum of the duration of all commits, in seconds.",
        &labels,
        get("total_commit_ms") / 1000.0,
    );
}
