//! zoneinfo: the memory zones of /proc/zoneinfo.

use model::MetricType::{self, Counter, Gauge};

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// Key in the file, metric behind `node_zoneinfo_`, help, type.
const FIELDS: [(&str, &str, &str, MetricType); 34] = [
    (
        "nr_free_pages",
        "nr_free_pages",
        "Total number of free pages in the zone",
        Gauge,
    ),
    ("min", "min_pages", "Zone watermark pages_min", Gauge),
    ("low", "low_pages", "Zone watermark pages_low", Gauge),
    ("high", "high_pages", "Zone watermark pages_high", Gauge),
    (
        "scanned",
        "scanned_pages",
        "Pages scanned since last reclaim",
        Gauge,
    ),
    (
        "spanned",
        "spanned_pages",
        "Total pages spanned by the zone, including holes",
        Gauge,
    ),
    (
        "present",
        "present_pages",
        "Physical pages existing within the zone",
        Gauge,
    ),
    (
        "managed",
        "managed_pages",
        "Present pages managed by the buddy system",
        Gauge,
    ),
    (
        "nr_active_anon",
        "nr_active_anon_pages",
        "Number of anonymous pages recently more used",
        Gauge,
    ),
    (
        "nr_inactive_anon",
        "nr_inactive_anon_pages",
        "Number of anonymous pages recently less used",
        Gauge,
    ),
    (
        "nr_isolated_anon",
        "nr_isolated_anon_pages",
        "Temporary isolated pages from anon lru",
        Gauge,
    ),
    (
        "nr_anon_pages",
        "nr_anon_pages",
        "Number of anonymous pages currently used by the system",
        Gauge,
    ),
    (
        "nr_anon_transparent_hugepages",
        "nr_anon_transparent_hugepages",
        "Number of anonymous transparent huge pages currently used by the system",
        Gauge,
    ),
    (
        "nr_active_file",
        "nr_active_file_pages",
        "Number of active pages with file-backing",
        Gauge,
    ),
    (
        "nr_inactive_file",
        "nr_inactive_file_pages",
        "Number of inactive pages with file-backing",
        Gauge,
    ),
    (
        "nr_isolated_file",
        "nr_isolated_file_pages",
        "Temporary isolated pages from file lru",
        Gauge,
    ),
    (
        "nr_file_pages",
        "nr_file_pages",
        "Number of file pages",
        Gauge,
    ),
    (
        "nr_slab_reclaimable",
        "nr_slab_reclaimable_pages",
        "Number of reclaimable slab pages",
        Gauge,
    ),
    (
        "nr_slab_unreclaimable",
        "nr_slab_unreclaimable_pages",
        "Number of unreclaimable slab pages",
        Gauge,
    ),
    (
        "nr_mlock_stack",
        "nr_mlock_stack_pages",
        "mlock()ed pages found and moved off LRU",
        Gauge,
    ),
    (
        "nr_kernel_stack",
        "nr_kernel_stacks",
        "Number of kernel stacks",
        Gauge,
    ),
    (
        "nr_mapped",
        "nr_mapped_pages",
        "Number of mapped pages",
        Gauge,
    ),
    ("nr_dirty", "nr_dirty_pages", "Number of dirty pages", Gauge),
    (
        "nr_writeback",
        "nr_writeback_pages",
        "Number of writeback pages",
        Gauge,
    ),
    (
        "nr_unevictable",
        "nr_unevictable_pages",
        "Number of unevictable pages",
        Gauge,
    ),
    (
        "nr_shmem",
        "nr_shmem_pages",
        "Number of shmem pages (included tmpfs/GEM pages)",
        Gauge,
    ),
    (
        "nr_dirtied",
        "nr_dirtied_total",
        "Page dirtyings since bootup",
        Counter,
    ),
    (
        "nr_written",
        "nr_written_total",
        "Page writings since bootup",
        Counter,
    ),
    (
        "numa_hit",
        "numa_hit_total",
        "Allocated in intended node",
        Counter,
    ),
    (
        "numa_miss",
        "numa_miss_total",
        "Allocated in non intended node",
        Counter,
    ),
    (
        "numa_foreign",
        "numa_foreign_total",
        "Was intended here, hit elsewhere",
        Counter,
    ),
    (
        "numa_interleave",
        "numa_interleave_total",
        "Interleaver preferred this zone",
        Counter,
    ),
    (
        "numa_local",
        "numa_local_total",
        "Allocation from local node",
        Counter,
    ),
    (
        "numa_other",
        "numa_other_total",
        "Allocation from other node",
        Counter,
    ),
];

/// `Node 0, zone      DMA`.
fn heading(line: &str) -> Option<(&str, &str)> {
    let (node, zone) = line.strip_prefix("Node ")?.split_once(", zone")?;
    Some((node.trim(), zone.trim()))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut zone: Option<(&str, &str)> = None;
    for line in files.proc("zoneinfo")?.lines() {
        if let Some(found) = heading(line) {
            zone = Some(found);
            continue;
        }
        let Some((node, name)) = zone else { continue };
        let labels = [("node", node), ("zone", name)];
        let Some((key, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        if key == "protection:" {
            let numbers = rest.trim().trim_matches(['(', ')']).split(", ");
            for (at, value) in numbers.map_while(|n| n.parse().ok()).enumerate() {
                let metric = format!("node_zoneinfo_protection_{at}");
                let help = format!("Protection array {at}. field");
                out.gauge(&metric, &help, &labels, value);
            }
            continue;
        }
        // The lists of each CPU write `high:`, which is another key.
        let Some((_, metric, help, kind)) = FIELDS.iter().find(|field| field.0 == key) else {
            continue;
        };
        if let Ok(value) = rest.trim().parse::<i64>() {
            let metric = format!("node_zoneinfo_{metric}");
            out.add(*kind, &metric, help, &labels, value as f64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn headings() {
        assert_eq!(super::heading("Node 0, zone      DMA"), Some(("0", "DMA")));
        assert_eq!(super::heading("  per-node stats"), None);
    }
}
