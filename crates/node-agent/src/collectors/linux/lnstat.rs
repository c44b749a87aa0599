//! lnstat: counters of the network caches, of /proc/net/stat.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let dir = files.paths.proc.join("net/stat");
    for subsystem in list(&dir).map_err(CollectError::missing_is_no_data)? {
        let mut lines = files.read(&dir.join(&subsystem))?.lines();
        let headings: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // A line for each CPU, in hexadecimal.
        for (cpu, line) in lines.enumerate() {
            let cpu = cpu.to_string();
            for (heading, value) in headings.iter().zip(line.split_whitespace()) {
                let value = u64::from_str_radix(value, 16)
                    .map_err(|_| CollectError::invalid("network cache counter", value))?;
                out.counter(
                    &format!("node_lnstat_{heading}_total"),
                    "linux network cache stats",
                    &[("subsystem", &subsystem), ("cpu", &cpu)],
                    value as f64,
                );
            }
        }
    }
    Ok(())
}
