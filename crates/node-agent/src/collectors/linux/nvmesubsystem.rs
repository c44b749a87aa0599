//! nvmesubsystem: paths of NVMe subsystems, of /sys/class/nvme-subsystem.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// The states that are shown; a controller that is being made or deleted is in none of them.
const STATES: [&str; 5] = ["live", "connecting", "resetting", "dead", "unknown"];

/// The shown state for what the kernel says.
fn state(text: &str) -> &str {
    match text {
        "live" | "connecting" | "resetting" | "dead" => text,
        "deleting" | "deleting (no IO)" | "new" => text,
        _ => "unknown",
    }
}

/// Whether a name is `nvme` and a number (a controller), or that, `n` and a number (a namespace).
fn is_numbered(name: &str, parts: usize) -> bool {
    name.strip_prefix("nvme").is_some_and(|rest| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        rest.split('n').count() == parts && rest.split('n').all(digits)
    })
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/nvme-subsystem");
    for subsystem in list(&class).map_err(CollectError::missing_is_no_data)? {
        if !subsystem.starts_with("nvme-subsys") {
            continue;
        }
        let dir = class.join(&subsystem);
        let labels = [("subsystem", subsystem.as_str())];
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        out.gauge(
            "node_nvmesubsystem_info",
            "Non-numeric information about an NVMe subsystem.",
            &[
                labels[0],
                ("nqn", &text("subsysnqn")),
                ("model", &text("model")),
                ("serial", &text("serial")),
                ("iopolicy", &text("iopolicy")),
            ],
            1.0,
        );
        let (mut paths, mut live) = (0.0, 0.0);
        for name in list(&dir)? {
            if is_numbered(&name, 2) {
                out.gauge(
                    "node_nvmesubsystem_namespace_info",
                    "Maps an NVMe namespace block device to its subsystem.",
                    &[labels[0], ("device", &name)],
                    1.0,
                );
            }
            if !is_numbered(&name, 1) {
                continue;
            }
            let dir = dir.join(&name);
            let transport = files
                .value(&dir.join("transport"))
                .unwrap_or_default()
                .to_owned();
            let now = state(files.value(&dir.join("state")).unwrap_or_default());
            paths += 1.0;
            live += if now == "live" { 1.0 } else { 0.0 };
            for shown in STATES {
                out.gauge(
                    "node_nvmesubsystem_path_state",
                    "Current NVMe controller path state (1 for the current state, 0 for all others).",
                    &[
                        labels[0],
                        ("controller", &name),
                        ("transport", &transport),
                        ("state", shown),
                    ],
                    if shown == now { 1.0 } else { 0.0 },
                );
            }
        }
        out.gauge(
            "node_nvmesubsystem_paths",
            "Number of controller paths for an NVMe subsystem.",
            &labels,
            paths,
        );
        out.gauge(
            "node_nvmesubsystem_paths_live",
            "Number of controller paths in live state for an NVMe subsystem.",
            &labels,
            live,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_states() {
        assert!(is_numbered("nvme12", 1) && !is_numbered("nvme12", 2));
        assert!(is_numbered("nvme0n1", 2) && !is_numbered("nvme0c0n1", 2));
        assert!(!is_numbered("nvme", 1) && !is_numbered("nvmen1", 2));
        assert_eq!(state("live"), "live");
        assert_eq!(state("new"), "new");
        assert_eq!(state(""), "unknown");
    }
}
