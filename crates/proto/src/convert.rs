//! From the wire's types to the model's and back.

use model::{
    Alert, CounterResetHint, FloatHistogram, Histogram, Labels, MatchKind, MetricType, Span,
};

use crate::firewatch::alerts::v1 as alerts;
use crate::{prometheus, thanos};

/// A label set from the wire's pairs, in any order.
pub fn labels_from_thanos(pairs: &[thanos::Label]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|l| (&l.name, &l.value)))
}

/// A label set as Thanos' pairs.
pub fn labels_to_thanos(labels: &Labels) -> Vec<thanos::Label> {
    let pair = |(name, value): (&str, &str)| thanos::Label {
        name: name.into(),
        value: value.into(),
    };
    labels.iter().map(pair).collect()
}

/// A label set from the wire's pairs, in any order.
pub fn labels_from_prometheus(pairs: &[prometheus::Label]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|l| (&l.name, &l.value)))
}

/// A label set as Prometheus' pairs.
pub fn labels_to_prometheus(labels: &Labels) -> Vec<prometheus::Label> {
    let pair = |(name, value): (&str, &str)| prometheus::Label {
        name: name.into(),
        value: value.into(),
    };
    labels.iter().map(pair).collect()
}

/// A histogram from the wire: with integer or with float counts.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyHistogram {
    Integer(Histogram),
    Float(FloatHistogram),
}

/// A histogram sample from the wire: its time in ms, and the histogram.
pub fn histogram_from_prometheus(h: &prometheus::Histogram) -> (i64, AnyHistogram) {
    use prometheus::histogram::{Count, ResetHint, ZeroCount};
    let counter_reset_hint = match h.reset_hint() {
        ResetHint::Unknown => CounterResetHint::Unknown,
        ResetHint::Yes => CounterResetHint::CounterReset,
        ResetHint::No => CounterResetHint::NotCounterReset,
        ResetHint::Gauge => CounterResetHint::Gauge,
    };
    let histogram = match h.count {
        Some(Count::CountFloat(count)) => AnyHistogram::Float(FloatHistogram {
            counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: match h.zero_count {
                Some(ZeroCount::ZeroCountFloat(n)) => n,
                Some(ZeroCount::ZeroCountInt(n)) => n as f64,
                None => 0.0,
            },
            count,
            sum: h.sum,
            positive_spans: spans_from(&h.positive_spans),
            negative_spans: spans_from(&h.negative_spans),
            positive_buckets: h.positive_counts.clone(),
            negative_buckets: h.negative_counts.clone(),
            custom_values: h.custom_values.clone(),
        }),
        Some(Count::CountInt(_)) | None => AnyHistogram::Integer(Histogram {
            counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: match h.zero_count {
                Some(ZeroCount::ZeroCountInt(n)) => n,
                Some(ZeroCount::ZeroCountFloat(n)) => n as u64,
                None => 0,
            },
            count: match h.count {
                Some(Count::CountInt(n)) => n,
                _ => 0,
            },
            sum: h.sum,
            positive_spans: spans_from(&h.positive_spans),
            negative_spans: spans_from(&h.negative_spans),
            positive_buckets: h.positive_deltas.clone(),
            negative_buckets: h.negative_deltas.clone(),
            custom_values: h.custom_values.clone(),
        }),
    };
    (h.timestamp, histogram)
}

fn reset_hint(hint: CounterResetHint) -> i32 {
    use prometheus::histogram::ResetHint;
    let hint = match hint {
        CounterResetHint::Unknown => ResetHint::Unknown,
        CounterResetHint::CounterReset => ResetHint::Yes,
        CounterResetHint::NotCounterReset => ResetHint::No,
        CounterResetHint::Gauge => ResetHint::Gauge,
    };
    hint as i32
}

/// A histogram sample as the wire carries it.
pub fn histogram_to_prometheus(t_ms: i64, h: &Histogram) -> prometheus::Histogram {
    use prometheus::histogram::{Count, ZeroCount};
    prometheus::Histogram {
        count: Some(Count::CountInt(h.count)),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: Some(ZeroCount::ZeroCountInt(h.zero_count)),
        negative_spans: spans_to(&h.negative_spans),
        negative_deltas: h.negative_buckets.clone(),
        negative_counts: Vec::new(),
        positive_spans: spans_to(&h.positive_spans),
        positive_deltas: h.positive_buckets.clone(),
        positive_counts: Vec::new(),
        reset_hint: reset_hint(h.counter_reset_hint),
        timestamp: t_ms,
        custom_values: h.custom_values.clone(),
    }
}

/// A float histogram sample as the wire carries it.
pub fn float_histogram_to_prometheus(t_ms: i64, h: &FloatHistogram) -> prometheus::Histogram {
    use prometheus::histogram::{Count, ZeroCount};
    prometheus::Histogram {
        count: Some(Count::CountFloat(h.count)),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
        negative_spans: spans_to(&h.negative_spans),
        negative_deltas: Vec::new(),
        negative_counts: h.negative_buckets.clone(),
        positive_spans: spans_to(&h.positive_spans),
        positive_deltas: Vec::new(),
        positive_counts: h.positive_buckets.clone(),
        reset_hint: reset_hint(h.counter_reset_hint),
        timestamp: t_ms,
        custom_values: h.custom_values.clone(),
    }
}

fn spans_from(spans: &[prometheus::BucketSpan]) -> Vec<Span> {
    spans
        .iter()
        .map(|s| Span {
            offset: s.offset,
            length: s.length,
        })
        .collect()
}

fn spans_to(spans: &[Span]) -> Vec<prometheus::BucketSpan> {
    spans
        .iter()
        .map(|s| prometheus::BucketSpan {
            offset: s.offset,
            length: s.length,
        })
        .collect()
}

/// The matcher kind of the wire's number, if it is one.
pub fn match_kind(number: i32) -> Option<MatchKind> {
    Some(match number {
        0 => MatchKind::Equal,
        1 => MatchKind::NotEqual,
        2 => MatchKind::Regexp,
        3 => MatchKind::NotRegexp,
        _ => return None,
    })
}

/// The metric type of remote write's number.
pub fn metric_type(number: i32) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::Stateset,
        _ => MetricType::Unknown,
    }
}

/// An alert from the wire.
pub fn alert_from_wire(alert: alerts::Alert) -> Alert {
    Alert {
        labels: Labels::from_pairs(&alert.labels),
        annotations: Labels::from_pairs(&alert.annotations),
        starts_at_ms: alert.starts_at_ms,
        ends_at_ms: (alert.ends_at_ms != 0).then_some(alert.ends_at_ms),
        generator_url: alert.generator_url,
    }
}

/// An alert as the wire carries it.
pub fn alert_to_wire(alert: &Alert) -> alerts::Alert {
    let map = |labels: &Labels| {
        labels
            .iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    };
    alerts::Alert {
        labels: map(&alert.labels),
        annotations: map(&alert.annotations),
        starts_at_ms: alert.starts_at_ms,
        ends_at_ms: alert.ends_at_ms.unwrap_or(0),
        generator_url: alert.generator_url.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_make_the_round_trip() {
        let alert = Alert {
            labels: Labels::from([("alertname", "X"), ("a", "b")]),
            annotations: Labels::from([("summary", "s")]),
            starts_at_ms: 12,
            ends_at_ms: None,
            generator_url: "http://x/graph".into(),
        };
        assert_eq!(alert_from_wire(alert_to_wire(&alert)), alert);
    }

    #[test]
    fn float_histograms_make_the_round_trip() {
        let h = FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: 2,
            zero_threshold: 0.001,
            zero_count: 1.5,
            count: 6.5,
            sum: 12.25,
            positive_spans: vec![Span {
                offset: -2,
                length: 2,
            }],
            negative_spans: vec![Span {
                offset: 1,
                length: 1,
            }],
            positive_buckets: vec![1.0, 2.0],
            negative_buckets: vec![2.0],
            custom_values: vec![],
        };
        let (t, back) = histogram_from_prometheus(&float_histogram_to_prometheus(77, &h));
        assert_eq!((t, back), (77, AnyHistogram::Float(h)));
    }
}
