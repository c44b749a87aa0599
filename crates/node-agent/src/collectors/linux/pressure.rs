//! pressure: stall information (PSI) of /proc/pressure.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Resource, the line's first word, metric, help.
const METRICS: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
];

/// Microseconds of the line that begins with `word`.
fn total(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(word))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut any = false;
    for of_resource in METRICS.chunk_by(|one, next| one.0 == next.0) {
        // Kernels without PSI have no files, those where it is switched off refuse to read them, and
        // older ones do not know all resources.
        let Ok(text) = files.proc(&format!("pressure/{}", of_resource[0].0)) else {
            continue;
        };
        any = true;
        for (_, word, name, help) in of_resource {
            if let Some(micros) = total(text, word) {
                out.counter(name, help, &[], micros / 1000.0 / 1000.0);
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(CollectError::NoData)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn totals() {
        let text =
            "some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802\nfull avg10=0.18 total=7\n";
        assert_eq!(super::total(text, "full"), Some(7.0));
        assert_eq!(super::total(text, "none"), None);
        assert_eq!(super::total("some total=", "some"), None);
    }
}
