//! slabinfo: the kernel's object caches, of /proc/slabinfo.

use service::Args;

use super::filter::Filter;
use super::{Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

const COLUMNS: [(&str, &str); 5] = [
    (
        "node_slabinfo_active_objects",
        "The number of objects that are currently active (i.e., in use).",
    ),
    (
        "node_slabinfo_objects",
        "The total number of allocated objects (i.e., objects that are both in use and not in use).",
    ),
    (
        "node_slabinfo_object_size_bytes",
        "The size of objects in this slab, in bytes.",
    ),
    (
        "node_slabinfo_objects_per_slab",
        "The number of objects stored in each slab.",
    ),
    (
        "node_slabinfo_pages_per_slab",
        "The number of pages allocated for each slab.",
    ),
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::both(
        args,
        "collector.slabinfo.slabs-exclude",
        "collector.slabinfo.slabs-include",
    )?;
    Ok(Box::new(move |files, out| collect(files, out, &filter)))
}

fn collect(files: &mut Files, out: &mut Page, filter: &Filter) -> Outcome {
    for line in files.proc("slabinfo")?.lines().skip(2) {
        let mut fields = line.split_ascii_whitespace();
        let Some(slab) = fields.next().filter(|slab| !filter.ignored(slab)) else {
            continue;
        };
        for ((name, help), value) in COLUMNS.iter().zip(fields) {
            if let Ok(value) = value.parse() {
                out.gauge(name, help, &[("slab", slab)], value);
            }
        }
    }
    Ok(())
}
