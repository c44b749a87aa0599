//! buddyinfo: free blocks of memory by size, of /proc/buddyinfo.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// `Node 0, zone Normal 1 2 3`.
fn parse(line: &str) -> Option<(&str, &str, Vec<f64>)> {
    let (node, rest) = line.strip_prefix("Node")?.split_once(", zone")?;
    let mut fields = rest.split_ascii_whitespace();
    let zone = fields.next()?;
    let counts: Option<Vec<f64>> = fields.map(|f| f.parse().ok()).collect();
    Some((node.trim(), zone, counts?))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    for (node, zone, counts) in files.proc("buddyinfo")?.lines().filter_map(parse) {
        for (size, count) in counts.into_iter().enumerate() {
            out.gauge(
                "node_buddyinfo_blocks",
                "Count of free blocks according to size.",
                &[("node", node), ("zone", zone), ("size", &size.to_string())],
                count,
            );
        }
    }
    Ok(())
}
