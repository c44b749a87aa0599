//! Recording rules: an expression's answer under a new name.

use std::collections::HashSet;

use model::Labels;
use model::labels::METRIC_NAME;

use crate::source::Sample;

/// A recording rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingRule {
    /// The metric name of the output.
    pub name: String,
    /// The expression in its canonical form.
    pub expr: String,
    /// Labels to set on the output; an empty value removes a label.
    pub labels: Vec<(String, String)>,
}

impl RecordingRule {
    /// The rule's output, from the answer to its expression.
    ///
    /// # Errors
    /// Two samples with one label set, more than `limit` (0: no limit).
    pub fn output(&self, answer: Vec<Sample>, limit: usize) -> Result<Vec<Sample>, String> {
        let mut samples = answer;
        let mut seen: HashSet<Labels> = HashSet::with_capacity(samples.len());
        for sample in &mut samples {
            let mut labels = sample.labels.builder();
            labels.set(METRIC_NAME, &self.name);
            for (name, value) in &self.labels {
                labels.set(name, value);
            }
            sample.labels = labels.build();
            if !seen.insert(sample.labels.clone()) {
                let text =
                    "vector contains metrics with the same labelset after applying rule labels";
                return Err(text.to_owned());
            }
        }
        if limit > 0 && samples.len() > limit {
            return Err(format!(
                "exceeded limit of {limit} with {} series",
                samples.len()
            ));
        }
        Ok(samples)
    }
}
