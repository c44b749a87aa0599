//! A store for tests, in memory: what was committed, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, is_stale};
use parking_lot::Mutex;
use storage::{AppendError, Appendable, Appender, SeriesRef};

#[derive(Clone, Debug, Default)]
pub(crate) struct TestStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    references: BTreeMap<Labels, SeriesRef>,
    labels: BTreeMap<SeriesRef, Labels>,
    samples: BTreeMap<Labels, Vec<(i64, f64)>>,
    histograms: Vec<(Labels, i64, FloatHistogram)>,
    exemplars: Vec<(Labels, Exemplar)>,
    metadata: Vec<(Labels, Metadata)>,
    commits: usize,
    /// How often labels were looked up instead of references.
    lookups: usize,
}

impl TestStore {
    /// The samples of the series that prints so: `up{job="a"}`.
    pub(crate) fn samples(&self, series: &str) -> Vec<(i64, f64)> {
        let inner = self.0.lock();
        let found = inner
            .samples
            .iter()
            .find(|(labels, _)| print(labels) == series);
        found
            .map(|(_, samples)| samples.clone())
            .unwrap_or_default()
    }

    /// The values of a series; stale markers as -99.
    pub(crate) fn values(&self, series: &str) -> Vec<f64> {
        let samples = self.samples(series);
        samples
            .into_iter()
            .map(|(_, v)| if is_stale(v) { -99.0 } else { v })
            .collect()
    }

    pub(crate) fn series(&self) -> Vec<String> {
        self.0.lock().samples.keys().map(print).collect()
    }

    pub(crate) fn commits(&self) -> usize {
        self.0.lock().commits
    }

    pub(crate) fn lookups(&self) -> usize {
        self.0.lock().lookups
    }

    pub(crate) fn exemplars(&self) -> Vec<(String, Exemplar)> {
        let inner = self.0.lock();
        inner
            .exemplars
            .iter()
            .map(|(labels, e)| (print(labels), e.clone()))
            .collect()
    }

    pub(crate) fn histograms(&self) -> Vec<(String, FloatHistogram)> {
        let inner = self.0.lock();
        inner
            .histograms
            .iter()
            .map(|(labels, _, h)| (print(labels), h.clone()))
            .collect()
    }

    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        let inner = self.0.lock();
        inner
            .metadata
            .iter()
            .map(|(labels, m)| (print(labels), m.clone()))
            .collect()
    }

    /// Forgets all series, as a head that collects them: old references are unknown from now on.
    pub(crate) fn forget_series(&self) {
        let mut inner = self.0.lock();
        inner.references.clear();
        // References are never used again.
        let next = inner.labels.keys().last().copied().unwrap_or(0);
        inner.labels.clear();
        inner
            .labels
            .insert(next, Labels::from([("forgotten", "yes")]));
    }
}

fn print(labels: &Labels) -> String {
    let rest = labels.without_metric_name();
    let rest = if rest.is_empty() {
        String::new()
    } else {
        rest.to_string()
    };
    format!("{}{rest}", labels.metric_name())
}

impl Appendable for TestStore {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(Batch {
            store: self.clone(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        })
    }
}

struct Batch {
    store: TestStore,
    samples: Vec<(Labels, i64, f64)>,
    histograms: Vec<(Labels, i64, FloatHistogram)>,
    exemplars: Vec<(Labels, Exemplar)>,
    metadata: Vec<(Labels, Metadata)>,
}

impl Batch {
    fn resolve(
        &self,
        reference: SeriesRef,
        labels: &Labels,
    ) -> Result<(SeriesRef, Labels), AppendError> {
        let mut inner = self.store.0.lock();
        if reference != 0
            && let Some(labels) = inner.labels.get(&reference)
            && !labels.has("forgotten")
        {
            return Ok((reference, labels.clone()));
        }
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels(
                "empty labelset: invalid sample".to_owned(),
            ));
        }
        inner.lookups += 1;
        if let Some(reference) = inner.references.get(labels) {
            return Ok((*reference, labels.clone()));
        }
        let reference = inner.labels.keys().last().copied().unwrap_or(0) + 1;
        inner.references.insert(labels.clone(), reference);
        inner.labels.insert(reference, labels.clone());
        Ok((reference, labels.clone()))
    }

    fn check_time(&self, labels: &Labels, t_ms: i64, value: f64) -> Result<(), AppendError> {
        let inner = self.store.0.lock();
        let last = inner.samples.get(labels).and_then(|samples| samples.last());
        match last {
            Some((t, _)) if *t > t_ms => Err(AppendError::OutOfOrder),
            Some((t, v)) if *t == t_ms && v.to_bits() != value.to_bits() => {
                Err(AppendError::Duplicate(None))
            }
            _ => Ok(()),
        }
    }
}

impl Appender for Batch {
    fn append(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        _start_ms: i64,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, labels) = self.resolve(reference, labels)?;
        self.check_time(&labels, t_ms, value)?;
        self.samples.push((labels, t_ms, value));
        Ok(reference)
    }

    fn append_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.append_float_histogram(reference, labels, start_ms, t_ms, &histogram.to_float())
    }

    fn append_float_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        _start_ms: i64,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, labels) = self.resolve(reference, labels)?;
        self.histograms.push((labels, t_ms, histogram.clone()));
        Ok(reference)
    }

    fn append_exemplar(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, labels) = self.resolve(reference, labels)?;
        self.exemplars.push((labels, exemplar.clone()));
        Ok(reference)
    }

    fn update_metadata(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        metadata: &Metadata,
    ) -> Result<SeriesRef, AppendError> {
        let (reference, labels) = self.resolve(reference, labels)?;
        self.metadata.push((labels, metadata.clone()));
        Ok(reference)
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut inner = self.store.0.lock();
        inner.commits += 1;
        for (labels, t, value) in self.samples {
            inner.samples.entry(labels).or_default().push((t, value));
        }
        inner.histograms.extend(self.histograms);
        inner.exemplars.extend(self.exemplars);
        inner.metadata.extend(self.metadata);
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}
