//! Data folders opened as a whole database: blocks, logs, damaged logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{FloatHistogram, Labels, Span};
use serde_json::Value;
use storage::{Columns, LabelHints, Queryable, SelectHints};
use tsdb::{Db, Options};

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.max_exemplars = 100_000;
    options.out_of_order_window_ms = 3_600_000;
    options
}

/// Opens a database, checks its content, and does so twice more after a clean stop and a kill.
pub fn database(set: &Path, name: &str, case: &Value) -> Result<(), String> {
    let tmp = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = set.join("databases").join(name);
    let dir: PathBuf = match case["ulid"].as_str() {
        Some(ulid) => {
            crate::copy(&source, &tmp.path().join(ulid));
            tmp.path().to_owned()
        }
        None => {
            crate::copy(&source, tmp.path());
            tmp.path().to_owned()
        }
    };
    let path = set.join(format!("databases/{name}.expected.json"));
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let expected: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    // Cleanly stopped, killed, and once more: nothing changes.
    for (round, clean) in [("first", true), ("second", false), ("third", true)] {
        let options = options(&dir);
        let corruptions = || corruptions(&options.registry);
        let db = Db::open(options.clone()).map_err(|e| e.to_string())?;
        let damaged = round == "first" && case["kind"] == "wal-damaged";
        if (corruptions() > 0.0) != damaged {
            return Err(format!(
                "{round} start: {} corruptions counted",
                corruptions()
            ));
        }
        check(&db, &expected).map_err(|e| format!("{round} start: {e}"))?;
        if clean {
            db.close().map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

fn corruptions(registry: &telemetry::Registry) -> f64 {
    let page = registry.render(None).body;
    let page = String::from_utf8_lossy(&page).into_owned();
    page.lines()
        .find_map(|line| line.strip_prefix("prometheus_tsdb_wal_corruptions_total "))
        .and_then(|value| value.parse().ok())
        .unwrap_or(-1.0)
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))))
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => model::NORMAL_NAN,
        Some("StaleNaN") => model::STALE_NAN,
        Some("+Inf") => f64::INFINITY,
        Some("-Inf") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or(f64::NAN),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn running(value: &Value) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |delta: f64| {
        sum += delta;
        sum
    };
    numbers(value).into_iter().map(add).collect()
}

fn spans(value: &Value) -> Vec<Span> {
    let pair = |span: &Value| Span {
        offset: span[0].as_i64().unwrap_or(0) as i32,
        length: span[1].as_i64().unwrap_or(0) as u32,
    };
    value.as_array().into_iter().flatten().map(pair).collect()
}

fn histogram(value: &Value) -> FloatHistogram {
    let float = value["kind"] == "float";
    let buckets = |side: &str| match float {
        true => numbers(&value[format!("{side}_counts")]),
        false => running(&value[format!("{side}_deltas")]),
    };
    FloatHistogram {
        counter_reset_hint: Default::default(),
        schema: value["schema"].as_i64().unwrap_or(0) as i32,
        zero_threshold: number(&value["zero_threshold"]),
        zero_count: number(&value["zero_count"]),
        count: number(&value["count"]),
        sum: number(&value["sum"]),
        positive_spans: spans(&value["positive_spans"]),
        negative_spans: spans(&value["negative_spans"]),
        positive_buckets: buckets("positive"),
        negative_buckets: buckets("negative"),
        custom_values: numbers(&value["custom_values"]),
    }
}

/// A histogram as text that tells NaNs apart, empty buckets left out.
fn shape(h: &FloatHistogram) -> String {
    if h.is_stale() {
        return "stale".to_owned();
    }
    let side = |spans: &[Span], buckets: &[f64]| {
        let (mut index, mut at, mut out) = (0, 0, BTreeMap::new());
        for span in spans {
            index += span.offset;
            for _ in 0..span.length {
                let count = buckets.get(at).copied().unwrap_or(f64::NAN);
                if count != 0.0 {
                    out.insert(index, count.to_string());
                }
                index += 1;
                at += 1;
            }
        }
        out
    };
    format!(
        "{} {} {} {} {:x} {:?} {:?} {:?}",
        h.schema,
        h.zero_threshold,
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        side(&h.positive_spans, &h.positive_buckets),
        side(&h.negative_spans, &h.negative_buckets),
        h.custom_values
    )
}

type Samples = BTreeMap<i64, String>;

fn check(db: &Db, expected: &Value) -> Result<(), String> {
    let querier = db.querier(i64::MIN, i64::MAX).map_err(|e| e.to_string())?;
    let set = querier
        .select(true, &SelectHints::default(), &[])
        .map_err(|e| e.to_string())?;
    let mut got: BTreeMap<Labels, Samples> = BTreeMap::new();
    let mut last: Option<Labels> = None;
    for series in &set.series {
        if last.as_ref().is_some_and(|last| last >= series.labels()) {
            return Err(format!("{} is not in order", series.labels()));
        }
        last = Some(series.labels().clone());
        let mut columns = Columns::default();
        series
            .decode(i64::MIN, i64::MAX, &mut columns)
            .map_err(|e| e.to_string())?;
        let floats = columns.float_ms.iter().zip(&columns.floats);
        let floats = floats.map(|(t, v)| (*t, format!("{:x}", v.to_bits())));
        let histograms = columns.histogram_ms.iter().zip(&columns.histograms);
        let histograms = histograms.map(|(t, h)| (*t, shape(h)));
        let samples: Samples = floats.chain(histograms).collect();
        if !samples.is_empty() {
            got.insert(series.labels().clone(), samples);
        }
    }
    let mut want: BTreeMap<Labels, Samples> = BTreeMap::new();
    for series in expected["series"].as_array().into_iter().flatten() {
        let samples = series["samples"].as_array().into_iter().flatten();
        let samples = samples.map(|sample| match sample.as_array() {
            Some(pair) => (
                pair[0].as_i64().unwrap_or(0),
                format!("{:x}", number(&pair[1]).to_bits()),
            ),
            None => {
                let t = sample["t"].as_i64().unwrap_or(0);
                let value = match sample.get("histogram") {
                    Some(h) => shape(&histogram(h)),
                    None => match sample["bits"].as_str() {
                        Some(bits) => bits.trim_start_matches('0').to_owned(),
                        None => format!("{:x}", number(&sample["v"]).to_bits()),
                    },
                };
                (t, value)
            }
        });
        want.insert(labels(&series["labels"]), samples.collect());
    }
    for (labels, samples) in &want {
        let Some(found) = got.get(labels) else {
            return Err(format!("{labels} is missing"));
        };
        if found != samples {
            let differs = samples.iter().find(|(t, v)| found.get(t) != Some(v));
            return Err(format!(
                "{labels}: {} samples, expected {}; first difference {differs:?}, found {:?}",
                found.len(),
                samples.len(),
                differs.map(|(t, _)| found.get(t))
            ));
        }
    }
    if let Some(labels) = got.keys().find(|labels| !want.contains_key(*labels)) {
        return Err(format!("{labels} is not expected"));
    }
    check_blocks(db, expected)?;
    check_exemplars(db, expected)?;
    check_metadata(db, expected)?;
    let (names, _) = querier
        .label_names(&LabelHints::default(), &[])
        .map_err(|e| e.to_string())?;
    let mut wanted: Vec<String> = want
        .keys()
        .flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()))
        .collect();
    wanted.sort();
    wanted.dedup();
    match names == wanted {
        true => Ok(()),
        false => Err(format!("label names {names:?}, expected {wanted:?}")),
    }
}

fn check_blocks(db: &Db, expected: &Value) -> Result<(), String> {
    let got: BTreeMap<String, (i64, i64)> = db
        .blocks()
        .into_iter()
        .map(|block| (block.ulid, (block.min_ms, block.max_ms)))
        .collect();
    let Some(blocks) = expected["blocks"].as_array() else {
        return Ok(());
    };
    let time = |block: &Value, name: &str| block[name].as_i64().unwrap_or(0);
    let want: BTreeMap<String, (i64, i64)> = blocks
        .iter()
        .map(|block| {
            let ulid = block["ulid"].as_str().unwrap_or("").to_owned();
            (ulid, (time(block, "minTime"), time(block, "maxTime")))
        })
        .collect();
    match got == want {
        true => Ok(()),
        false => Err(format!("blocks {got:?}, expected {want:?}")),
    }
}

fn check_exemplars(db: &Db, expected: &Value) -> Result<(), String> {
    let mut got = Vec::new();
    for series in db.exemplars(i64::MIN, i64::MAX, &[vec![]]) {
        for e in series.exemplars {
            got.push((
                series.series.to_string(),
                e.timestamp_ms.unwrap_or(0),
                e.labels.to_string(),
                e.value.to_bits(),
            ));
        }
    }
    let mut want = Vec::new();
    for e in expected["exemplars"].as_array().into_iter().flatten() {
        want.push((
            labels(&e["series"]).to_string(),
            e["t"].as_i64().unwrap_or(0),
            labels(&e["labels"]).to_string(),
            number(&e["value"]).to_bits(),
        ));
    }
    got.sort();
    want.sort();
    match got == want {
        true => Ok(()),
        false => Err(format!("{} exemplars, expected {}", got.len(), want.len())),
    }
}

fn check_metadata(db: &Db, expected: &Value) -> Result<(), String> {
    for entry in expected["metadata"].as_array().into_iter().flatten() {
        let series = match entry.get("series") {
            Some(series) => labels(series),
            None => labels(&entry["labels"]),
        };
        let Some(got) = db.metadata(&series) else {
            return Err(format!("{series} has no metadata: {entry}"));
        };
        let text = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
        let got = (got.metric_type.as_str().to_owned(), got.unit, got.help);
        let want = (text("type"), text("unit"), text("help"));
        if got != want {
            return Err(format!("{series}: metadata {got:?}, expected {want:?}"));
        }
    }
    Ok(())
}
