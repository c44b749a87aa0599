//! zfs: kernel statistics of /proc/spl/kstat/zfs.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File and part of the metric's name.
const TABLES: [(&str, &str); 11] = [
    ("abdstats", "abd"),
    ("arcstats", "arc"),
    ("dbufstats", "dbuf"),
    ("dmu_tx", "dmu_tx"),
    ("dnodestats", "dnode"),
    ("fm", "fm"),
    ("vdev_cache_stats", "vdev_cache"),
    ("vdev_mirror_stats", "vdev_mirror"),
    ("xuio_stats", "xuio"),
    ("zfetchstats", "zfetch"),
    ("zil", "zil"),
];

const STATES: [&str; 7] = [
    "online",
    "degraded",
    "faulted",
    "offline",
    "removed",
    "unavail",
    "suspended",
];

/// Name, type and data of the lines below the heading.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let body = text
        .lines()
        .skip_while(|line| !line.split_whitespace().eq(["name", "type", "data"]));
    body.skip(1).filter_map(|line| {
        let (name, rest) = line.split_once(char::is_whitespace)?;
        let (kind, data) = rest.trim_start().split_once(char::is_whitespace)?;
        Some((name, kind, data.trim()))
    })
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let root = files.paths.proc.join("spl/kstat/zfs");
    let entries = list(&root).map_err(CollectError::missing_is_no_data)?;
    for (file, subsystem) in TABLES {
        // Which tables there are depends on the version.
        let Ok(text) = files.read(&root.join(file)) else {
            continue;
        };
        for (name, kind, data) in rows(text) {
            // Signed and unsigned 64-bit numbers.
            if kind == "4" || kind == "3" {
                let value = data
                    .parse()
                    .map_err(|_| CollectError::invalid("zfs value", data))?;
                let metric = format!("node_zfs_{subsystem}_{}", name.replace('-', "_"));
                out.untyped(
                    &metric,
                    &format!("kstat.zfs.misc.{file}.{name}"),
                    &[],
                    value,
                );
            }
        }
    }
    for pool in entries {
        let dir = root.join(&pool);
        for file in list(&dir).unwrap_or_default() {
            // A pool may be exported meanwhile.
            let Ok(text) = files.read(&dir.join(&file)) else {
                continue;
            };
            match file.as_str() {
                "io" => pool_io(out, &pool, text),
                "state" => pool_state(out, &pool, text),
                _ if file.starts_with("objset-") => data_set(out, &pool, text),
                _ => {}
            }
        }
    }
    Ok(())
}

fn pool_io(out: &mut Page, pool: &str, text: &str) {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("nread"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return;
    };
    for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
        if let Ok(value) = value.parse() {
            let metric = format!("node_zfs_zpool_{}", name.replace('-', "_"));
            out.untyped(
                &metric,
                &format!("kstat.zfs.misc.io.{name}"),
                &[("zpool", pool)],
                value,
            );
        }
    }
}

fn pool_state(out: &mut Page, pool: &str, text: &str) {
    let actual = text.lines().next().unwrap_or_default().to_lowercase();
    for state in STATES {
        out.gauge(
            "node_zfs_zpool_state",
            "kstat.zfs.misc.state",
            &[("zpool", pool), ("state", state)],
            if actual == state { 1.0 } else { 0.0 },
        );
    }
}

fn data_set(out: &mut Page, pool: &str, text: &str) {
    let mut data_set = "";
    for (name, kind, data) in rows(text) {
        if name == "dataset_name" {
            data_set = data;
        } else if kind == "4"
            && let Ok(value) = data.parse()
        {
            let metric = format!("node_zfs_zpool_dataset_{}", name.replace('-', "_"));
            let help = format!("kstat.zfs.misc.objset.{name}");
            out.untyped(
                &metric,
                &help,
                &[("zpool", pool), ("dataset", data_set)],
                value,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_below_the_heading() {
        let text = "1 2 3\nname   type data\na  4  5\nb 7 x  y\nshort\n";
        let rows: Vec<_> = super::rows(text).collect();
        assert_eq!(rows, [("a", "4", "5"), ("b", "7", "x  y")]);
        assert_eq!(super::rows("").count(), 0);
    }
}
