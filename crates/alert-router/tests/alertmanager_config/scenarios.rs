//! The timelines of the set: the whole engine (dispatcher, pipeline,
//! retries, notification log) against receivers that behave as each case says, on a clock that
//! jumps from timer to timer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alert_router::clock::Clock;
use alert_router::config::Config;
use alert_router::engine::{Engine, Intervals, Live};
use alert_router::intake::{self, Posted};
use alert_router::matcher::Mode;
use alert_router::metrics::Metrics;
use alert_router::moment;
use alert_router::notify::{Failure, Integration, Memory, Notification, Notifier};
use alert_router::router::{Router, Settings};
use alert_router::silence::Limits;
use alert_router::store::writer::Writer;
use conformance::Case;
use futures::future::BoxFuture;
use jiff::Timestamp;
use model::Labels;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

pub fn cases(dir: &Path, cases: &mut Vec<Case>) {
    let text = std::fs::read_to_string(dir.join("scenarios.json")).expect("readable");
    let set: Value = serde_json::from_str(&text).expect("JSON");
    let tolerance = set["tolerance_s"].as_f64().expect("a number");
    for case in set["cases"].as_array().expect("cases").clone() {
        let name = format!("scenarios.json/{}", case["name"].as_str().expect("a name"));
        cases.push(Case::new(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(play(&case, tolerance))
        }));
    }
}

/// Seconds of the timeline.
#[derive(Clone, Copy)]
struct Timeline {
    base: Timestamp,
    start: Instant,
}

impl Timeline {
    fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn at(&self, seconds: f64) -> Timestamp {
        moment::after(self.base, Duration::from_secs_f64(seconds))
    }

    fn seconds(&self, t: Timestamp) -> f64 {
        moment::between(self.base, t).as_secs_f64()
    }
}

#[derive(Debug)]
struct Seen {
    at: f64,
    /// Labels, start, end of resolved ones.
    alerts: Vec<(Labels, f64, Option<f64>)>,
}

/// A webhook as the case describes it.
struct Receiver {
    timeline: Timeline,
    seen: Arc<Mutex<Vec<Seen>>>,
    fail: Option<String>,
    timeout: Option<Duration>,
}

impl Notifier for Receiver {
    fn notify<'a>(&'a self, n: &'a Notification) -> BoxFuture<'a, Result<Memory, Failure>> {
        Box::pin(async move {
            let now = self.timeline.elapsed();
            match self.fail.as_deref() {
                Some("answers HTTP 500 until t=4.5") if now < 4.5 => {
                    return Err(Failure::passing("unexpected status code 500"));
                }
                Some("requests before t=3 take 1 s to answer") if now < 3.0 => {
                    let answer = Duration::from_secs(1);
                    if self.timeout.is_some_and(|timeout| timeout < answer) {
                        tokio::time::sleep(self.timeout.unwrap_or(answer)).await;
                        return Err(Failure::passing("context deadline exceeded"));
                    }
                    tokio::time::sleep(answer).await;
                }
                None
                | Some("answers HTTP 500 until t=4.5" | "requests before t=3 take 1 s to answer") =>
                    {}
                Some(other) => panic!("the test does not know how to fail as {other:?}"),
            }
            let second = |t| self.timeline.seconds(t);
            let alerts = n.alerts.iter().map(|flushed| {
                let alert = &flushed.alert;
                let end = flushed.resolved.then(|| second(alert.ends_at));
                (alert.labels.clone(), second(alert.starts_at), end)
            });
            self.seen.lock().push(Seen {
                at: now,
                alerts: alerts.collect(),
            });
            Ok(Memory::new())
        })
    }
}

async fn play(case: &Value, tolerance: f64) -> Result<(), String> {
    let timeline = Timeline {
        base: "2024-01-01T00:00:00Z".parse().expect("a time"),
        start: Instant::now(),
    };
    let mut seen: HashMap<String, Arc<Mutex<Vec<Seen>>>> = HashMap::new();
    let engine = start(case, timeline, &mut seen)?;
    let runner = engine.clone();
    let intervals = Intervals {
        groups: Duration::from_secs(30),
        alerts: Duration::from_secs(1800),
        data: Duration::from_secs(900),
    };
    let running = tokio::spawn(async move { runner.run(intervals).await });

    let mut steps: Vec<(f64, &Value)> = ["push", "silences", "do"]
        .iter()
        .flat_map(|kind| case[*kind].as_array().into_iter().flatten())
        .map(|step| (step["at"].as_f64().expect("a time"), step))
        .collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at, step) in steps {
        tokio::time::sleep_until(timeline.start + Duration::from_secs_f64(at)).await;
        if let Some(action) = step["action"].as_str() {
            if action != "reload configuration" {
                return Err(format!("the test does not know the action {action:?}"));
            }
            let mut same = seen.clone();
            engine.reload(live(case, timeline, &mut same)?).await;
            continue;
        }
        let batch = step["alerts"].as_array().ok_or("a step without alerts")?;
        let accepted = intake::accept(&engine, batch.iter().map(|a| posted(a, timeline)).collect());
        engine.durable(accepted.commit).await?;
        if !accepted.refused.is_empty() {
            return Err(format!("refused: {:?}", accepted.refused));
        }
    }
    let want = case["want"].as_object().ok_or("nothing wanted")?;
    let windows = want
        .values()
        .flat_map(|windows| windows.as_array().into_iter().flatten());
    let end = windows
        .filter_map(|window| window["between"][1].as_f64())
        .fold(0.0, f64::max);
    tokio::time::sleep_until(timeline.start + Duration::from_secs_f64(end + tolerance)).await;
    engine.stop().await;
    running.await.map_err(|e| e.to_string())?;
    for (receiver, windows) in want {
        let seen = seen.get(receiver).ok_or("an unknown receiver")?.lock();
        compare(receiver, &seen, windows, tolerance)?;
    }
    Ok(())
}

fn start(
    case: &Value,
    timeline: Timeline,
    seen: &mut HashMap<String, Arc<Mutex<Vec<Seen>>>>,
) -> Result<Engine, String> {
    let live = live(case, timeline, seen)?;
    let settings = Settings {
        mode: Mode::Fallback,
        retention: Duration::from_secs(120 * 3600),
        silence_limits: Limits::default(),
        per_alertname_limit: 0,
    };
    let mut router = Router::new(settings, &live.config, timeline.base);
    router.resume(timeline.base);
    let clock = Clock::Simulated {
        base: timeline.base,
        start: timeline.start,
    };
    let metrics = Metrics::new(&telemetry::Registry::new(), false);
    Ok(Engine::new(
        router,
        Writer::discarding(),
        live,
        clock,
        metrics,
    ))
}

fn live(
    case: &Value,
    timeline: Timeline,
    seen: &mut HashMap<String, Arc<Mutex<Vec<Seen>>>>,
) -> Result<Live, String> {
    let mut yaml = case["config"]
        .as_str()
        .ok_or("no configuration")?
        .to_owned();
    for i in 1..=9 {
        yaml = yaml.replace(
            &format!("{{{{webhook{i}}}}}"),
            &format!("http://webhook{i}/"),
        );
    }
    let config = Config::parse(&yaml, Mode::Fallback, Path::new("")).map_err(|e| e.to_string())?;
    let mut receivers = HashMap::new();
    for receiver in &config.file.receivers {
        let mut integrations = Vec::new();
        for (index, webhook) in receiver.webhook_configs.iter().enumerate() {
            let url = webhook.url.expose();
            let name = url
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned();
            integrations.push(Integration {
                name: "webhook",
                index: index as u32,
                send_resolved: webhook.send_resolved,
                notifier: Box::new(Receiver {
                    timeline,
                    seen: Arc::clone(seen.entry(name.clone()).or_default()),
                    fail: case["fail"][&name].as_str().map(str::to_owned),
                    timeout: webhook.timeout.bound(),
                }),
                pace: alert_router::notify::pace::Pace::default(),
            });
        }
        receivers.insert(Arc::from(receiver.name.as_str()), integrations);
    }
    Ok(Live::new(config, receivers))
}

fn labels(value: &Value) -> Labels {
    Labels::from_pairs(
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().expect("text"))),
    )
}

fn posted(alert: &Value, timeline: Timeline) -> Posted<'static> {
    let at = |i: usize| alert["active"][i].as_f64().map(|s| timeline.at(s));
    Posted {
        labels: labels(&alert["labels"]),
        starts_at: at(0),
        ends_at: at(1),
        ..Posted::default()
    }
}

fn compare(name: &str, seen: &[Seen], windows: &Value, tolerance: f64) -> Result<(), String> {
    let windows = windows.as_array().ok_or("no windows")?;
    let wanted: Vec<&Value> = windows
        .iter()
        .filter(|window| {
            window["alerts"]
                .as_array()
                .is_some_and(|alerts| !alerts.is_empty())
        })
        .collect();
    let problem = |what: &str| {
        Err(format!(
            "{name}: {what}\nseen: {seen:#?}\nwanted: {windows:#?}"
        ))
    };
    if seen.len() != wanted.len() {
        return problem("another number of notifications");
    }
    for (seen, window) in seen.iter().zip(wanted) {
        let (from, to) = (window["between"][0].as_f64(), window["between"][1].as_f64());
        let (from, to) = (
            from.unwrap_or(0.0) - tolerance,
            to.unwrap_or(0.0) + tolerance,
        );
        if seen.at < from || seen.at > to {
            return problem(&format!("at {} instead of {from} to {to}", seen.at));
        }
        let mut rest: Vec<&Value> = window["alerts"].as_array().into_iter().flatten().collect();
        if rest.len() != seen.alerts.len() {
            return problem("another number of alerts");
        }
        for (got, start, end) in &seen.alerts {
            let near = |value: &Value, got: f64| {
                value
                    .as_f64()
                    .is_some_and(|want| (want - got).abs() <= tolerance)
            };
            let found = rest.iter().position(|alert| {
                let active = &alert["active"];
                labels(&alert["labels"]) == *got
                    && near(&active[0], *start)
                    && match end {
                        Some(end) => near(&active[1], *end),
                        None => active[1].is_null(),
                    }
            });
            match found {
                Some(i) => drop(rest.remove(i)),
                None => return problem(&format!("unexpected {got} {start} {end:?}")),
            }
        }
    }
    Ok(())
}
