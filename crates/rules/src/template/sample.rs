//! Results of queries as templates see them.

use std::any::Any;

use gotemplate::{Object, Value};
use model::{FloatHistogram, Labels};

use super::labels_value;

/// One sample of a query's result.
#[derive(Debug, Clone)]
pub struct Sample {
    pub labels: Labels,
    pub value: SampleValue,
}

/// A sample's value.
#[derive(Debug, Clone)]
pub enum SampleValue {
    Float(f64),
    Histogram(FloatHistogram),
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> SampleValue {
        SampleValue::Float(value)
    }
}

impl SampleValue {
    pub(super) fn to_value(&self) -> Value {
        match self {
            SampleValue::Float(value) => Value::Float(*value),
            SampleValue::Histogram(histogram) => {
                Value::object(HistogramObject(histogram.to_string()))
            }
        }
    }
}

impl Object for Sample {
    fn type_name(&self) -> &'static str {
        "*template.sample"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Labels", labels_value(&self.labels)),
            ("Value", self.value.to_value()),
        ]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A query's result: a list.
#[derive(Debug, Clone)]
pub struct QueryResult(pub Vec<Sample>);

impl Object for QueryResult {
    fn type_name(&self) -> &'static str {
        "template.queryResult"
    }

    fn underlying(&self) -> Option<Value> {
        let items = self.0.iter().cloned().map(Value::object);
        Some(Value::typed_list("template.queryResult", items))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A histogram, which templates can only print.
#[derive(Debug)]
struct HistogramObject(String);

impl Object for HistogramObject {
    fn type_name(&self) -> &'static str {
        "*histogram.FloatHistogram"
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
