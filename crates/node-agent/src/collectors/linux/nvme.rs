//! nvme: controllers and namespaces of /sys/class/nvme.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// The number behind `n` in `nvme0n1` or `nvme0c0n1`.
fn namespace<'n>(controller: &str, name: &'n str) -> Option<&'n str> {
    let id = name.strip_prefix(controller)?.rsplit_once('n')?.1;
    Some(id).filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/nvme");
    for device in list(&class).map_err(CollectError::missing_is_no_data)? {
        let dir = class.join(&device);
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        out.gauge(
            "node_nvme_info",
            "Non-numeric data from /sys/class/nvme/<device>, value is always 1.",
            &[
                ("device", &device),
                ("firmware_revision", &text("firmware_rev")),
                ("model", &text("model")),
                ("serial", &text("serial")),
                ("state", &text("state")),
                ("cntlid", &text("cntlid")),
            ],
            1.0,
        );
        for name in list(&dir)? {
            let Some(id) = namespace(&device, &name) else {
                continue;
            };
            let dir = dir.join(&name);
            let state = files
                .value(&dir.join("ana_state"))
                .unwrap_or("unknown")
                .to_owned();
            let labels = [("device", device.as_str()), ("nsid", id)];
            out.gauge(
                "node_nvme_namespace_info",
                "Information about NVMe namespaces. Value is always 1",
                &[labels[0], labels[1], ("ana_state", &state)],
                1.0,
            );
            let size = files.number(&dir.join("size")).unwrap_or_default();
            let used = files.number(&dir.join("nuse")).unwrap_or_default();
            let block = files
                .number(&dir.join("queue/logical_block_size"))
                .unwrap_or_default();
            let metrics = [
                (
                    "capacity_bytes",
                    "Capacity of the NVMe namespace in bytes. Computed as namespace_size * namespace_logical_block_size",
                    size * block,
                ),
                (
                    "size_bytes",
                    "Size of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/size",
                    size * block,
                ),
                (
                    "used_bytes",
                    "Used space of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/nuse",
                    used * block,
                ),
                (
                    "logical_block_size_bytes",
                    "Logical block size of the NVMe namespace in bytes. Usually 4Kb. Available in /sys/class/nvme/<device>/<namespace>/queue/logical_block_size",
                    block,
                ),
            ];
            for (metric, help, value) in metrics {
                out.gauge(
                    &format!("node_nvme_namespace_{metric}"),
                    help,
                    &labels,
                    value,
                );
            }
        }
    }
    Ok(())
}
