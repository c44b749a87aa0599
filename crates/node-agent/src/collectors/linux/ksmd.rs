//! ksmd: kernel samepage merging, of /sys/kernel/mm/ksm.

use model::MetricType::{Counter, Gauge};

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let dir = files.paths.sys.join("kernel/mm/ksm");
    let metrics = [
        ("full_scans", "full_scans_total", Counter, 1.0),
        ("merge_across_nodes", "merge_across_nodes", Gauge, 1.0),
        ("pages_shared", "pages_shared", Gauge, 1.0),
        ("pages_sharing", "pages_sharing", Gauge, 1.0),
        ("pages_to_scan", "pages_to_scan", Gauge, 1.0),
        ("pages_unshared", "pages_unshared", Gauge, 1.0),
        ("pages_volatile", "pages_volatile", Gauge, 1.0),
        ("run", "run", Gauge, 1.0),
        ("sleep_millisecs", "sleep_seconds", Gauge, 1000.0),
    ];
    for (file, name, kind, divisor) in metrics {
        let text = files.read(&dir.join(file))?.trim();
        let value: f64 = text
            .parse()
            .map_err(|_| super::CollectError::invalid("ksm value", text))?;
        let help = format!("ksmd '{file}' file.");
        out.add(
            kind,
            &format!("node_ksmd_{name}"),
            &help,
            &[],
            value / divisor,
        );
    }
    Ok(())
}
