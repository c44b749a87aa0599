//! arp: entries of /proc/net/arp by device.

use std::collections::BTreeMap;

use service::Args;

use super::filter::Filter;
use super::{Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::exclusive(
        args,
        "collector.arp.device-exclude",
        "collector.arp.device-include",
    )?;
    Ok(Box::new(move |files, out| collect(files, out, &filter)))
}

/// The last of six columns is the device; the first line is a heading.
fn parse(text: &str) -> BTreeMap<&str, u32> {
    let mut entries = BTreeMap::new();
    for line in text.lines().skip(1) {
        if let Some(device) = line.split_ascii_whitespace().nth(5) {
            *entries.entry(device).or_default() += 1;
        }
    }
    entries
}

fn collect(files: &mut Files, out: &mut Page, filter: &Filter) -> Outcome {
    for (device, count) in parse(files.proc("net/arp")?) {
        if !filter.ignored(device) {
            out.gauge(
                "node_arp_entries",
                "ARP entries by device",
                &[("device", device)],
                count.into(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_counted() {
        let text = "IP HW\n1.1.1.1 0x1 0x2 aa * eth0\n1.1.1.2 0x1 0x2 aa * eth0\nshort line\n";
        assert_eq!(parse(text), BTreeMap::from([("eth0", 2)]));
    }
}
