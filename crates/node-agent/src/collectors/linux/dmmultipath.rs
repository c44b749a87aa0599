//! dmmultipath: multipath devices of the device mapper, of /sys/block/dm-*.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// A path that works: `running` for SCSI, `live` for NVMe.
fn is_active(state: &str) -> bool {
    state == "running" || state == "live"
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let block = files.paths.sys.join("block");
    let names = list(&block).map_err(CollectError::missing_is_no_data)?;
    for sysfs_name in names.iter().filter(|name| name.starts_with("dm-")) {
        let dir = block.join(sysfs_name);
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        let uuid = text("dm/uuid");
        if !uuid.starts_with("mpath-") {
            continue;
        }
        let device = text("dm/name");
        let active = text("dm/suspended") != "1";
        let labels = [
            ("device", device.as_str()),
            ("sysfs_name", sysfs_name.as_str()),
        ];
        out.gauge(
            "node_dmmultipath_device_info",
            "Non-numeric information about a DM-multipath device.",
            &[labels[0], labels[1], ("uuid", &uuid)],
            1.0,
        );
        let sectors = files.number(&dir.join("size")).unwrap_or_default();
        let (mut good, mut bad) = (0.0, 0.0);
        for path in list(&dir.join("slaves")).unwrap_or_default() {
            let state = files.value(&block.join(&path).join("device/state"));
            let state = state.unwrap_or("unknown").to_owned();
            *(if is_active(&state) {
                &mut good
            } else {
                &mut bad
            }) += 1.0;
            out.gauge(
                "node_dmmultipath_path_state",
                "Reports the underlying device state for a multipath path, as read from /sys/block/<dev>/device/state.",
                &[labels[0], ("path", &path), ("state", &state)],
                1.0,
            );
        }
        let metrics = [
            (
                "active",
                "Whether the multipath device-mapper device is active (1) or suspended (0).",
                if active { 1.0 } else { 0.0 },
            ),
            (
                "size_bytes",
                "Size of the multipath device in bytes, read from /sys/block/<dm>/size.",
                sectors * 512.0,
            ),
            (
                "paths",
                "Number of paths for a multipath device.",
                good + bad,
            ),
            (
                "paths_active",
                "Number of paths in active state (SCSI running or NVMe live) for a multipath device.",
                good,
            ),
            (
                "paths_failed",
                "Number of paths not in active state for a multipath device.",
                bad,
            ),
        ];
        for (name, help, value) in metrics {
            out.gauge(
                &format!("node_dmmultipath_device_{name}"),
                help,
                &labels,
                value,
            );
        }
    }
    Ok(())
}
