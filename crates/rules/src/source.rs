//! What rules need of the outside: answers to queries.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::template;

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    pub(crate) fn to_template(&self) -> template::SampleValue {
        match self {
            SampleValue::Float(v) => template::SampleValue::Float(*v),
            SampleValue::Histogram(h) => template::SampleValue::Histogram(FloatHistogram::clone(h)),
        }
    }
}

/// A sample of an answer, or of a rule's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    pub t_ms: i64,
    pub value: SampleValue,
}

impl Sample {
    /// A float sample.
    pub fn float(labels: Labels, t_ms: i64, v: f64) -> Sample {
        Sample {
            labels,
            t_ms,
            value: SampleValue::Float(v),
        }
    }

    /// The samples of an engine's answer: of a vector, or of a scalar one without labels.
    ///
    /// # Errors
    /// An answer of another kind, in upstream's words.
    pub fn from_answer(answer: promql::Value) -> Result<Vec<Sample>, String> {
        match answer {
            promql::Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|sample| Sample {
                    labels: sample.labels,
                    t_ms: sample.t_ms,
                    value: match sample.value {
                        promql::SampleValue::Float(v) => SampleValue::Float(v),
                        promql::SampleValue::Histogram(h) => SampleValue::Histogram(h),
                    },
                })
                .collect()),
            promql::Value::Scalar { t_ms, v } => {
                Ok(vec![Sample::float(Labels::default(), t_ms, v)])
            }
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// The sample as templates see it.
    pub(crate) fn into_template(self) -> template::Sample {
        template::Sample {
            labels: self.labels,
            value: self.value.to_template(),
        }
    }

    /// The float value; that of a histogram is 0, as upstream's alerts show it.
    pub fn as_float(&self) -> f64 {
        match self.value {
            SampleValue::Float(v) => v,
            SampleValue::Histogram(_) => 0.0,
        }
    }
}

/// What came of one query of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As [`QuerySource::instant`] gives it.
    pub result: Result<Vec<Sample>, String>,
    /// Seconds that it took where it was evaluated.
    pub seconds: f64,
}

/// Answers queries; called from several threads at once.
pub trait QuerySource: Sync {
    /// The answer to `query` at `t_ms`: a vector, or a scalar as one sample without labels.
    ///
    /// # Errors
    /// Text for the rule's `lastError`.
    fn instant(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String>;

    /// Asks all of `queries` at once, of which the source may evaluate `concurrency` side by side, and
    /// gives each answer with the query's position to `take`, in any order. A source that cannot do
    /// that says false and has not called `take`: then each query is asked by itself.
    fn batch(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        concurrency: usize,
        take: &mut dyn FnMut(usize, Answer),
    ) -> bool {
        let _ = (queries, t_ms, concurrency, take);
        false
    }
}

impl<F> QuerySource for F
where
    F: Fn(&str, i64) -> Result<Vec<Sample>, String> + Sync,
{
    fn instant(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        self(query, t_ms)
    }
}
