//! Our own metrics: a registry, counters, gauges, histograms and summaries, each alone or as a
//! family with labels, and callbacks that are asked when somebody scrapes.
//!
//! A [`Registry`] is a value that is passed around; there is no global one. Changing a metric is a
//! few atomic instructions; a summary takes a short lock. Nothing here reads a clock or does IO:
//! summaries forget by the clock given to [`Registry::with_clock`], process metrics are in `service`.
//!
//! ```
//! let registry = telemetry::Registry::new();
//! let requests = registry.counter_vec("http_requests_total", "Requests.", &["code"]);
//! let ok = requests.with(&["200"]); // keep it: no look-up on the hot path
//! ok.inc();
//! assert!(registry.gather()[0].metrics[0].labels[0].1 == "200");
//! ```
//!
//! Start with [`Registry`].

mod ckms;
mod labelled;
mod metric;
mod registry;
mod summary;

pub use labelled::{CounterVec, GaugeVec, HistogramVec, Labelled, SummaryVec};
pub use metric::{Counter, DEFAULT_BUCKETS, Gauge, Histogram, exponential_buckets, linear_buckets};
pub use registry::{CollectorId, Registry, Rendered};
pub use summary::{Objective, Summary, SummaryOptions};
