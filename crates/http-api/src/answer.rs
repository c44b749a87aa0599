//! The other end of API v1: what a client reads out of an envelope.

use std::fmt;

use model::Labels;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value as Json;

/// What a server answered, as far as it is no error.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    pub data: T,
    pub warnings: Vec<String>,
}

/// Why an answer cannot be used; the text is that of upstream's client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The server says that the request failed.
    #[error("{kind}: {message}")]
    Server { kind: String, message: String },
    /// A status without an envelope.
    #[error("{kind}: {message}")]
    Status { kind: &'static str, message: String },
    /// A body that is no answer.
    #[error("bad_response: {0}")]
    Body(String),
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerValue {
    Scalar {
        t_ms: i64,
        v: f64,
    },
    String {
        t_ms: i64,
        s: String,
    },
    /// One sample each.
    Vector(Vec<AnswerSeries>),
    Matrix(Vec<AnswerSeries>),
}

/// A series of an answer, each kind of sample in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerSeries {
    pub labels: Labels,
    /// Milliseconds and value.
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, AnswerHistogram)>,
}

/// A native histogram as the API shows it: with buckets by their bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerHistogram {
    pub count: f64,
    pub sum: f64,
    pub buckets: Vec<AnswerBucket>,
}

/// A bucket: which bounds belong to it (0: the upper, 1: the lower, 2: none, 3: both), and how many
/// observations it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerBucket {
    pub boundaries: u8,
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

#[derive(Deserialize)]
struct Body<T> {
    status: String,
    #[serde(default = "Option::default")]
    data: Option<T>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Reads an envelope whose data is a `T`; `status` is that of the HTTP answer.
///
/// # Errors
/// [`AnswerError`].
pub fn read<T: serde::de::DeserializeOwned>(
    status: u16,
    body: &[u8],
) -> Result<Answer<T>, AnswerError> {
    // Upstream's client believes envelopes under these statuses alone.
    if !(200..300).contains(&status) && !matches!(status, 400 | 422) {
        let (kind, what) = match status / 100 {
            4 => ("client_error", "client error"),
            5 => ("server_error", "server error"),
            _ => ("bad_response", "bad response code"),
        };
        return Err(AnswerError::Status {
            kind,
            message: format!("{what}: {status}"),
        });
    }
    let parsed: Body<T> =
        serde_json::from_slice(body).map_err(|e| AnswerError::Body(e.to_string()))?;
    if parsed.status != "success" {
        return Err(AnswerError::Server {
            kind: parsed.error_type,
            message: parsed.error,
        });
    }
    let data = parsed
        .data
        .ok_or_else(|| AnswerError::Body("the answer has no data".to_owned()))?;
    Ok(Answer {
        data,
        warnings: parsed.warnings,
    })
}

impl<'de> Deserialize<'de> for AnswerValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnswerValue, D::Error> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(rename = "resultType")]
            kind: String,
            result: Box<serde_json::value::RawValue>,
        }
        let data = Data::deserialize(deserializer)?;
        let text = data.result.get();
        let value = match data.kind.as_str() {
            "scalar" => serde_json::from_str(text)
                .map(|Point(t_ms, Number(v))| AnswerValue::Scalar { t_ms, v }),
            "string" => {
                serde_json::from_str(text).map(|Point(t_ms, s)| AnswerValue::String { t_ms, s })
            }
            "vector" => serde_json::from_str::<Vec<Sample>>(text).map(|samples| {
                AnswerValue::Vector(samples.into_iter().map(Sample::into_series).collect())
            }),
            "matrix" => serde_json::from_str::<Vec<Stream>>(text).map(|series| {
                AnswerValue::Matrix(series.into_iter().map(Stream::into_series).collect())
            }),
            other => return Err(D::Error::custom(format!("unexpected value type {other:?}"))),
        };
        value.map_err(D::Error::custom)
    }
}

/// `[<seconds>, <value>]`.
struct Point<T>(i64, T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Point<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Point<T>, D::Error> {
        struct Pair<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pair<T> {
            type Value = Point<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Point<T>, A::Error> {
                let missing = || A::Error::custom("a timestamp and a value expected");
                let seconds: f64 = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Point((seconds * 1000.0).round() as i64, value))
            }
        }
        deserializer.deserialize_seq(Pair(std::marker::PhantomData))
    }
}

/// A float in quotes, `NaN` and `+Inf` among them.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::String(text) => golang::strconv::parse_float(&text)
                .map(Number)
                .map_err(D::Error::custom),
            Json::Number(number) => number
                .as_f64()
                .map(Number)
                .ok_or_else(|| D::Error::custom("no float")),
            other => Err(D::Error::custom(format!("not a sample value: {other}"))),
        }
    }
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    metric: Labels,
    value: Option<Point<Number>>,
    histogram: Option<Point<JsonHistogram>>,
}

impl Sample {
    fn into_series(self) -> AnswerSeries {
        AnswerSeries {
            labels: self.metric,
            floats: self
                .value
                .map(|Point(t, Number(v))| (t, v))
                .into_iter()
                .collect(),
            histograms: self
                .histogram
                .map(|Point(t, h)| (t, h.into()))
                .into_iter()
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    values: Vec<Point<Number>>,
    #[serde(default)]
    histograms: Vec<Point<JsonHistogram>>,
}

impl Stream {
    fn into_series(self) -> AnswerSeries {
        AnswerSeries {
            labels: self.metric,
            floats: self
                .values
                .into_iter()
                .map(|Point(t, Number(v))| (t, v))
                .collect(),
            histograms: self
                .histograms
                .into_iter()
                .map(|Point(t, h)| (t, h.into()))
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct JsonHistogram {
    count: Number,
    sum: Number,
    #[serde(default)]
    buckets: Vec<(u8, Number, Number, Number)>,
}

impl From<JsonHistogram> for AnswerHistogram {
    fn from(json: JsonHistogram) -> AnswerHistogram {
        let bucket = |(boundaries, Number(lower), Number(upper), Number(count))| AnswerBucket {
            boundaries,
            lower,
            upper,
            count,
        };
        AnswerHistogram {
            count: json.count.0,
            sum: json.sum.0,
            buckets: json.buckets.into_iter().map(bucket).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(data: &str) -> AnswerValue {
        let body = format!("{{\"status\":\"success\",\"data\":{data},\"warnings\":[\"w\"]}}");
        let answer: Answer<AnswerValue> = read(200, body.as_bytes()).unwrap();
        assert_eq!(answer.warnings, ["w"]);
        answer.data
    }

    #[test]
    fn all_kinds_of_values() {
        assert_eq!(
            value(r#"{"resultType":"scalar","result":[1.5,"+Inf"]}"#),
            AnswerValue::Scalar {
                t_ms: 1500,
                v: f64::INFINITY
            }
        );
        assert_eq!(
            value(r#"{"resultType":"string","result":[0.001,"x"]}"#),
            AnswerValue::String {
                t_ms: 1,
                s: "x".to_owned()
            }
        );
        let labels = Labels::from([("a", "b")]);
        let floats = vec![(1000, 2.0)];
        let series = AnswerSeries {
            labels,
            floats,
            ..AnswerSeries::default()
        };
        assert_eq!(
            value(r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"2"]}]}"#),
            AnswerValue::Vector(vec![series.clone()])
        );
        assert_eq!(
            value(r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"]]}]}"#),
            AnswerValue::Matrix(vec![series])
        );
        let AnswerValue::Vector(series) = value(
            r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"3","sum":"4","buckets":[[1,"-1","2","3"]]}]}]}"#,
        ) else {
            panic!("no vector")
        };
        let bucket = AnswerBucket {
            boundaries: 1,
            lower: -1.0,
            upper: 2.0,
            count: 3.0,
        };
        assert_eq!(series[0].histograms[0].1.buckets, [bucket]);
    }

    #[test]
    fn failures_are_worded_as_upstreams_client_words_them() {
        let read = |status, body: &str| {
            read::<AnswerValue>(status, body.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            read(
                422,
                r#"{"status":"error","errorType":"execution","error":"too much"}"#
            ),
            "execution: too much"
        );
        assert_eq!(read(500, "oh"), "server_error: server error: 500");
        assert_eq!(read(404, "oh"), "client_error: client error: 404");
        assert!(read(200, "oh").starts_with("bad_response: "));
        assert!(read(200, r#"{"status":"success"}"#).starts_with("bad_response: "));
        assert!(
            read(
                200,
                r#"{"status":"success","data":{"resultType":"vector","result":[[]]}}"#
            )
            .starts_with("bad_response: ")
        );
    }
}
