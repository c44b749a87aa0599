//! bcache: caches of block devices, of /sys/fs/bcache.

use model::MetricType::{self, Counter, Gauge};
use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File or line, type, metric, help.
type Metric = (&'static str, MetricType, &'static str, &'static str);

/// Of a set of caches.
const SET: [Metric; 10] = [
    (
        "average_key_size",
        Gauge,
        "node_bcache_average_key_size_sectors",
        "Average data per key in the btree (sectors).",
    ),
    (
        "btree_cache_size",
        Gauge,
        "node_bcache_btree_cache_size_bytes",
        "Amount of memory currently used by the btree cache.",
    ),
    (
        "cache_available_percent",
        Gauge,
        "node_bcache_cache_available_percent",
        "Percentage of cache device without dirty data, usable for writeback (may contain clean cached data).",
    ),
    ("congested", Gauge, "node_bcache_congested", "Congestion."),
    (
        "root_usage_percent",
        Gauge,
        "node_bcache_root_usage_percent",
        "Percentage of the root btree node in use (tree depth increases if too high).",
    ),
    (
        "tree_depth",
        Gauge,
        "node_bcache_tree_depth",
        "Depth of the btree.",
    ),
    (
        "internal/active_journal_entries",
        Gauge,
        "node_bcache_active_journal_entries",
        "Number of journal entries that are newer than the index.",
    ),
    (
        "internal/btree_nodes",
        Gauge,
        "node_bcache_btree_nodes",
        "Total nodes in the btree.",
    ),
    (
        "internal/btree_read_average_duration_us",
        Gauge,
        "node_bcache_btree_read_average_duration_seconds",
        "Average btree read duration.",
    ),
    (
        "internal/cache_read_races",
        Counter,
        "node_bcache_cache_read_races_total",
        "Counts instances where while data was being read from the cache, the bucket was reused and invalidated - i.e. where the pointer was stale after the read completed.",
    ),
];

/// Of a backing device.
const BACKING: [Metric; 8] = [
    (
        "dirty_data",
        Gauge,
        "node_bcache_dirty_data_bytes",
        "Amount of dirty data for this backing device in the cache.",
    ),
    (
        "stats_total/bypassed",
        Counter,
        "node_bcache_bypassed_bytes_total",
        "Amount of IO (both reads and writes) that has bypassed the cache.",
    ),
    (
        "stats_total/cache_bypass_hits",
        Counter,
        "node_bcache_cache_bypass_hits_total",
        "Hits for IO intended to skip the cache.",
    ),
    (
        "stats_total/cache_bypass_misses",
        Counter,
        "node_bcache_cache_bypass_misses_total",
        "Misses for IO intended to skip the cache.",
    ),
    (
        "stats_total/cache_hits",
        Counter,
        "node_bcache_cache_hits_total",
        "Hits counted per individual IO as bcache sees them.",
    ),
    (
        "stats_total/cache_miss_collisions",
        Counter,
        "node_bcache_cache_miss_collisions_total",
        "Instances where data insertion from cache miss raced with write (data already present).",
    ),
    (
        "stats_total/cache_misses",
        Counter,
        "node_bcache_cache_misses_total",
        "Misses counted per individual IO as bcache sees them.",
    ),
    (
        "stats_total/cache_readaheads",
        Counter,
        "node_bcache_cache_readaheads_total",
        "Count of times readahead occurred.",
    ),
];

/// Lines of a backing device's `writeback_rate_debug`.
const WRITEBACK: [Metric; 5] = [
    (
        "target",
        Gauge,
        "node_bcache_dirty_target_bytes",
        "Current dirty data target threshold for this backing device in bytes.",
    ),
    (
        "rate",
        Gauge,
        "node_bcache_writeback_rate",
        "Current writeback rate for this backing device in bytes.",
    ),
    (
        "proportional",
        Gauge,
        "node_bcache_writeback_rate_proportional_term",
        "Current result of proportional controller, part of writeback rate",
    ),
    (
        "integral",
        Gauge,
        "node_bcache_writeback_rate_integral_term",
        "Current result of integral controller, part of writeback rate",
    ),
    (
        "change",
        Gauge,
        "node_bcache_writeback_change",
        "Last writeback rate change step for this backing device.",
    ),
];

/// Of a cache device.
const CACHE: [Metric; 3] = [
    (
        "io_errors",
        Gauge,
        "node_bcache_io_errors",
        "Number of errors that have occurred, decayed by io_error_halflife.",
    ),
    (
        "metadata_written",
        Counter,
        "node_bcache_metadata_written_bytes_total",
        "Sum of all non data writes (btree writes and all other metadata).",
    ),
    (
        "written",
        Counter,
        "node_bcache_written_bytes_total",
        "Sum of all data that has been written to the cache.",
    ),
];

/// Lines of a cache device's `priority_stats`.
const PRIORITY: [Metric; 2] = [
    (
        "Unused",
        Gauge,
        "node_bcache_priority_stats_unused_percent",
        "The percentage of the cache that doesn't contain any data.",
    ),
    (
        "Metadata",
        Gauge,
        "node_bcache_priority_stats_metadata_percent",
        "Bcache's metadata overhead.",
    ),
];

pub fn new(args: &Args) -> Result<Collector, String> {
    // Reading them goes over all buckets of the device.
    let priorities = args.bool("collector.bcache.priorityStats");
    Ok(Box::new(move |files, out| collect(files, out, priorities)))
}

/// A number as bcache prints it: `20.4G` is 20 GiB and 4 times 100 MiB, whatever a tenth is.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix("/sec").unwrap_or(text);
    let (digits, unit) = match text.char_indices().last()? {
        (at, suffix) if suffix.is_ascii_alphabetic() => {
            let power = "kMGTPEZY".find(suffix)? as i32 + 1;
            (&text[..at], 1024f64.powi(power))
        }
        _ => (text, 1.0),
    };
    match digits.split_once('.') {
        None => Some(digits.parse::<f64>().ok()? * unit),
        Some((whole, tenth)) => {
            let (whole, tenth): (f64, f64) = (whole.parse().ok()?, tenth.parse().ok()?);
            Some(whole * unit + tenth * 100.0 * (unit / 1024.0))
        }
    }
}

fn collect(files: &mut Files, out: &mut Page, priorities: bool) -> Outcome {
    let root = files.paths.sys.join("fs/bcache");
    for uuid in list(&root).map_err(CollectError::missing_is_no_data)? {
        let set = root.join(&uuid);
        // Beside the sets are the files to register devices with.
        if !set.is_dir() {
            continue;
        }
        let of_set = ("uuid", uuid.as_str());
        for (file, kind, name, help) in SET {
            if let Some(value) = files.value(&set.join(file)).and_then(number) {
                // Upstream takes the microseconds of the file for nanoseconds.
                let value = if file.ends_with("_us") {
                    value * 1e-9
                } else {
                    value
                };
                out.add(kind, name, help, &[of_set], value);
            }
        }
        for device in list(&set)? {
            let dir = set.join(&device);
            let (metrics, label): (&[Metric], _) = match () {
                () if device.starts_with("bdev") => (&BACKING, "backing_device"),
                () if device.starts_with("cache") && dir.is_dir() => (&CACHE, "cache_device"),
                () => continue,
            };
            let labels = [of_set, (label, device.as_str())];
            for (file, kind, name, help) in metrics {
                if let Some(value) = files.value(&dir.join(file)).and_then(number) {
                    out.add(*kind, name, help, &labels, value);
                }
            }
            let (file, lines): (_, &[Metric]) = match label {
                "backing_device" => ("writeback_rate_debug", &WRITEBACK),
                _ if priorities => ("priority_stats", &PRIORITY),
                _ => continue,
            };
            let text = files.value(&dir.join(file)).unwrap_or_default();
            for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
                let metric = lines.iter().find(|(line, ..)| *line == key);
                if let (Some((_, kind, name, help)), Some(value)) =
                    (metric, number(value.trim().trim_end_matches('%')))
                {
                    out.add(*kind, name, help, &labels, value);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers() {
        assert_eq!(super::number("20.4G"), Some(21_894_266_880.0));
        assert_eq!(super::number("321.5k/sec"), Some(329_204.0));
        assert_eq!(super::number("0"), Some(0.0));
        for text in ["", "k", "1.x", "17ms"] {
            assert_eq!(super::number(text), None, "{text:?}");
        }
    }
}
