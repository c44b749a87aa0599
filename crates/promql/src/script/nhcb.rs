//! Classic histograms as native ones with custom buckets, for `load_with_nhcb`
//! (prometheus/prometheus `util/convertnhcb`).

use std::collections::BTreeMap;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::labels::{BUCKET_LABEL, METRIC_NAME};
use model::{FloatHistogram, Histogram, Labels, LabelsBuilder, Span};

use super::load::Sample;
use crate::parse::SequenceValue;

#[derive(Default)]
struct Classic {
    /// Upper bounds and cumulative counts, sorted by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// A series of native histograms with their times.
type NativeSeries = (Labels, Vec<(i64, FloatHistogram)>);

/// The native histograms, with their times, of the classic ones among the series.
pub(super) fn convert(series: &[(Labels, Vec<Sample>)]) -> Result<Vec<NativeSeries>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for (labels, samples) in series {
        let name = labels.metric_name();
        let part = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|suffix| Some((suffix, name.strip_suffix(suffix)?)));
        let Some((suffix, base)) = part else {
            continue;
        };
        let mut bound = f64::NAN;
        if suffix == "_bucket" {
            let le = labels
                .find(BUCKET_LABEL)
                .ok_or_else(|| format!("expected bucket label in metric {labels}"))?;
            match golang::strconv::parse_float(le) {
                Ok(le) if !le.is_nan() => bound = le,
                _ => continue,
            }
        }
        let mut builder = LabelsBuilder::new(labels.clone());
        builder.set(METRIC_NAME, base).del(BUCKET_LABEL);
        let by_time = found.entry(builder.build()).or_default();
        for sample in samples {
            let SequenceValue::Float(value) = sample.value else {
                continue;
            };
            let classic = by_time.entry(sample.t_ms).or_default();
            match suffix {
                "_bucket" => classic.set_bucket(bound, value)?,
                "_count" => {
                    if value < 0.0 {
                        return Err(format!("count must be non-negative: count={value}"));
                    }
                    classic.count = Some(value);
                }
                _ => classic.sum = value,
            }
        }
    }
    found
        .into_iter()
        .map(|(labels, by_time)| {
            let histograms = by_time
                .into_iter()
                .map(|(t_ms, classic)| Ok((t_ms, classic.native()?)))
                .collect::<Result<_, String>>()?;
            Ok((labels, histograms))
        })
        .collect()
}

impl Classic {
    fn set_bucket(&mut self, bound: f64, count: f64) -> Result<(), String> {
        if count < 0.0 {
            return Err(format!(
                "bucket count must be non-negative: le={bound}, count={count}"
            ));
        }
        let at = self.buckets.partition_point(|(le, _)| *le < bound);
        if self.buckets.get(at).is_some_and(|(le, _)| *le == bound) {
            return Ok(());
        }
        let below = at.checked_sub(1).map(|i| self.buckets[i].1);
        let above = self.buckets.get(at).map(|(_, count)| *count);
        if let Some(below) = below.filter(|below| count < *below) {
            return Err(format!("count is not cumulative: {count} < {below}"));
        }
        if let Some(above) = above.filter(|above| count > *above) {
            return Err(format!("count is not cumulative: {count} > {above}"));
        }
        self.buckets.insert(at, (bound, count));
        Ok(())
    }

    fn native(mut self) -> Result<FloatHistogram, String> {
        let highest = self.buckets.last().map(|(_, count)| *count);
        let count = self.count.or(highest).unwrap_or(0.0);
        if self
            .buckets
            .last()
            .is_none_or(|(le, _)| *le != f64::INFINITY)
        {
            self.buckets.push((f64::INFINITY, count));
        }
        let all = self.buckets.last().map_or(0.0, |(_, count)| *count);
        if count != all {
            return Err(format!(
                "count mismatch: count={count} != le=+Inf count={all}"
            ));
        }
        let spans = vec![Span {
            offset: 0,
            length: self.buckets.len() as u32,
        }];
        let bounds = self.buckets.iter().map(|(le, _)| *le);
        let custom_values: Vec<f64> = bounds.filter(|le| *le != f64::INFINITY).collect();
        let whole = |v: f64| v == (v.round() as i64) as f64;
        if whole(count) && self.buckets.iter().all(|(_, count)| whole(*count)) {
            let (mut previous, mut previous_delta) = (0i64, 0i64);
            let deltas = self
                .buckets
                .iter()
                .map(|(_, count)| {
                    let here = *count as i64 - previous;
                    let delta = here - previous_delta;
                    previous = *count as i64;
                    previous_delta = here;
                    delta
                })
                .collect();
            let mut histogram = Histogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: count as u64,
                sum: self.sum,
                positive_spans: spans,
                positive_buckets: deltas,
                custom_values,
                ..Histogram::default()
            };
            histogram.compact(2);
            return Ok(histogram.to_float());
        }
        let mut previous = 0.0;
        let counts = self
            .buckets
            .iter()
            .map(|(_, count)| {
                let here = count - previous;
                previous = *count;
                here
            })
            .collect();
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: spans,
            positive_buckets: counts,
            custom_values,
            ..FloatHistogram::default()
        };
        histogram.compact(0);
        Ok(histogram)
    }
}
