//! bcachefs: mounted file systems of /sys/fs/bcachefs.

use std::path::Path;

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// `2.05G`: a number with a binary unit.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.char_indices().last()? {
        (at, suffix) if suffix.is_ascii_alphabetic() => {
            let power = "kMGTPE".find(suffix)? as i32 + 1;
            Some((text[..at].parse::<f64>().ok()? * 1024f64.powi(power)).trunc())
        }
        _ => text.parse().ok(),
    }
}

/// The line of a counter about the life of the file system.
fn since_creation(text: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("since filesystem creation:"));
    number(line?)
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let root = files.paths.sys.join("fs/bcachefs");
    let mut any = false;
    for uuid in list(&root).map_err(CollectError::missing_is_no_data)? {
        let dir = root.join(&uuid);
        if !dir.is_dir() {
            continue;
        }
        any = true;
        let of_fs = ("uuid", uuid.as_str());
        out.gauge(
            "node_bcachefs_info",
            "Filesystem information.",
            &[of_fs],
            1.0,
        );
        if let Some(bytes) = files.value(&dir.join("btree_cache_size")).and_then(number) {
            let help = "Btree cache memory usage in bytes.";
            out.gauge(
                "node_bcachefs_btree_cache_size_bytes",
                help,
                &[of_fs],
                bytes,
            );
        }
        tables(files, out, &dir, of_fs);
        for name in list(&dir.join("counters")).unwrap_or_default() {
            let text = files.value(&dir.join("counters").join(&name));
            if let Some(value) = text.and_then(since_creation) {
                let metric = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
                let help = format!("Bcachefs counter {name} since filesystem creation.");
                out.counter(
                    &format!("node_bcachefs_{metric}_total"),
                    &help,
                    &[of_fs],
                    value,
                );
            }
        }
        for name in list(&dir).unwrap_or_default() {
            if let Some(number) = name.strip_prefix("dev-") {
                device(files, out, &dir.join(&name), &[of_fs, ("device", number)]);
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(CollectError::NoData)
    }
}

/// Compression, errors and writes: a name and columns a line.
fn tables(files: &mut Files, out: &mut Page, dir: &Path, of_fs: (&str, &str)) {
    // Name and two numbers; headings have no numbers.
    let row = |line: &str| -> Option<(String, f64, Option<f64>)> {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.next()?.trim_end_matches(':').to_owned();
        Some((
            name,
            number(fields.next()?)?,
            fields.next().and_then(number),
        ))
    };
    let mut rows = |file: &str| -> Vec<(String, f64, Option<f64>)> {
        let text = files.read(&dir.join(file)).unwrap_or_default();
        text.lines().filter_map(row).collect()
    };
    for (algorithm, compressed, uncompressed) in rows("compression_stats") {
        let labels = [of_fs, ("algorithm", algorithm.as_str())];
        let help = "Compressed size by algorithm.";
        out.gauge(
            "node_bcachefs_compression_compressed_bytes",
            help,
            &labels,
            compressed,
        );
        if let Some(bytes) = uncompressed {
            let help = "Uncompressed size by algorithm.";
            out.gauge(
                "node_bcachefs_compression_uncompressed_bytes",
                help,
                &labels,
                bytes,
            );
        }
    }
    for (kind, count, _) in rows("errors") {
        let labels = [of_fs, ("error_type", kind.as_str())];
        out.counter(
            "node_bcachefs_errors_total",
            "Error count by error type.",
            &labels,
            count,
        );
    }
    for (kind, count, size) in rows("btree_write_stats") {
        let labels = [of_fs, ("type", kind.as_str())];
        let help = "Number of btree writes by type.";
        out.counter("node_bcachefs_btree_writes_total", help, &labels, count);
        if let Some(size) = size {
            let help = "Average btree write size by type.";
            out.gauge(
                "node_bcachefs_btree_write_average_size_bytes",
                help,
                &labels,
                size,
            );
        }
    }
}

fn device(files: &mut Files, out: &mut Page, dir: &Path, labels: &[(&str, &str); 2]) {
    let label = files
        .value(&dir.join("label"))
        .unwrap_or_default()
        .to_owned();
    // `[rw] ro evacuating spare`: the one in brackets.
    let state = files.value(&dir.join("state")).unwrap_or_default();
    let chosen = state
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    let state = chosen.map_or(state, |(state, _)| state).to_owned();
    let info = [
        labels[0],
        labels[1],
        ("label", label.as_str()),
        ("state", state.as_str()),
    ];
    out.gauge(
        "node_bcachefs_device_info",
        "Device information.",
        &info,
        1.0,
    );
    let values = [
        ("bucket_size", "bucket_size_bytes", "Bucket size in bytes."),
        ("nbuckets", "buckets", "Total number of buckets."),
        ("durability", "durability", "Device durability setting."),
    ];
    for (file, name, help) in values {
        if let Some(value) = files.value(&dir.join(file)).and_then(number) {
            out.gauge(&format!("node_bcachefs_device_{name}"), help, labels, value);
        }
    }
    let mut operation = "";
    for line in files
        .value(&dir.join("io_done"))
        .unwrap_or_default()
        .lines()
    {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match number(value) {
            None => operation = name,
            Some(value) => out.counter(
                "node_bcachefs_device_io_done_bytes_total",
                "IO bytes by operation type and data type.",
                &[
                    labels[0],
                    labels[1],
                    ("operation", operation),
                    ("data_type", name.trim()),
                ],
                value,
            ),
        }
    }
    // Two sections: since the creation, and since the last reset.
    let text = files.value(&dir.join("io_errors")).unwrap_or_default();
    for line in text
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with(' '))
    {
        if let Some((kind, Some(count))) = line.split_once(':').map(|(k, v)| (k.trim(), number(v)))
        {
            out.counter(
                "node_bcachefs_device_io_errors_total",
                "IO errors by error type.",
                &[labels[0], labels[1], ("type", kind)],
                count,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number("2.00M"), Some(2_097_152.0));
        assert_eq!(number(" 720"), Some(720.0));
        assert_eq!(number(""), None);
        assert_eq!(number("read"), None);
        assert_eq!(
            since_creation("since mount: 1\nsince filesystem creation:  7\n"),
            Some(7.0)
        );
    }
}
