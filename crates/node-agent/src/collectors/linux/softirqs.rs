//! softirqs: counts by vector and CPU, of /proc/softirqs.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    for line in files.proc("softirqs")?.lines().skip(1) {
        let Some((vector, counts)) = line.split_once(':') else {
            continue;
        };
        for (cpu, count) in counts.split_ascii_whitespace().enumerate() {
            let Ok(count) = count.parse() else { continue };
            out.counter(
                "node_softirqs_functions_total",
                "Softirq counts per CPU.",
                &[("cpu", &cpu.to_string()), ("type", vector.trim())],
                count,
            );
        }
    }
    Ok(())
}
