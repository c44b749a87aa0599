//! The mapping file as written (statsd_exporter `pkg/mapper/{mapping,mapper_defaults}.go`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.MetricMapper")]
pub(super) struct File {
    pub(super) defaults: Defaults,
    pub(super) mappings: Vec<Mapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.MapperConfigDefaults")]
pub(super) struct Defaults {
    pub(super) observer_type: String,
    pub(super) match_type: String,
    pub(super) glob_disable_ordering: bool,
    pub(super) ttl: GoDuration,
    pub(super) summary_options: Summary,
    pub(super) histogram_options: Histogram,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.MetricMapping")]
pub(super) struct Mapping {
    #[serde(rename = "match")]
    pub(super) matches: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) honor_labels: bool,
    pub(super) observer_type: String,
    pub(super) match_type: String,
    pub(super) help: String,
    pub(super) action: String,
    pub(super) match_metric_type: String,
    pub(super) ttl: GoDuration,
    pub(super) summary_options: Option<Summary>,
    pub(super) histogram_options: Option<Histogram>,
    pub(super) scale: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.SummaryOptions")]
pub(super) struct Summary {
    pub(super) quantiles: Vec<Objective>,
    pub(super) max_age: GoDuration,
    pub(super) age_buckets: u32,
    pub(super) buf_cap: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.HistogramOptions")]
pub(super) struct Histogram {
    pub(super) buckets: Vec<f64>,
    pub(super) native_histogram_bucket_factor: f64,
    pub(super) native_histogram_max_buckets: u32,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "mapper.MetricObjective")]
pub(super) struct Objective {
    pub(super) quantile: f64,
    pub(super) error: f64,
}

/// `1h30m`, `1.5s`, or a number of nanoseconds, as Go's yaml reads a `time.Duration`. A negative one
/// is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GoDuration(pub(super) Duration);

impl GoDuration {
    fn of(nanoseconds: i64) -> GoDuration {
        GoDuration(Duration::from_nanos(
            u64::try_from(nanoseconds).unwrap_or(0),
        ))
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 1h30m")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<GoDuration, E> {
                let nanoseconds = golang::time::parse_duration(text).map_err(E::custom)?;
                Ok(GoDuration::of(nanoseconds))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<GoDuration, E> {
                Ok(GoDuration::of(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<GoDuration, E> {
                Ok(GoDuration::of(i64::try_from(value).unwrap_or(i64::MAX)))
            }
            fn visit_unit<E: Error>(self) -> Result<GoDuration, E> {
                Ok(GoDuration::default())
            }
        }
        deserializer.deserialize_any(Words)
    }
}
