//! edac: memory errors that the hardware found, of /sys/devices/system/edac.

use super::Outcome;
use crate::files::{Files, list};
use crate::page::Page;

const CORRECTABLE: (&str, &str) = (
    "node_edac_correctable_errors_total",
    "Total correctable memory errors.",
);
const UNCORRECTABLE: (&str, &str) = (
    "node_edac_uncorrectable_errors_total",
    "Total uncorrectable memory errors.",
);
const ROW_CORRECTABLE: (&str, &str) = (
    "node_edac_csrow_correctable_errors_total",
    "Total correctable memory errors for this csrow.",
);
const ROW_UNCORRECTABLE: (&str, &str) = (
    "node_edac_csrow_uncorrectable_errors_total",
    "Total uncorrectable memory errors for this csrow.",
);

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let root = files.paths.sys.join("devices/system/edac/mc");
    for name in list(&root).unwrap_or_default() {
        let controller = name.strip_prefix("mc").unwrap_or_default();
        if !controller.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let dir = root.join(&name);
        let of_controller = [("controller", controller)];
        let unknown = [("controller", controller), ("csrow", "unknown")];
        let counts = [
            ("ce_count", CORRECTABLE, &of_controller[..]),
            ("ce_noinfo_count", ROW_CORRECTABLE, &unknown[..]),
            ("ue_count", UNCORRECTABLE, &of_controller[..]),
            ("ue_noinfo_count", ROW_UNCORRECTABLE, &unknown[..]),
        ];
        for (file, (metric, help), labels) in counts {
            if let Some(count) = files.number(&dir.join(file)) {
                out.counter(metric, help, labels, count);
            }
        }
        for row in list(&dir).unwrap_or_default() {
            let Some(number) = row.strip_prefix("csrow") else {
                continue;
            };
            let labels = [("controller", controller), ("csrow", number)];
            for (file, (metric, help)) in [
                ("ce_count", ROW_CORRECTABLE),
                ("ue_count", ROW_UNCORRECTABLE),
            ] {
                if let Some(count) = files.number(&dir.join(&row).join(file)) {
                    out.counter(metric, help, &labels, count);
                }
            }
        }
    }
    Ok(())
}
