//! conntrack: entries and statistics of netfilter's connection tracking.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Column of /proc/net/stat/nf_conntrack and the help of its metric.
const STATISTICS: [(&str, &str); 8] = [
    ("found", "Number of searched entries which were successful."),
    (
        "invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        "ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    ("insert", "Number of entries inserted into the list."),
    (
        "insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        "drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        "early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        "search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

/// Sums of a column over all CPUs: the table has headings and hexadecimal numbers.
fn sum(text: &str, column: &str) -> Option<u64> {
    let mut lines = text.lines();
    let at = lines
        .next()?
        .split_ascii_whitespace()
        .position(|name| name == column)?;
    let values = lines.filter_map(|line| line.split_ascii_whitespace().nth(at));
    values
        .map(|value| u64::from_str_radix(value, 16).ok())
        .sum()
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut number = |name: &str| -> Result<f64, CollectError> {
        let text = files
            .proc(name)
            .map_err(CollectError::missing_is_no_data)?
            .trim();
        text.parse()
            .map_err(|_| CollectError::invalid("conntrack count", text))
    };
    let entries = number("sys/net/netfilter/nf_conntrack_count")?;
    let limit = number("sys/net/netfilter/nf_conntrack_max")?;
    out.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        &[],
        entries,
    );
    out.gauge(
        "node_nf_conntrack_entries_limit",
        "Maximum size of connection tracking table.",
        &[],
        limit,
    );
    let text = files
        .proc("net/stat/nf_conntrack")
        .map_err(CollectError::missing_is_no_data)?;
    for (column, help) in STATISTICS {
        // Newer kernels have dropped columns; upstream shows them as 0.
        let value = sum(text, column).unwrap_or_default();
        out.gauge(
            &format!("node_nf_conntrack_stat_{column}"),
            help,
            &[],
            value as f64,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_summed() {
        let text = "entries  found\n00000021 0000000a\n00000021 00000001\n";
        assert_eq!(sum(text, "found"), Some(11));
        assert_eq!(sum(text, "drop"), None);
        assert_eq!(sum("", "found"), None);
        assert_eq!(sum("found\nxyz\n", "found"), None);
    }
}
