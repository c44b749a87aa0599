//! What a query answers: scalars, strings, instant vectors, matrices, and what it cost.

use std::sync::Arc;

use model::{Annotations, FloatHistogram, Labels};

/// The value of a sample: a float or a native histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    pub labels: Labels,
    /// The evaluation time; not that of the stored sample.
    pub t_ms: i64,
    pub value: SampleValue,
}

/// One series of a matrix, as columns. A timestamp occurs in one of the two columns only, and each
/// column is sorted by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixSeries {
    pub labels: Labels,
    pub float_ms: Vec<i64>,
    /// As long as `float_ms`.
    pub floats: Vec<f64>,
    pub histogram_ms: Vec<i64>,
    /// As long as `histogram_ms`.
    pub histograms: Vec<Arc<FloatHistogram>>,
}

impl MatrixSeries {
    /// How many samples there are, histograms counted once.
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }
}

/// The answer of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar {
        t_ms: i64,
        v: f64,
    },
    String {
        t_ms: i64,
        s: String,
    },
    /// In the order that the query's last operator gave (`sort`, `topk`), otherwise unordered.
    Vector(Vec<VectorSample>),
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// The name that the HTTP API gives as `resultType`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

/// How much to count while a query runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsLevel {
    /// Totals only; they cost nothing.
    #[default]
    Totals,
    /// Totals, and samples per step (`stats=all` with the feature `promql-per-step-stats`).
    PerStep,
}

/// What a query read and held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleStats {
    /// Samples that the query looked at, a sample in several windows each time; a histogram counts
    /// by its size, as upstream counts it.
    pub total_queryable_samples: u64,
    /// The most samples held at once, as upstream counts them for `--query.max-samples`.
    pub peak_samples: u64,
    /// Samples decoded from storage, each once a selector.
    pub samples_read: u64,
    /// [`total_queryable_samples`](Self::total_queryable_samples) by step, if asked for.
    pub per_step: Vec<(i64, u64)>,
}

/// How long the phases of a query took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Finding series and setting up.
    pub prepare: f64,
    /// Evaluating.
    pub inner_eval: f64,
    /// Sorting the answer.
    pub result_sort: f64,
}

/// Counts and times of one query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryStats {
    pub samples: SampleStats,
    pub timings: Timings,
}

/// The answer, what to say with it, and what it cost.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub value: Value,
    /// Texts as the HTTP API shows them: `PromQL warning: ... (1:5)`. All of them: the API's limit
    /// of ten a kind is the API's.
    pub annotations: Annotations,
    pub stats: QueryStats,
}
