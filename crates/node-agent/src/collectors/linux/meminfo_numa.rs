//! meminfo_numa: meminfo and numastat of every node.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// `Node 0 Active(anon): 707915776 kB`: name and bytes.
fn parse(line: &str) -> Option<(String, f64)> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let name = fields
        .next()?
        .trim_end_matches(':')
        .replace('(', "_")
        .replace(')', "");
    let value: f64 = fields.next()?.parse().ok()?;
    match fields.next() {
        None => Some((name, value)),
        Some("kB") => Some((name, value * 1024.0)),
        Some(_) => None,
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let nodes = files.paths.sys.join("devices/system/node");
    for name in list(&nodes)? {
        let node = name.strip_prefix("node").unwrap_or_default();
        if node.is_empty() || !node.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let dir = nodes.join(&name);
        for line in files
            .read(&dir.join("meminfo"))?
            .lines()
            .filter(|l| !l.trim().is_empty())
        {
            let (field, value) =
                parse(line).ok_or_else(|| CollectError::invalid("meminfo line", line))?;
            out.gauge(
                &format!("node_memory_numa_{field}"),
                &format!("Memory information field {field}."),
                &[("node", node)],
                value,
            );
        }
        for line in files.read(&dir.join("numastat"))?.lines() {
            let Some((field, value)) = line.split_once(' ') else {
                continue;
            };
            let value = value.trim().parse();
            let value = value.map_err(|_| CollectError::invalid("numastat line", line))?;
            out.counter(
                &format!("node_memory_numa_{field}_total"),
                &format!("Memory information field {field}_total."),
                &[("node", node)],
                value,
            );
        }
    }
    Ok(())
}
