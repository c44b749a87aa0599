//! `check metrics`: what is not as it should be in a page of metrics.

use std::io::Read;

use exposition::{Family, Value};
use model::names::ValidationScheme;
use service::flags::Call;

use super::lint::problems;
use crate::output::columns;
use crate::{FAILURE, LINT};

/// `check metrics`.
pub fn run(call: &Call) -> u8 {
    let mut text = Vec::new();
    let families = match std::io::stdin().read_to_end(&mut text) {
        Ok(_) => {
            exposition::parse_families(&text, ValidationScheme::Legacy).map_err(|e| e.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let families = match families {
        Ok(families) => families,
        Err(error) => {
            eprintln!("error while linting: {error}");
            return FAILURE;
        }
    };
    let problems = problems(&families);
    for (metric, text) in &problems {
        eprintln!("{metric} {text}");
    }
    if !problems.is_empty() {
        return LINT;
    }
    if call.flags.bool("extended") {
        print!("{}", cardinality(&families));
    }
    0
}

/// How many series each family has, most first.
fn cardinality(families: &[Family]) -> String {
    let mut stats: Vec<(&str, usize)> = families
        .iter()
        .map(|family| {
            // Sum, count, and one series a bucket or quantile, as the first metric has them.
            let each = match family.metrics.first().map(|metric| &metric.value) {
                Some(Value::Histogram(h)) => 2 + h.buckets.len(),
                Some(Value::Summary(s)) => 2 + s.quantiles.len(),
                _ => 1,
            };
            (family.name.as_str(), each * family.metrics.len())
        })
        .collect();
    stats.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let total: usize = stats.iter().map(|(_, count)| count).sum();
    let row = |name: &str, count: String, share: String| {
        vec![name.to_owned(), count, share, String::new()]
    };
    let mut rows = vec![row(
        "Metric",
        "Cardinality".to_owned(),
        "Percentage".to_owned(),
    )];
    for (name, count) in &stats {
        let share = 100.0 * *count as f64 / total as f64;
        rows.push(row(name, count.to_string(), format!("{share:.2}%")));
    }
    rows.push(row("Total", total.to_string(), "100%".to_owned()));
    columns(&rows, 4, 4)
}
