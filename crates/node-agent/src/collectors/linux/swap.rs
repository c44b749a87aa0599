//! swap: the devices of /proc/swaps.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    for line in files.proc("swaps")?.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, kind, size, used, priority] = fields[..] else {
            continue;
        };
        let metrics = [
            (
                "node_swap_size_bytes",
                "Swap device size in bytes.",
                size,
                1024.0,
            ),
            (
                "node_swap_used_bytes",
                "Swap device used in bytes.",
                used,
                1024.0,
            ),
            ("node_swap_priority", "Swap device priority.", priority, 1.0),
        ];
        for (name, help, value, factor) in metrics {
            if let Ok(value) = value.parse::<f64>() {
                out.gauge(
                    name,
                    help,
                    &[("device", device), ("swap_type", kind)],
                    value * factor,
                );
            }
        }
    }
    Ok(())
}
