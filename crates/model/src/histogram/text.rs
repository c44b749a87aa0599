//! Histograms as text: the form that upstream prints and the form of the test language.

use std::fmt;

use super::{Bucket, CounterResetHint, FloatHistogram};

/// `[-1,1]:3`: bounds in the usual notation, then the count.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        write!(
            f,
            "{open}{},{}{close}:{}",
            General(self.lower),
            General(self.upper),
            General(self.count)
        )
    }
}

/// `{count:5, sum:3, [-1,1]:3, (1,2]:2}`: populated buckets in ascending order.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{count:{}, sum:{}",
            General(self.count),
            General(self.sum)
        )?;
        let negative: Vec<Bucket> = self.negative().filter(|b| b.count != 0.0).collect();
        for bucket in negative.iter().rev() {
            write!(f, ", {bucket}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive().filter(|b| b.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// The literal of the test language: `{{schema:1 count:3 sum:2 buckets:[1 2]}}`.
    pub fn test_expression(&self) -> String {
        let mut h = self.clone();
        // One span a side: the notation has an offset and a list. Further apart than this, buckets
        // are no histogram that anyone would write down.
        h.compact(1 << 20);
        let mut parts = Vec::new();
        if h.schema != 0 {
            parts.push(format!("schema:{}", h.schema));
        }
        for (key, value) in [
            ("count", h.count),
            ("sum", h.sum),
            ("z_bucket", h.zero_count),
            ("z_bucket_w", h.zero_threshold),
        ] {
            if value != 0.0 {
                parts.push(format!("{key}:{}", General(value)));
            }
        }
        if h.uses_custom_buckets() {
            parts.push(format!("custom_values:{}", list(&h.custom_values)));
        }
        match h.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::CounterReset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterResetHint::NotCounterReset => {
                parts.push("counter_reset_hint:not_reset".to_owned());
            }
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        for (offset_key, key, spans, counts) in [
            ("offset", "buckets", &h.positive_spans, &h.positive_buckets),
            (
                "n_offset",
                "n_buckets",
                &h.negative_spans,
                &h.negative_buckets,
            ),
        ] {
            if let Some(span) = spans.first().filter(|span| span.offset != 0) {
                parts.push(format!("{offset_key}:{}", span.offset));
            }
            if !counts.is_empty() {
                parts.push(format!("{key}:{}", list(counts)));
            }
        }
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|v| General(*v).to_string()).collect();
    format!("[{}]", values.join(" "))
}

/// A float as Go's `%g` prints it: the shortest digits that read back.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&golang::strconv::format_float(self.0, 'g', -1, 64))
    }
}
