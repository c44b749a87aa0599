//! Answers of the conformance sets as sorted series of floats.

use model::Labels;
use promql::script::{Script, Store, almost_equal};
use promql::{MatrixSeries, Value as Answer};
use serde_json::Value;

pub fn loaded(load: &str) -> Result<Store, String> {
    // A last query shows the state after all loads.
    let script =
        Script::parse(&format!("{load}\n\neval instant at 0s 1\n")).map_err(|e| e.to_string())?;
    let evals = script.evals().map_err(|e| e.to_string())?;
    Ok(evals.last().ok_or("no data")?.1.clone())
}

pub fn labels(json: &Value) -> Labels {
    Labels::from_pairs(
        json.as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
    )
}

pub type Points = Vec<(i64, f64)>;

/// The answer as sorted series of floats.
pub fn points(answer: &Answer) -> Vec<(Labels, Points)> {
    let float_points = |series: &MatrixSeries| {
        let times = series.float_ms.iter().copied();
        times.zip(series.floats.iter().copied()).collect()
    };
    let mut all: Vec<(Labels, Points)> = match answer {
        Answer::Scalar { t_ms, v } => vec![(Labels::empty(), vec![(*t_ms, *v)])],
        Answer::String { .. } => Vec::new(),
        Answer::Vector(samples) => samples
            .iter()
            .filter_map(|sample| match sample.value {
                promql::SampleValue::Float(v) => {
                    Some((sample.labels.clone(), vec![(sample.t_ms, v)]))
                }
                promql::SampleValue::Histogram(_) => None,
            })
            .collect(),
        Answer::Matrix(matrix) => matrix
            .iter()
            .map(|series| (series.labels.clone(), float_points(series)))
            .collect(),
    };
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

pub fn json_points(series: &Value, ms_per_unit: f64) -> Points {
    let point = |point: &Value| {
        let t_ms = point[0].as_f64().unwrap_or_default() * ms_per_unit;
        let value = match &point[1] {
            Value::String(text) => golang::strconv::parse_float(text).expect("a number"),
            number => number.as_f64().expect("a number"),
        };
        (t_ms.round() as i64, value)
    };
    match series.get("value") {
        Some(value) => vec![point(value)],
        None => series["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(point)
            .collect(),
    }
}

pub fn compare(
    got: &[(Labels, Points)],
    want: &[(Labels, Points)],
    epsilon: f64,
) -> Result<(), String> {
    let same = got.len() == want.len()
        && got.iter().zip(want).all(|(got, want)| {
            got.0 == want.0
                && got.1.len() == want.1.len()
                && got
                    .1
                    .iter()
                    .zip(&want.1)
                    .all(|(got, want)| got.0 == want.0 && almost_equal(got.1, want.1, epsilon))
        });
    if same {
        return Ok(());
    }
    for (labels, points) in want {
        match got.iter().find(|(present, _)| present == labels) {
            None => {
                return Err(format!(
                    "{labels} is missing; got {} series, want {}",
                    got.len(),
                    want.len()
                ));
            }
            Some((_, found)) => {
                if found.len() != points.len() {
                    return Err(format!("{labels}: got {found:?}, want {points:?}"));
                }
                for (found, wanted) in found.iter().zip(points) {
                    if found.0 != wanted.0 || !almost_equal(found.1, wanted.1, epsilon) {
                        return Err(format!("{labels}: got {found:?}, want {wanted:?}"));
                    }
                }
            }
        }
    }
    Err(format!(
        "got {} series, want {}: {:?}",
        got.len(),
        want.len(),
        got.iter().map(|s| &s.0).collect::<Vec<_>>()
    ))
}
