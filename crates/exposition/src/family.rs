//! Metric families: what a page of metrics consists of (`io.prometheus.client` in client_model).

use model::MetricType;

/// Label names and values in the order in which they are printed.
pub type LabelPairs = Vec<(String, String)>;

/// A metric family: one name, one type, any number of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    pub name: String,
    /// The help text; `None` prints no `# HELP` line.
    pub help: Option<String>,
    pub kind: MetricType,
    /// The unit, empty for none. Only OpenMetrics and protobuf carry it.
    pub unit: String,
    pub metrics: Vec<Metric>,
}

impl Family {
    /// An empty family.
    pub fn new(name: impl Into<String>, help: impl Into<String>, kind: MetricType) -> Family {
        Family {
            name: name.into(),
            help: Some(help.into()),
            kind,
            unit: String::new(),
            metrics: Vec::new(),
        }
    }

    /// Adds a metric.
    pub fn push(&mut self, metric: Metric) -> &mut Self {
        self.metrics.push(metric);
        self
    }
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Without the metric name, and without `le` and `quantile`.
    pub labels: LabelPairs,
    pub value: Value,
    /// An explicit timestamp of the sample.
    pub timestamp_ms: Option<i64>,
    /// When a counter, summary or histogram began to count.
    pub created_ms: Option<i64>,
    /// A counter's exemplar (the first counts), or those of a native histogram.
    pub exemplars: Vec<Exemplar>,
}

impl Metric {
    /// A metric without timestamps and exemplars.
    pub fn new(labels: LabelPairs, value: Value) -> Metric {
        Metric {
            labels,
            value,
            timestamp_ms: None,
            created_ms: None,
            exemplars: Vec::new(),
        }
    }
}

/// The value of a metric; it has to go with the family's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(f64),
    /// Also info (always 1) and stateset (0 or 1) metrics.
    Gauge(f64),
    Untyped(f64),
    Summary(Summary),
    /// Also gauge histograms.
    Histogram(Histogram),
}

/// A summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub count: u64,
    pub sum: f64,
    pub quantiles: Vec<Quantile>,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    pub quantile: f64,
    pub value: f64,
}

/// A histogram: classic buckets, native buckets, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub count: Count,
    pub sum: f64,
    /// Classic buckets, ascending; the `+Inf` bucket may be left out.
    pub buckets: Vec<Bucket>,
    /// Native buckets. Only protobuf carries them.
    pub native: Option<Native>,
}

/// A classic bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    pub upper_bound: f64,
    pub cumulative_count: Count,
    pub exemplar: Option<Exemplar>,
}

/// A number of observations: an integer, or a float for histograms that were computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    Integer(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Count {
        Count::Integer(0)
    }
}

impl Count {
    /// The count as a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Count::Integer(n) => n as f64,
            Count::Float(f) => f,
        }
    }
}

/// Native buckets of a histogram; `count` and `sum` inside are those of the histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Native {
    Integer(model::Histogram),
    Float(model::FloatHistogram),
}

/// An exemplar, its labels in the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    pub labels: LabelPairs,
    pub value: f64,
    pub timestamp_ms: Option<i64>,
}
