//! The conformance set `statsd`: lines, names, mappings, and packets to a page.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use conformance::Case;
use serde_json::{Value as Json, json};
use statsd_bridge::{
    Action, Bridge, EventType, Eviction, Mapper, Observer, ObserverType, Options, Parser, Reason,
    RuleAction, Tally, escape_metric_name,
};
use telemetry::Registry;

type Check = fn(&Json) -> Result<(), String>;

fn main() -> ExitCode {
    conformance::run("statsd", |dir| {
        let files: [(&str, Check); 4] = [
            ("lines.json", check_line),
            ("mapping.json", check_mapping),
            ("escape.json", check_escape),
            ("end-to-end.json", check_page),
        ];
        files
            .into_iter()
            .flat_map(|(file, check)| cases(dir, file, check))
            .collect()
    })
}

fn cases(dir: &Path, file: &str, check: Check) -> Vec<Case> {
    let text = std::fs::read_to_string(dir.join(file)).expect("the set is readable");
    let document: Json = serde_json::from_str(&text).expect("the set is JSON");
    let named = |(i, case): (usize, &Json)| {
        let case = case.clone();
        let name = case["name"].as_str().unwrap_or_default();
        Case::new(format!("{file}/{i} {name}"), move || check(&case))
    };
    let cases = document["cases"].as_array().expect("a list of cases");
    cases.iter().enumerate().map(named).collect()
}

fn same(what: &str, got: &Json, expected: &Json) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}\n     got {got}\nexpected {expected}"))
}

fn parser(case: &Json) -> Parser {
    let disabled = case["disabled"].as_array().cloned().unwrap_or_default();
    let enabled = |style: &str| !disabled.iter().any(|d| d == style);
    Parser {
        dogstatsd: enabled("dogstatsd"),
        influxdb: enabled("influxdb"),
        librato: enabled("librato"),
        signalfx: enabled("signalfx"),
        sets: false,
    }
}

fn number(value: f64) -> Json {
    match value {
        f64::INFINITY => json!("+Inf"),
        f64::NEG_INFINITY => json!("-Inf"),
        value if value.is_nan() => json!("NaN"),
        value => json!(value),
    }
}

/// Integers of the set as floats, so that 1 and 1.0 are the same.
fn normal(json: &Json) -> Json {
    match json {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(list) => list.iter().map(normal).collect(),
        Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), normal(v))).collect(),
        other => other.clone(),
    }
}

fn check_line(case: &Json) -> Result<(), String> {
    let line = match case["input_base64"].as_str() {
        Some(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("base64"),
        None => case["input"]
            .as_str()
            .expect("an input")
            .as_bytes()
            .to_vec(),
    };
    let mut tally = Tally::default();
    let mut events = Vec::new();
    parser(case).parse(&line, &mut tally, |event| {
        let labels: BTreeMap<String, &str> = event
            .tags
            .iter()
            .map(|(n, v)| (n.to_string(), *v))
            .collect();
        let (kind, value, times, relative) = match event.action {
            Action::Count(value) => ("counter", value, 1, None),
            Action::Set(value) => ("gauge", value, 1, Some(false)),
            Action::Change(value) => ("gauge", value, 1, Some(true)),
            Action::Observe(value, times) => ("observer", value, times, None),
            Action::Member(_) => panic!("sets are switched off"),
        };
        let mut json = json!({
            "type": kind, "name": event.name, "labels": labels, "value": number(value),
        });
        if let Some(relative) = relative {
            json["relative"] = json!(relative);
        }
        for _ in 0..times {
            events.push(json.clone());
        }
    });
    same("events", &Json::Array(events), &normal(&case["events"]))?;
    let count = |name: &str| case[name].as_u64().unwrap_or(0);
    let counted = (tally.samples, tally.tags, tally.tag_errors);
    let expected = (count("samples"), count("tags"), count("tag_errors"));
    if counted != expected {
        return Err(format!(
            "samples, tags, tag errors: got {counted:?}, expected {expected:?}"
        ));
    }
    let mut errors = serde_json::Map::new();
    for (reason, count) in Reason::ALL.into_iter().zip(tally.sample_errors) {
        if count > 0 {
            errors.insert(reason.as_str().to_owned(), json!(count));
        }
    }
    let expected = case.get("sample_errors").cloned().unwrap_or(json!({}));
    same("sample errors", &Json::Object(errors), &expected)
}

fn check_escape(case: &Json) -> Result<(), String> {
    let name = case["name"].as_str().expect("a name");
    same(
        "escaped",
        &json!(escape_metric_name(name)),
        &case["escaped"],
    )
}

fn check_mapping(case: &Json) -> Result<(), String> {
    let mapper = Mapper::parse(case["config"].as_str().expect("a config"));
    let mapper = match (mapper, case["error"].as_str()) {
        (Ok(mapper), None) => mapper,
        // The decoder's own wording may differ.
        (Err(_), Some(expected)) if expected.starts_with("yaml:") => return Ok(()),
        (Err(error), Some(expected)) if error.to_string() == expected => return Ok(()),
        (result, expected) => {
            let result = result.map(|mapper| mapper.len());
            return Err(format!("loading: got {result:?}, expected {expected:?}"));
        }
    };
    for expected in case["results"].as_array().into_iter().flatten() {
        let event_type = EventType::ALL
            .into_iter()
            .find(|t| expected["type"] == t.as_str());
        let event_type = event_type.expect("a type");
        let metric = expected["metric"].as_str().expect("a metric");
        let found = mapper.find(metric, event_type);
        let mut got = json!({
            "metric": metric, "type": event_type.as_str(), "present": found.is_some(),
        });
        if let Some(found) = found {
            let rule = found.rule;
            got["name"] = json!(found.name);
            got["labels"] = found
                .labels
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .map(|(k, v)| (k, json!(v)))
                .collect();
            got["action"] = json!(match rule.action {
                RuleAction::Map => "map",
                RuleAction::Drop => "drop",
            });
            if !rule.ttl.is_zero() {
                got["ttl"] = json!(golang::time::format_duration(rule.ttl.as_nanos() as i64));
            }
            if let Some(scale) = rule.scale {
                got["scale"] = json!(scale);
            }
            if let Some(observer_type) = rule.observer_type {
                options(&mut got, observer_type, &rule.observer);
            }
        }
        let expected = normal(expected);
        same(metric, &normal(&got), &expected)?;
    }
    Ok(())
}

/// Options in force: the set shows those of the observer's type, without zeroes.
fn options(got: &mut Json, observer_type: ObserverType, observer: &Observer) {
    match observer {
        Observer::Histogram(options) => {
            assert_eq!(observer_type, ObserverType::Histogram);
            got["observer_type"] = json!("histogram");
            got["buckets"] = json!(options.buckets);
        }
        Observer::Summary(options) => {
            assert_eq!(observer_type, ObserverType::Summary);
            got["observer_type"] = json!("summary");
            got["quantiles"] = options
                .quantiles
                .iter()
                .map(|(q, e)| json!([q, e]))
                .collect();
            if !options.max_age.is_zero() {
                let nanoseconds = options.max_age.as_nanos() as i64;
                got["max_age"] = json!(golang::time::format_duration(nanoseconds));
            }
            if options.age_buckets > 0 {
                got["age_buckets"] = json!(options.age_buckets);
            }
            if options.buf_cap > 0 {
                got["buf_cap"] = json!(options.buf_cap);
            }
        }
    }
}

fn check_page(case: &Json) -> Result<(), String> {
    // A cache must not change anything.
    for (cache_size, eviction) in [
        (0, Eviction::Lru),
        (1000, Eviction::Lru),
        (1, Eviction::Random),
    ] {
        let registry = Registry::new();
        let options = Options {
            parser: parser(case),
            cache_size,
            eviction,
            ..Options::default()
        };
        let mapper = Mapper::parse(case["config"].as_str().expect("a config"));
        let mapper = mapper.map_err(|e| e.to_string())?;
        let bridge = Bridge::new(&registry, options, mapper, None);
        let mut intake = bridge.intake();
        for line in case["packets"].as_str().expect("packets").lines() {
            intake.packet(line.as_bytes(), Duration::ZERO);
        }
        intake.flush();
        let page = String::from_utf8(registry.render(None).body).expect("text");
        compare(case, &page).map_err(|e| format!("cache of {cache_size}: {e}"))?;
    }
    Ok(())
}

fn compare(case: &Json, page: &str) -> Result<(), String> {
    let is_own = |line: &str| {
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        name.starts_with("statsd_exporter_") || name.starts_with("statsd_metric_mapper_")
    };
    let exposition: String = page
        .lines()
        .filter(|line| !is_own(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let expected = case["exposition"].as_str().unwrap_or_default();
    if exposition != expected {
        return Err(format!(
            "page\n--- got\n{exposition}--- expected\n{expected}"
        ));
    }
    // Own counters: name and labels, and under which key the set has them.
    let by_label = |metric: &str, labels: &[&str]| -> Json {
        let prefix = format!("statsd_exporter_{metric}{{");
        let samples = page.lines().filter_map(|line| line.strip_prefix(&prefix));
        let mut found = serde_json::Map::new();
        for sample in samples {
            let (pairs, value) = sample.split_once("} ").expect("a sample");
            let value: f64 = value.parse().expect("a number");
            let pairs: BTreeMap<&str, &str> = pairs
                .split(',')
                .map(|pair| pair.split_once('=').expect("a label"))
                .collect();
            let key: Vec<&str> = labels.iter().map(|l| pairs[l].trim_matches('"')).collect();
            if value != 0.0 {
                found.insert(key.join("/"), json!(value));
            }
        }
        Json::Object(found)
    };
    let plain = |metric: &str| -> Json {
        let prefix = format!("statsd_exporter_{metric} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&prefix));
        json!(
            value
                .expect("the counter")
                .parse::<f64>()
                .expect("a number")
        )
    };
    for (key, got) in [
        (
            "sample_errors",
            by_label("sample_errors_total", &["reason"]),
        ),
        ("events_error", by_label("events_error_total", &["reason"])),
        (
            "events_conflict",
            by_label("events_conflict_total", &["metric_name", "type"]),
        ),
        ("events_total", by_label("events_total", &["type"])),
        (
            "events_actions",
            by_label("events_actions_total", &["action"]),
        ),
    ] {
        same(key, &got, &normal(case.get(key).unwrap_or(&json!({}))))?;
    }
    for (key, metric) in [
        ("tag_errors", "tag_errors_total"),
        ("events_unmapped", "events_unmapped_total"),
    ] {
        same(
            key,
            &plain(metric),
            &normal(case.get(key).unwrap_or(&json!(0))),
        )?;
    }
    Ok(())
}
