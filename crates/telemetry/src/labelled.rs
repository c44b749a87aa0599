//! Families: one metric per combination of label values, made on first use.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use exposition::{LabelPairs, Metric};
use parking_lot::RwLock;

use crate::metric::{Cell, Counter, Gauge, Histogram};
use crate::summary::Summary;

/// Counters by label values.
pub type CounterVec = Labelled<Counter>;
/// Gauges by label values.
pub type GaugeVec = Labelled<Gauge>;
/// Histograms by label values.
pub type HistogramVec = Labelled<Histogram>;
/// Summaries by label values.
pub type SummaryVec = Labelled<Summary>;

/// A family of metrics; a clonable handle.
pub struct Labelled<M>(Arc<State<M>>);

struct State<M> {
    names: Box<[String]>,
    make: Box<dyn Fn() -> M + Send + Sync>,
    metrics: RwLock<hashbrown::HashMap<Values, M, foldhash::fast::RandomState>>,
}

impl<M> Clone for Labelled<M> {
    fn clone(&self) -> Self {
        Labelled(self.0.clone())
    }
}

impl<M> std::fmt::Debug for Labelled<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Labelled")
            .field("names", &self.0.names)
            .field("len", &self.0.metrics.read().len())
            .finish()
    }
}

/// The key of one metric. Looked up by the borrowed values, without copying them.
#[derive(PartialEq, Eq, Clone)]
struct Values(Box<[Box<str>]>);

#[derive(PartialEq, Eq)]
struct Borrowed<'a>(&'a [&'a str]);

impl Hash for Values {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.hash(state));
    }
}

impl hashbrown::Equivalent<Values> for Borrowed<'_> {
    fn equivalent(&self, key: &Values) -> bool {
        self.0.len() == key.0.len() && self.0.iter().zip(&*key.0).all(|(a, b)| *a == &**b)
    }
}

impl<M: Cell> Labelled<M> {
    pub(crate) fn new(names: &[&str], make: impl Fn() -> M + Send + Sync + 'static) -> Labelled<M> {
        Labelled(Arc::new(State {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            make: Box::new(make),
            metrics: RwLock::new(hashbrown::HashMap::default()),
        }))
    }

    /// The metric of these label values, in the order of the label names; made if it is new.
    /// Keep the answer where the same labels come again and again.
    ///
    /// # Panics
    /// If there are not as many values as names: a mistake in the program that any test shows.
    pub fn with(&self, values: &[&str]) -> M {
        assert_eq!(
            values.len(),
            self.0.names.len(),
            "label values for {:?}",
            self.0.names
        );
        if let Some(metric) = self.0.metrics.read().get(&Borrowed(values)) {
            return metric.clone();
        }
        let key = Values(values.iter().map(|value| (*value).into()).collect());
        let mut metrics = self.0.metrics.write();
        metrics
            .entry(key)
            .or_insert_with(|| (self.0.make)())
            .clone()
    }

    /// Forgets the metric of these label values; whether there was one.
    pub fn remove(&self, values: &[&str]) -> bool {
        self.0.metrics.write().remove(&Borrowed(values)).is_some()
    }

    /// Keeps only the metrics whose label values pass.
    pub fn retain(&self, mut keep: impl FnMut(&[&str]) -> bool) {
        self.0.metrics.write().retain(|values, _| {
            let values: Vec<&str> = values.0.iter().map(|value| &**value).collect();
            keep(&values)
        });
    }

    /// Forgets all metrics.
    pub fn clear(&self) {
        self.0.metrics.write().clear();
    }

    /// How many metrics there are.
    pub fn len(&self) -> usize {
        self.0.metrics.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every metric with its labels.
    pub(crate) fn collect(&self) -> Vec<Metric> {
        let metrics = self.0.metrics.read();
        metrics
            .iter()
            .map(|(values, metric)| {
                let labels: LabelPairs = self
                    .0
                    .names
                    .iter()
                    .zip(&*values.0)
                    .map(|(name, value)| (name.clone(), value.to_string()))
                    .collect();
                Metric::new(labels, metric.value())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn family() -> CounterVec {
        Labelled::new(&["a", "b"], Counter::new)
    }

    #[test]
    fn one_metric_per_combination() {
        let family = family();
        family.with(&["1", "2"]).inc();
        family.with(&["1", "2"]).inc();
        family.with(&["12", ""]).inc();
        assert_eq!(family.len(), 2);
        assert_eq!(family.with(&["1", "2"]).get(), 2.0);
        assert!(family.remove(&["12", ""]));
        assert!(!family.remove(&["12", ""]));
        family.retain(|values| values[0] == "x");
        assert!(family.is_empty());
    }

    #[test]
    fn owned_and_borrowed_values_hash_alike() {
        let owned = Values(Box::new(["a".into(), "".into(), "c".into()]));
        let hasher = foldhash::fast::RandomState::default();
        assert_eq!(
            hasher.hash_one(&owned),
            hasher.hash_one(Borrowed(&["a", "", "c"]))
        );
    }

    #[test]
    #[should_panic(expected = "label values")]
    fn too_few_values_are_a_mistake_in_the_program() {
        family().with(&["1"]);
    }
}
