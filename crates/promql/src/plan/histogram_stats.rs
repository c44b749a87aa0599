//! Finds selectors of whose histograms only count and sum are looked at
//! (prometheus/prometheus `detectHistogramStatsDecoding`).

/// What the functions around a selector, from the outermost to the innermost, and whether there is
/// a subquery among them, say about it. `path` holds function names; a subquery is `None`.
///
/// Below a subquery the buckets are needed to find counter resets.
pub(crate) fn skips_buckets(path: &[Option<&'static str>]) -> bool {
    let mut skip = false;
    for step in path.iter().rev() {
        match step {
            None => return false,
            Some("histogram_count" | "histogram_sum" | "histogram_avg") => skip = true,
            Some(
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" | "</" | ">/",
            ) => {
                return false;
            }
            Some(_) => {}
        }
    }
    skip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_outwards() {
        for (path, want) in [
            (&[][..], false),
            (&[Some("histogram_count")], true),
            (&[Some("histogram_count"), Some("rate")], true),
            (&[Some("rate")], false),
            (&[Some("histogram_count"), None, Some("rate")], false),
            (&[None, Some("histogram_sum")], false),
            (&[Some("histogram_sum"), Some("histogram_quantile")], false),
            (&[Some("histogram_quantile"), Some("histogram_sum")], false),
        ] {
            assert_eq!(skips_buckets(path), want, "{path:?}");
        }
    }
}
