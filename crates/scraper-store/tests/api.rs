//! The set `api`: requests to HTTP API v1 and upstream's answers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use conformance::Case;
use futures::future::BoxFuture;
use http_api::ApiError;
use http_api::rules::RuleGroup;
use model::{Exemplar, Labels};
use promql::script::{Command, Script, Store};
use promql::{Engine, EngineOptions, Features, QueryOptions, SampleValue, Value as Answer};
use rules::{AlertContext, Evaluation, Group, GroupDefaults, RuleFile, Sample, SampleSink};
use scraper_store::api::{Api, ConfigView, RulesSource, status::ServerStatus};
use scraper_store::queries::Queries;
use serde_json::Value;
use storage::{Appendable, Columns, Queryable, SelectHints};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tsdb::Db;

fn main() -> ExitCode {
    conformance::run("api", |dir| {
        let text = std::fs::read_to_string(dir.join("prometheus.json")).expect("the set is there");
        let set: Value = serde_json::from_str(&text).expect("the set is JSON");
        let world = Arc::new(World::new(dir, &set));
        let cases = set["cases"]
            .as_array()
            .expect("the set lists its cases")
            .clone();
        cases
            .into_iter()
            .enumerate()
            .map(|(i, case)| {
                let world = Arc::clone(&world);
                let text = |key: &str| case[key].as_str().unwrap_or("").to_owned();
                let name = format!(
                    "{i} {} {}?{}{}",
                    text("method"),
                    text("path"),
                    text("query"),
                    text("body")
                );
                Case::new(name, move || world.check(&case))
            })
            .collect()
    })
}

/// A server with the set's data, and its runtime.
struct World {
    router: Router,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

struct Fixed(Vec<RuleGroup>);

impl RulesSource for Fixed {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<RuleGroup>, ApiError>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// Writes rule results straight into the store.
struct Sink(Arc<Db>);

impl SampleSink for Sink {
    fn write(&self, samples: Vec<Sample>) -> Result<(), String> {
        let mut appender = self.0.appender();
        for sample in samples {
            let rules::SampleValue::Float(v) = sample.value else {
                continue;
            };
            appender
                .append(0, &sample.labels, 0, sample.t_ms, v)
                .map_err(|e| e.to_string())?;
        }
        appender.commit().map_err(|e| e.to_string())
    }
}

impl World {
    fn new(dir: &Path, set: &Value) -> World {
        let runtime = Runtime::new().expect("a runtime starts");
        let data = tempfile::tempdir().expect("there is room for a temporary folder");
        let now_ms = set["now_s"].as_i64().expect("the set has a time") * 1000;
        let mut options = tsdb::Options::new(data.path());
        options.background = false;
        options.clock = Arc::new(move || now_ms);
        options.max_exemplars = 100;
        let db = Arc::new(Db::open(options).expect("an empty folder opens"));
        load(
            &db,
            &std::fs::read_to_string(dir.join("data.load")).expect("the set has data"),
        );
        load_exemplars(&db, &set["exemplars"]);
        let engine = Arc::new(Engine::new(EngineOptions {
            max_samples: 50_000,
            ..EngineOptions::default()
        }));
        let times = set["rule_evaluations_s"]
            .as_array()
            .expect("the set evaluates rules");
        let times: Vec<i64> = times.iter().filter_map(Value::as_i64).collect();
        let rules = std::fs::read_to_string(dir.join("rules.yml")).expect("the set has rules");
        let groups = evaluate_rules(&db, &engine, &rules, &times);
        let flags = set["flags"].as_object().expect("the set has flags").iter();
        let flags = flags
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned()))
            .collect();
        let api = Api {
            engine,
            store: Arc::new(scraper_store::remotes::Stores::new(
                Some(Arc::clone(&db)),
                &telemetry::Registry::new(),
            )),
            read: scraper_store::api::read::Limits::new(
                10,
                50_000_000,
                1 << 20,
                &telemetry::Registry::new(),
            ),
            enable_otlp: false,
            otlp: arc_swap::ArcSwap::default(),
            deltas: None,
            received: scraper_store::api::received::Received::new(&telemetry::Registry::new()),
            federation: scraper_store::api::federate::Faults::new(&telemetry::Registry::new()),
            appendable: Arc::clone(&db) as Arc<dyn storage::Appendable>,
            db: Some(db),
            scrapes: None,
            config: Arc::new(arc_swap::ArcSwap::from_pointee(ConfigView::default())),
            flags,
            rules: Some(Arc::new(Fixed(groups))),
            now: Arc::new(move || now_ms),
            lookback_delta_ms: 300_000,
            timeout: Duration::from_secs(120),
            queries: Arc::new(Queries::new(20, &telemetry::Registry::new())),
            features: scraper_store::features::ServerFeatures::default(),
            notifications: Arc::new(scraper_store::notifications::Notifications::new(
                0,
                &telemetry::Registry::new(),
            )),
            enable_admin: false,
            enable_remote_write: false,
            accepted_messages: Vec::new(),
            receiver: Arc::new(remote::Receiver::new(1 << 20)),
            cors_origin: golang::regexp::Regexp::anchored(".*").expect("the pattern is one"),
            metrics: telemetry::Registry::new(),
            replay: Arc::default(),
            status: ServerStatus::default(),
        };
        World {
            router: scraper_store::api::router(Arc::new(api)),
            runtime,
            _dir: data,
        }
    }

    fn check(&self, case: &Value) -> Result<(), String> {
        let text = |key: &str| case[key].as_str().unwrap_or("").to_owned();
        let query = text("query");
        let uri = if query.is_empty() {
            text("path")
        } else {
            format!("{}?{query}", text("path"))
        };
        let mut request = Request::builder().method(text("method").as_str()).uri(uri);
        if let Some(kind) = case["content_type"].as_str() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .body(Body::from(text("body")))
            .map_err(|e| e.to_string())?;
        let (status, kind, body) = self.runtime.block_on(async {
            let response = self
                .router
                .clone()
                .oneshot(request)
                .await
                .expect("routers do not fail");
            let kind = response.headers().get(header::CONTENT_TYPE).cloned();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            (
                status,
                kind,
                body.map(|b| String::from_utf8_lossy(&b).into_owned()),
            )
        });
        let body = body.map_err(|e| e.to_string())?;
        if u64::from(status) != case["status"].as_u64().unwrap_or(0) {
            return Err(format!(
                "status {status}, expected {}; {body}",
                case["status"]
            ));
        }
        let kind = kind
            .and_then(|k| k.to_str().ok().map(str::to_owned))
            .unwrap_or_default();
        if kind != text("response_content_type") {
            return Err(format!(
                "content type {kind:?}, expected {:?}",
                text("response_content_type")
            ));
        }
        if let Some(expected) = case["response_text"].as_str() {
            return if body == expected {
                Ok(())
            } else {
                Err(format!("got {body:?}, expected {expected:?}"))
            };
        }
        let mut got: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let mut expected = case["response"].clone();
        for answer in [&mut got, &mut expected] {
            blank(answer);
            // Without a sorting function, series come in any order.
            if !query.contains("sort") && !query.contains("topk") && !query.contains("bottomk") {
                order(answer);
            }
        }
        if got == expected {
            Ok(())
        } else {
            Err(format!("got\n{got}\nexpected\n{expected}"))
        }
    }
}

/// Takes out what the set's README says not to compare.
fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["evaluationTime", "lastEvaluation", "groupNextToken"] {
                map.remove(key);
            }
            if let Some(stats) = map.get_mut("headStats").and_then(Value::as_object_mut) {
                stats.remove("chunkCount");
            }
            if map.contains_key("buildUser") {
                map.retain(|key, _| key == "version");
            }
            map.values_mut().for_each(blank);
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

fn order(answer: &mut Value) {
    for place in ["/data/result", "/data"] {
        if let Some(list) = answer.pointer_mut(place).and_then(Value::as_array_mut)
            && list.iter().all(Value::is_object)
        {
            list.sort_by_key(Value::to_string);
        }
    }
    // Entries of equal count come in any order, cut at the limit or not.
    for key in [
        "seriesCountByMetricName",
        "labelValueCountByLabelName",
        "memoryInBytesByLabelName",
        "seriesCountByLabelValuePair",
    ] {
        let Some(list) = answer
            .pointer_mut(&format!("/data/{key}"))
            .and_then(Value::as_array_mut)
        else {
            continue;
        };
        let least = list.last().map(|e| e["value"].clone()).unwrap_or_default();
        if list.len() == 10 {
            for entry in list.iter_mut().filter(|e| e["value"] == least) {
                entry["name"] = Value::Null;
            }
        }
        list.sort_by_key(Value::to_string);
    }
}

fn load(db: &Db, text: &str) {
    let script = Script::parse(text).expect("the data parse");
    let store = Store::new();
    for command in &script.commands {
        let Command::Load { load, .. } = command else {
            panic!("only loads are expected")
        };
        load.store(&store).expect("the data load");
    }
    let everything =
        [model::Matcher::new(model::MatchKind::Regexp, "__name__", ".*").expect("a pattern")];
    let querier = store
        .querier(i64::MIN, i64::MAX)
        .expect("memory can be queried");
    let set = querier
        .select(true, &SelectHints::default(), &everything)
        .expect("memory can be read");
    let mut appender = db.appender();
    for series in set.series {
        let mut columns = Columns::default();
        series
            .decode(i64::MIN, i64::MAX, &mut columns)
            .expect("memory can be read");
        for (t_ms, v) in columns.float_ms.iter().zip(&columns.floats) {
            appender
                .append(0, series.labels(), 0, *t_ms, *v)
                .expect("in order");
        }
        for (t_ms, h) in columns.histogram_ms.iter().zip(&columns.histograms) {
            appender
                .append_float_histogram(0, series.labels(), 0, *t_ms, h)
                .expect("in order");
        }
    }
    appender.commit().expect("the folder can be written");
}

fn load_exemplars(db: &Db, list: &Value) {
    let labels = |value: &Value| -> Labels {
        let map = value.as_object().expect("labels are a mapping").iter();
        Labels::from_pairs(map.map(|(n, v)| (n.as_str(), v.as_str().unwrap_or(""))))
    };
    let mut appender = db.appender();
    for exemplar in list.as_array().expect("exemplars are a list") {
        let parsed = Exemplar {
            labels: labels(&exemplar["Labels"]),
            value: exemplar["Value"].as_f64().expect("a number"),
            timestamp_ms: exemplar["T"].as_i64(),
        };
        appender
            .append_exemplar(0, &labels(&exemplar["Series"]), &parsed)
            .expect("in order");
    }
    appender.commit().expect("the folder can be written");
}

fn evaluate_rules(db: &Arc<Db>, engine: &Engine, text: &str, times_s: &[i64]) -> Vec<RuleGroup> {
    let file = RuleFile::parse(text, &rules::CheckOptions::default()).expect("the rules parse");
    let defaults = GroupDefaults {
        interval_ms: 60_000,
        query_offset_ms: 0,
    };
    let source = |query: &str, t_ms: i64| -> Result<Vec<Sample>, String> {
        let result = engine
            .instant(&**db, query, t_ms, &QueryOptions::default())
            .map_err(|e| e.to_string())?;
        Ok(match result.value {
            Answer::Scalar { v, .. } => vec![Sample::float(Labels::empty(), t_ms, v)],
            Answer::Vector(vector) => {
                let sample = |e: promql::VectorSample| Sample {
                    labels: e.labels,
                    t_ms,
                    value: match e.value {
                        SampleValue::Float(v) => rules::SampleValue::Float(v),
                        SampleValue::Histogram(h) => rules::SampleValue::Histogram(h),
                    },
                };
                vector.into_iter().map(sample).collect()
            }
            Answer::String { .. } | Answer::Matrix(_) => Vec::new(),
        })
    };
    let sink = Sink(Arc::clone(db));
    let context = AlertContext {
        external_labels: Labels::empty(),
        external_url: "http://prom.example.com/base".to_owned(),
    };
    let mut groups: Vec<Group> = file
        .groups
        .iter()
        .map(|g| {
            Group::build(g, "rules/rules.yml", defaults, Features::default()).expect("rules parse")
        })
        .collect();
    for t_s in times_s {
        for group in &mut groups {
            let run = Evaluation {
                source: &source,
                sink: &sink,
                context: &context,
                concurrency: 1,
                stopwatch: &|| 0.0,
                resend_delay_ms: 60_000,
                outage_tolerance_ms: 0,
            };
            group.evaluate(t_s * 1000, &run);
        }
    }
    groups.iter().map(http_api::rules::view).collect()
}
