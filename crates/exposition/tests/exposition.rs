//! The conformance set `exposition`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use conformance::Case;
use exposition::{
    Bucket, Count, EncodeOptions, Entry, Escaping, Exemplar, Family, Format, Histogram, Known,
    LabelBuf, MediaType, Metric, ParseOptions, ParsedHistogram, Parser, Quantile, Summary, Syntax,
    Value, choose_parser, encode_with, negotiate, parse_families,
};
use model::names::ValidationScheme;
use model::{CounterResetHint, MetricType, Span};
use serde_json::{Map, Value as Json, json};

fn main() -> ExitCode {
    conformance::run("exposition", |dir| {
        let mut cases = Vec::new();
        for file in ["text", "openmetrics", "openmetrics-spec", "protobuf"] {
            cases.extend(parse_cases(dir, file));
        }
        cases.extend(document_cases(dir));
        cases.extend(json_cases(dir, "content-type", check_content_type));
        cases.extend(json_cases(dir, "negotiate", check_negotiate));
        cases.extend(json_cases(dir, "encode", check_encode));
        cases.extend(json_cases(dir, "expfmt-parse", check_families));
        cases
    })
}

fn read(dir: &Path, name: &str) -> Json {
    let text = std::fs::read_to_string(dir.join(name)).expect("the set is readable");
    serde_json::from_str(&text).expect("the set is JSON")
}

fn cases_of(document: &Json) -> &Vec<Json> {
    document["cases"].as_array().expect("a list of cases")
}

fn json_cases(dir: &Path, file: &str, check: fn(&Json) -> Result<(), String>) -> Vec<Case> {
    let document = read(dir, &format!("{file}.json"));
    let named = |(i, case): (usize, &Json)| {
        let case = case.clone();
        Case::new(format!("{file}.json/{i}"), move || check(&case))
    };
    cases_of(&document).iter().enumerate().map(named).collect()
}

fn parse_cases(dir: &Path, file: &str) -> Vec<Case> {
    let document = read(dir, &format!("{file}.json"));
    let media_type = media_type(&document);
    let named = |(i, case): (usize, &Json)| {
        let case = case.clone();
        let name = match case["name"].as_str() {
            Some(name) => format!("{file}.json/{name}"),
            None => format!("{file}.json/{i}"),
        };
        Case::new(name, move || {
            let input = input(&case);
            let expected = (case["entries"].clone(), case["error"].as_str());
            check_parse(&input, media_type, options(&case["options"]), expected)
        })
    };
    cases_of(&document).iter().enumerate().map(named).collect()
}

fn document_cases(dir: &Path) -> Vec<Case> {
    let documents = dir.join("documents");
    let mut names: Vec<String> = std::fs::read_dir(&documents)
        .expect("the set has documents")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| !name.ends_with(".expected.json"))
        .collect();
    names.sort();
    let named = |name: String| {
        let expected = read(&documents, &format!("{name}.expected.json"));
        let input = std::fs::read(documents.join(&name)).expect("the document is readable");
        Case::new(format!("documents/{name}"), move || {
            let entries = expected["cases"].clone();
            let options = ParseOptions::default();
            check_parse(&input, media_type(&expected), options, (entries, None))
        })
    };
    names.into_iter().map(named).collect()
}

fn media_type(document: &Json) -> MediaType {
    let name = document["content_type"].as_str().expect("a content type");
    MediaType::parse(name).expect("a known content type")
}

fn input(case: &Json) -> Vec<u8> {
    match (case["input"].as_str(), case["input_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("base64"),
        (None, None) => panic!("a case without input"),
    }
}

fn options(json: &Json) -> ParseOptions {
    let on = |name: &str| json[name].as_bool().unwrap_or(false);
    ParseOptions {
        type_and_unit_labels: on("type_and_unit_labels"),
        start_timestamps: on("parse_start_timestamps"),
        convert_classic_histograms_to_nhcb: on("convert_classic_histograms_to_nhcb"),
        always_scrape_classic_histograms: on("always_scrape_classic_histograms"),
        ignore_native_histograms: on("ignore_native_histograms"),
    }
}

/// Reads the page twice: with every line new, and with every line known from the first time.
fn check_parse(
    input: &[u8],
    media_type: MediaType,
    options: ParseOptions,
    (entries, error): (Json, Option<&str>),
) -> Result<(), String> {
    let mut seen = Seen::default();
    let mut lines = Vec::new();
    let first = entries_of(
        input,
        media_type,
        options,
        &mut |_: &[u8]| false,
        &mut |entry, parser| {
            if matches!(entry, Entry::Series | Entry::Histogram) {
                seen.series.insert(parser.series().to_vec());
                lines.push(None);
            } else {
                lines.push(parser.metadata_line().map(<[u8]>::to_vec));
            }
            true
        },
    );
    compare(&first, &entries, error)?;
    let mut known = |series: &[u8]| seen.series.contains(series);
    let second = entries_of(input, media_type, options, &mut known, &mut |_, _| true);
    compare(&second, &entries, error).map_err(|e| format!("with known lines: {e}"))?;
    if options.convert_classic_histograms_to_nhcb {
        return Ok(());
    }
    let entries = entries.as_array().expect("a list of entries");
    let others = entries
        .iter()
        .zip(&lines)
        .filter(|(_, line)| line.is_none());
    let others = others.map(|(entry, _)| entry.clone()).collect();
    seen.metadata.extend(lines.into_iter().flatten());
    // Behind a blank line it is read all the same.
    let keep = &mut |entry, parser: &Parser<'_>| {
        matches!(entry, Entry::Series | Entry::Histogram) || parser.metadata_line().is_none()
    };
    let third = entries_of(input, media_type, options, &mut seen, keep);
    compare(&third, &others, error).map_err(|e| format!("with known metadata: {e}"))
}

/// What was on a page.
#[derive(Default)]
struct Seen {
    series: HashSet<Vec<u8>>,
    metadata: HashSet<Vec<u8>>,
}

impl Known for Seen {
    fn series(&mut self, series: &[u8]) -> bool {
        self.series.contains(series)
    }

    fn metadata(&mut self, line: &[u8]) -> bool {
        self.metadata.contains(line)
    }
}

fn compare(
    (entries, failure): &(Vec<Json>, Option<String>),
    expected: &Json,
    error: Option<&str>,
) -> Result<(), String> {
    let expected = expected.as_array().expect("a list of entries");
    for (i, expected) in expected.iter().enumerate() {
        let actual = entries.get(i).unwrap_or(&Json::Null);
        if !same(actual, expected) {
            return Err(format!(
                "entry {i}:\n     got {actual}\nexpected {expected}\n(error: {failure:?})"
            ));
        }
    }
    if entries.len() > expected.len() {
        return Err(format!("unexpected entry {}", entries[expected.len()]));
    }
    if failure.as_deref() != error {
        return Err(format!(
            "\n     got error {failure:?}\nexpected error {error:?}"
        ));
    }
    Ok(())
}

/// Equality of JSON, where numbers are floats.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        (a, b) => a == b,
    }
}

fn entries_of(
    input: &[u8],
    media_type: MediaType,
    options: ParseOptions,
    known: &mut impl Known,
    keep: &mut dyn FnMut(Entry, &Parser<'_>) -> bool,
) -> (Vec<Json>, Option<String>) {
    let mut parser = Parser::new(input, media_type, options);
    let mut entries = Vec::new();
    loop {
        match parser.next(known) {
            Ok(Some(entry)) => {
                if keep(entry, &parser) {
                    entries.push(entry_json(&mut parser, entry));
                }
            }
            Ok(None) => return (entries, None),
            Err(error) => return (entries, Some(error.to_string())),
        }
    }
}

fn entry_json(parser: &mut Parser<'_>, entry: Entry) -> Json {
    let name = parser.metadata_name().into_owned();
    match entry {
        Entry::Help => json!({"entry": "help", "name": name, "help": parser.help()}),
        Entry::Type => json!({"entry": "type", "name": name, "type": parser.kind().as_str()}),
        Entry::Unit => json!({"entry": "unit", "name": name, "unit": parser.unit()}),
        Entry::Comment => json!({"entry": "comment", "comment": parser.comment()}),
        Entry::Series | Entry::Histogram => {
            let mut labels = LabelBuf::new();
            parser.labels(&mut labels);
            let mut json = Map::new();
            json.insert("labels".into(), labels_json(&labels));
            if entry == Entry::Series {
                json.insert("entry".into(), json!("series"));
                json.insert("value".into(), float_json(parser.value()));
            } else {
                json.insert("entry".into(), json!("histogram"));
                let histogram = parser.histogram().expect("the entry is a histogram");
                json.insert("histogram".into(), histogram_json(&histogram));
            }
            if let Some(ms) = parser.timestamp_ms() {
                json.insert("timestamp_ms".into(), json!(ms));
            }
            let start = parser.start_ms();
            if start != 0 {
                json.insert("start_timestamp_ms".into(), json!(start));
            }
            let mut exemplars = Vec::new();
            while let Some((value, timestamp)) = parser.exemplar(&mut labels) {
                let mut json = json!({"labels": labels_json(&labels), "value": float_json(value)});
                if let Some(ms) = timestamp {
                    json["timestamp_ms"] = json!(ms);
                }
                exemplars.push(json);
            }
            if !exemplars.is_empty() {
                json.insert("exemplars".into(), Json::Array(exemplars));
            }
            Json::Object(json)
        }
    }
}

fn labels_json(labels: &LabelBuf) -> Json {
    labels
        .iter()
        .map(|(n, v)| (n.to_owned(), json!(v)))
        .collect()
}

fn float_json(f: f64) -> Json {
    if model::is_stale(f) {
        json!("StaleNaN")
    } else if f.is_nan() {
        json!("NaN")
    } else if f.is_infinite() {
        json!(if f > 0.0 { "+Inf" } else { "-Inf" })
    } else if f == 0.0 && f.is_sign_negative() {
        json!("-0")
    } else {
        json!(f)
    }
}

fn histogram_json(histogram: &ParsedHistogram) -> Json {
    let spans =
        |spans: &[Span]| -> Json { spans.iter().map(|s| json!([s.offset, s.length])).collect() };
    let floats = |floats: &[f64]| -> Json { floats.iter().map(|f| float_json(*f)).collect() };
    let hint = |hint| match hint {
        CounterResetHint::Unknown => "unknown",
        CounterResetHint::CounterReset => "reset",
        CounterResetHint::NotCounterReset => "not_reset",
        CounterResetHint::Gauge => "gauge",
    };
    match histogram {
        ParsedHistogram::Integer(h) => json!({
            "kind": "integer", "counter_reset_hint": hint(h.counter_reset_hint), "schema": h.schema,
            "zero_threshold": float_json(h.zero_threshold), "zero_count": h.zero_count,
            "count": h.count, "sum": float_json(h.sum),
            "positive_spans": spans(&h.positive_spans), "negative_spans": spans(&h.negative_spans),
            "positive_deltas": h.positive_buckets, "negative_deltas": h.negative_buckets,
            "custom_values": floats(&h.custom_values),
        }),
        ParsedHistogram::Float(h) => json!({
            "kind": "float", "counter_reset_hint": hint(h.counter_reset_hint), "schema": h.schema,
            "zero_threshold": float_json(h.zero_threshold), "zero_count": float_json(h.zero_count),
            "count": float_json(h.count), "sum": float_json(h.sum),
            "positive_spans": spans(&h.positive_spans), "negative_spans": spans(&h.negative_spans),
            "positive_counts": floats(&h.positive_buckets), "negative_counts": floats(&h.negative_buckets),
            "custom_values": floats(&h.custom_values),
        }),
    }
}

fn check_content_type(case: &Json) -> Result<(), String> {
    let content_type = case["content_type"].as_str().expect("a content type");
    let fallback = MediaType::parse(case["fallback_media_type"].as_str().expect("a fallback"));
    let (parser, message) = match choose_parser(content_type, fallback) {
        Ok((MediaType::Text, message)) => ("text", message),
        Ok((MediaType::OpenMetrics, message)) => ("openmetrics", message),
        Ok((MediaType::Protobuf, message)) => ("protobuf", message),
        Err(message) => ("", Some(message)),
    };
    let expected = (
        case["parser"].as_str().expect("a parser"),
        case["message"].as_str(),
    );
    if (parser, message.as_deref()) == expected {
        return Ok(());
    }
    Err(format!(
        "\n     got {:?}\nexpected {expected:?}",
        (parser, message)
    ))
}

fn check_negotiate(case: &Json) -> Result<(), String> {
    let escaping = Escaping::parse(case["default_escaping"].as_str().expect("a scheme"));
    let format = negotiate(
        case["accept"].as_str().expect("a header"),
        case["openmetrics_offered"].as_bool().expect("a boolean"),
        escaping.expect("a known scheme"),
    );
    let expected = case["content_type"].as_str().expect("a content type");
    if format.content_type() == expected {
        return Ok(());
    }
    Err(format!("\n     got {format}\nexpected {expected}"))
}

fn check_encode(case: &Json) -> Result<(), String> {
    let format = case["format"].as_str().expect("a format");
    let syntax = match format {
        "text/plain; version=0.0.4" => Syntax::Text004,
        "application/openmetrics-text; version=1.0.0" => Syntax::OpenMetrics100,
        other => return Err(format!("unknown format {other}")),
    };
    let format = Format {
        syntax,
        escaping: Escaping::AllowUtf8,
    };
    let options = EncodeOptions {
        created_lines: case["with_created_lines"].as_bool().unwrap_or(false),
    };
    let mut out = Vec::new();
    let result = encode_with(&[family(&case["family"])], format, options, &mut out);
    let out = String::from_utf8(out).expect("text");
    let out = out.strip_suffix("# EOF\n").unwrap_or(&out);
    match (
        result,
        case["output"].as_str(),
        case["error_prefix"].as_str(),
    ) {
        (Ok(()), Some(expected), _) if out == expected => Ok(()),
        (Err(error), _, Some(prefix)) if error.to_string().starts_with(prefix) => Ok(()),
        (result, _, _) => Err(format!(
            "{result:?}\n     got {out:?}\nexpected {}",
            case["output"]
        )),
    }
}

fn check_families(case: &Json) -> Result<(), String> {
    let input = input(case);
    let parse = |scheme| parse_families(&input, scheme).map_err(|e| e.to_string());
    if let Some(expected) = case["families"].as_array() {
        let key = |family: &Family| family.name.clone();
        let mut expected: Vec<Family> = expected.iter().map(family).collect();
        let mut families = parse(ValidationScheme::Utf8)?;
        expected.sort_by_key(key);
        families.sort_by_key(key);
        if families != expected {
            return Err(format!("\n     got {families:#?}\nexpected {expected:#?}"));
        }
        return Ok(());
    }
    let check = |scheme, prefix: Option<&str>| match (parse(scheme), prefix) {
        (Ok(_), None) => Ok(()),
        (Err(error), Some(prefix)) if error.starts_with(prefix) => Ok(()),
        (result, prefix) => Err(format!("\n     got {result:?}\nexpected {prefix:?}")),
    };
    let prefix = case["error_prefix"].as_str();
    check(ValidationScheme::Utf8, prefix)?;
    let legacy = case["error_prefix_legacy_names"].as_str().or(prefix);
    check(ValidationScheme::Legacy, legacy)
}

// Families from the JSON form of their protobuf messages.

fn family(json: &Json) -> Family {
    let kind = match json["type"].as_str().unwrap_or("COUNTER") {
        "COUNTER" => MetricType::Counter,
        "GAUGE" => MetricType::Gauge,
        "SUMMARY" => MetricType::Summary,
        "UNTYPED" => MetricType::Unknown,
        "HISTOGRAM" => MetricType::Histogram,
        "GAUGE_HISTOGRAM" => MetricType::GaugeHistogram,
        other => panic!("unknown type {other}"),
    };
    Family {
        name: json["name"].as_str().unwrap_or_default().to_owned(),
        help: json["help"].as_str().map(str::to_owned),
        kind,
        unit: json["unit"].as_str().unwrap_or_default().to_owned(),
        metrics: list(&json["metric"]).iter().map(metric).collect(),
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn labels(json: &Json) -> Vec<(String, String)> {
    let pair = |pair: &Json| {
        let text = |key: &str| pair[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("value"))
    };
    list(json).iter().map(pair).collect()
}

fn metric(json: &Json) -> Metric {
    let known: BTreeMap<&str, &Json> = ["counter", "gauge", "untyped", "summary", "histogram"]
        .into_iter()
        .filter_map(|key| json.get(key).map(|value| (key, value)))
        .collect();
    let (key, value) = known.into_iter().next().expect("a metric has a value");
    let mut created_ms = time(&value["created_timestamp"]);
    let mut exemplars = Vec::new();
    let value = match key {
        "counter" => {
            exemplars.extend(exemplar(&value["exemplar"]));
            Value::Counter(float(&value["value"]))
        }
        "gauge" => Value::Gauge(float(&value["value"])),
        "untyped" => Value::Untyped(float(&value["value"])),
        "summary" => Value::Summary(summary(value)),
        _ => Value::Histogram(histogram(value)),
    };
    if matches!(value, Value::Gauge(_) | Value::Untyped(_)) {
        created_ms = None;
    }
    Metric {
        labels: labels(&json["label"]),
        value,
        timestamp_ms: integer(&json["timestamp_ms"]),
        created_ms,
        exemplars,
    }
}

fn summary(json: &Json) -> Summary {
    let quantile = |q: &Json| Quantile {
        quantile: float(&q["quantile"]),
        value: float(&q["value"]),
    };
    Summary {
        count: integer(&json["sample_count"]).unwrap_or(0) as u64,
        sum: float(&json["sample_sum"]),
        quantiles: list(&json["quantile"]).iter().map(quantile).collect(),
    }
}

fn histogram(json: &Json) -> Histogram {
    let bucket = |b: &Json| Bucket {
        upper_bound: float(&b["upper_bound"]),
        cumulative_count: count(b, "cumulative_count"),
        exemplar: exemplar(&b["exemplar"]),
    };
    Histogram {
        count: count(json, "sample_count"),
        sum: float(&json["sample_sum"]),
        buckets: list(&json["bucket"]).iter().map(bucket).collect(),
        native: None,
    }
}

fn count(json: &Json, name: &str) -> Count {
    match json.get(format!("{name}_float")) {
        Some(value) => Count::Float(float(value)),
        None => Count::Integer(integer(&json[name]).unwrap_or(0) as u64),
    }
}

fn exemplar(json: &Json) -> Option<Exemplar> {
    json.is_object().then(|| Exemplar {
        labels: labels(&json["label"]),
        value: float(&json["value"]),
        timestamp_ms: time(&json["timestamp"]),
    })
}

fn float(json: &Json) -> f64 {
    match json {
        Json::String(text) => match text.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            text => text.parse().expect("a number"),
        },
        json => json.as_f64().unwrap_or(0.0),
    }
}

fn integer(json: &Json) -> Option<i64> {
    match json {
        Json::String(text) => Some(text.parse().expect("an integer")),
        json => json.as_i64(),
    }
}

/// `1970-01-01T03:25:45.600Z`, on the first day only.
fn time(json: &Json) -> Option<i64> {
    let text = json
        .as_str()?
        .strip_prefix("1970-01-01T")?
        .strip_suffix('Z')?;
    let parts: Vec<f64> = text
        .split(':')
        .map(|part| part.parse().expect("a number"))
        .collect();
    Some(((parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]) * 1000.0).round() as i64)
}
