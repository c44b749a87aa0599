//! What came of a test group, in upstream's words.

use model::Labels;

/// What came of one group of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVerdict {
    /// As written, or `unnamed#<index>`.
    pub name: String,
    /// What does not hold; none where the group passed.
    pub errors: Vec<String>,
    /// All data at the end of the group, where that was asked for.
    pub dump: Option<String>,
}

/// Labels and annotations of a firing alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fired {
    pub labels: Labels,
    pub annotations: Labels,
}

/// Alerts as a failure shows them.
pub(super) fn alerts_text(alerts: &[Fired]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = alerts
        .iter()
        .enumerate()
        .map(|(i, alert)| {
            let text = format!(
                "\nLabels:{}\nAnnotations:{}",
                alert.labels, alert.annotations
            );
            format!("{i}:{}", indent(&text, "  "))
        })
        .collect();
    format!("[\n{}\n]", items.join(",\n"))
}

/// Puts `with` before every line but the first.
pub(super) fn indent(text: &str, with: &str) -> String {
    text.replace('\n', &format!("\n{with}"))
}

/// A sample, its histogram as the literal of the test language.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub labels: Labels,
    pub value: f64,
    pub histogram: Option<String>,
}

impl Shown {
    /// Whether the two are the same; with `fuzzy` floats may differ in their last digit.
    pub fn same(&self, other: &Shown, fuzzy: bool) -> bool {
        let close = |a: f64, b: f64| a == b || (fuzzy && (next_towards(a, b) == b));
        self.labels == other.labels
            && close(self.value, other.value)
            && self.histogram == other.histogram
    }
}

/// The next float from `from` on the way to `to` (Go's `math.Nextafter`).
fn next_towards(from: f64, to: f64) -> f64 {
    if from < to {
        from.next_up()
    } else {
        from.next_down()
    }
}

/// Samples as a failure shows them.
pub(super) fn samples_text(samples: &[Shown]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let texts: Vec<String> = samples
        .iter()
        .map(|sample| match &sample.histogram {
            Some(histogram) => format!("{} {histogram}", sample.labels),
            None => {
                let value = golang::strconv::format_float(sample.value, 'E', -1, 64);
                format!("{} {value}", sample.labels)
            }
        })
        .collect();
    texts.join(", ")
}
