use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use model::Labels;
use parking_lot::Mutex as SyncMutex;
use rules::{Answer, CheckOptions, GroupDefaults, PartialResponse, RuleFile, Sample};
use telemetry::Registry;

use super::*;
use crate::query::Answers;

/// A server that answers every query with one sample, panics where a query says so, and remembers
/// what it was asked.
#[derive(Default)]
struct World {
    asked: SyncMutex<Vec<(String, i64, PartialResponse)>>,
    written: SyncMutex<Vec<Sample>>,
    /// How long an answer takes.
    slow_ms: AtomicUsize,
    down: AtomicBool,
    /// Takes batches; how many there were.
    batches: Option<AtomicUsize>,
}

struct Server(Arc<World>);

impl Source for Server {
    fn ask<'a>(
        &'a self,
        query: &'a str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        Box::pin(async move {
            self.0.asked.lock().push((query.to_owned(), t_ms, partial));
            let slow_ms = self.0.slow_ms.load(Ordering::Relaxed) as u64;
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
            assert!(!query.contains("panic"), "asked to panic");
            if self.0.down.load(Ordering::Relaxed) {
                return Err("away".to_owned());
            }
            if query.starts_with("ALERTS_FOR_STATE") {
                return Ok(Vec::new());
            }
            let labels = Labels::from([("job", "j")]);
            Ok(vec![Sample::float(labels, t_ms, 1.0)])
        })
    }

    fn ask_all(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        partial: PartialResponse,
        _: usize,
    ) -> BoxFuture<'_, Option<Answers>> {
        Box::pin(async move {
            self.0.batches.as_ref()?.fetch_add(1, Ordering::Relaxed);
            let mut answers = Vec::new();
            for (position, query) in queries.iter().enumerate() {
                let result = self.ask(query, t_ms, partial).await;
                let seconds = 0.5;
                answers.push((position, Answer { result, seconds }));
            }
            Some(stream::iter(answers).boxed())
        })
    }
}

impl Sink for Server {
    fn send(&self, samples: Vec<Sample>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if self.0.down.load(Ordering::Relaxed) {
                return Err("away".to_owned());
            }
            self.0.written.lock().extend(samples);
            Ok(())
        })
    }
}

struct Bench {
    world: Arc<World>,
    manager: Manager,
    registry: Registry,
}

fn bench() -> Bench {
    bench_on(World::default())
}

fn bench_on(world: World) -> Bench {
    let world = Arc::new(world);
    let registry = Registry::new();
    let shared = Shared {
        source: Box::new(Server(Arc::clone(&world))),
        sink: Box::new(Server(Arc::clone(&world))),
        notifier: Arc::new(Notifier::new(&registry, 10, 5)),
        context: ArcSwap::default(),
        metrics: RuleMetrics::register(&registry),
        limits: RestoreLimits::default(),
        resend_delay_ms: 60_000,
        concurrency: 4,
    };
    Bench {
        world,
        manager: Manager::new(Arc::new(shared)),
        registry,
    }
}

fn groups(text: &str) -> Vec<Group> {
    let file = RuleFile::parse(text, &CheckOptions::default()).unwrap();
    let defaults = GroupDefaults {
        interval_ms: 100,
        query_offset_ms: 0,
    };
    let build = |spec| Group::build(spec, "f.yml", defaults, promql::Features::default()).unwrap();
    file.groups.iter().map(build).collect()
}

impl Bench {
    async fn apply(&self, text: &str) {
        self.manager
            .apply(groups(text), AlertContext::default())
            .await;
    }

    async fn until(&self, what: &str, mut condition: impl FnMut(&World) -> bool) {
        for _ in 0..500 {
            if condition(&self.world) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain: {what}");
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.registry.render(None);
        let text = String::from_utf8_lossy(&page.body).into_owned();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.and_then(|v| v.parse().ok()).unwrap_or(f64::NAN)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_ask_with_their_strategy() {
    let bench = bench();
    bench
        .apply("groups: [{name: a, partial_response_strategy: warn, rules: [{record: r, expr: one}]}, {name: b, rules: [{record: r, expr: two}]}]")
        .await;
    let count =
        |world: &World, query: &str| world.asked.lock().iter().filter(|q| q.0 == query).count();
    bench
        .until("both are evaluated three times", |w| {
            count(w, "one") > 2 && count(w, "two") > 2
        })
        .await;
    for (query, _, partial) in bench.world.asked.lock().iter() {
        let warn = *partial == PartialResponse::Warn;
        assert_eq!(warn, query == "one", "{query}");
    }
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_panics_fails_alone() {
    let bench = bench();
    bench
        .apply("groups: [{name: a, rules: [{record: bad, expr: panic}, {alert: A, expr: good}]}]")
        .await;
    bench
        .until("the good rule is evaluated again and again", |w| {
            w.asked.lock().iter().filter(|q| q.0 == "good").count() > 2
        })
        .await;
    let view = bench.manager.groups().remove(0);
    let (bad, good) = (&view.rules[0], &view.rules[1]);
    let http_api::rules::Rule::Recording(bad) = bad else {
        panic!("order")
    };
    let http_api::rules::Rule::Alerting(good) = good else {
        panic!("order")
    };
    assert_eq!(bad.health, "err");
    assert!(bad.last_error.contains("panicked"), "{}", bad.last_error);
    assert_eq!(
        (good.health.as_str(), good.state.as_str()),
        ("ok", "firing")
    );
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_that_come_too_late_are_counted_as_missed() {
    let bench = bench();
    bench.world.slow_ms.store(350, Ordering::Relaxed);
    bench
        .apply("groups: [{name: a, rules: [{record: r, expr: one}]}]")
        .await;
    bench
        .until("a few evaluations", |w| w.asked.lock().len() > 3)
        .await;
    let missed = bench.metric("prometheus_rule_group_iterations_missed_total");
    let all = bench.metric("prometheus_rule_group_iterations_total");
    assert!(missed >= 4.0, "{missed} of {all}");
    assert!(all > missed, "{missed} of {all}");
    // What is not missed is still on the group's moments.
    let due_ms = groups("groups: [{name: a, rules: [{record: r, expr: one}]}]")[0]
        .due_at_or_before(1_000_000);
    for (_, t_ms, _) in bench.world.asked.lock().iter() {
        assert_eq!((t_ms - due_ms).rem_euclid(100), 0);
    }
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_touches_only_what_changed() {
    let bench = bench();
    let stays = "{name: stays, rules: [{alert: A, expr: one}]}";
    bench
        .apply(&format!("groups: [{stays}, {{name: goes, rules: [{{record: gone, expr: two}}]}}, {{name: changes, rules: [{{alert: B, expr: three}}, {{record: r, expr: four}}]}}]"))
        .await;
    bench
        .until("all have written", |w| {
            let names: Vec<String> = w
                .written
                .lock()
                .iter()
                .map(|s| s.labels.metric_name().to_owned())
                .collect();
            names.contains(&"gone".to_owned()) && names.contains(&"r".to_owned())
        })
        .await;
    bench
        .until("alerts fire", |_| {
            let states = bench.manager.groups();
            states
                .iter()
                .flat_map(|g| &g.rules)
                .filter(|rule| match rule {
                    http_api::rules::Rule::Alerting(rule) => rule.state == "firing",
                    http_api::rules::Rule::Recording(_) => false,
                })
                .count()
                == 2
        })
        .await;
    let since = |bench: &Bench| -> Vec<Option<i64>> {
        let groups = bench.manager.groups();
        let rules = groups.iter().flat_map(|g| &g.rules);
        rules
            .filter_map(|rule| match rule {
                http_api::rules::Rule::Alerting(rule) => rule.alerts.as_ref()?.first()?.active_at,
                http_api::rules::Rule::Recording(_) => None,
            })
            .map(Some)
            .collect()
    };
    let before = since(&bench);
    assert_eq!(before.len(), 2);
    bench
        .apply(&format!("groups: [{stays}, {{name: changes, rules: [{{alert: B, expr: three}}, {{record: other, expr: four}}]}}]"))
        .await;
    let ended = |w: &World, name: &str| {
        w.written
            .lock()
            .iter()
            .any(|s| s.labels.metric_name() == name && model::is_stale(s.as_float()))
    };
    bench
        .until("what is gone is marked", |w| {
            ended(w, "gone") && ended(w, "r")
        })
        .await;
    assert_eq!(since(&bench), before, "alerts go on as if nothing had been");
    assert!(!ended(&bench.world, "ALERTS"));
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_do_not_flap_while_the_store_is_away() {
    let bench = bench();
    bench
        .apply("groups: [{name: a, rules: [{alert: A, expr: one}]}]")
        .await;
    let state = |bench: &Bench| match &bench.manager.groups()[0].rules[0] {
        http_api::rules::Rule::Alerting(rule) => (rule.state.clone(), rule.health.clone()),
        http_api::rules::Rule::Recording(_) => panic!("an alert"),
    };
    bench
        .until("it fires", |_| state(&bench).0 == "firing")
        .await;
    bench.world.down.store(true, Ordering::Relaxed);
    bench
        .until("evaluations fail", |_| state(&bench).1 == "err")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(state(&bench), ("firing".to_owned(), "err".to_owned()));
    bench.world.down.store(false, Ordering::Relaxed);
    bench
        .until("evaluations go on", |_| state(&bench).1 == "ok")
        .await;
    assert_eq!(state(&bench).0, "firing");
    bench.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_ask_queries_while_a_batch_is_taken_in() {
    let bench = bench_on(World {
        batches: Some(AtomicUsize::new(0)),
        ..World::default()
    });
    bench
        .apply(
            "groups: [{name: a, rules: [{alert: A, expr: one, annotations: {n: '{{ query \"two\" | len }}'}}, {record: r, expr: three}]}]",
        )
        .await;
    let fires = |bench: &Bench| match &bench.manager.groups()[0].rules[0] {
        http_api::rules::Rule::Alerting(rule) => rule
            .alerts
            .as_ref()
            .is_some_and(|alerts| alerts.iter().any(|alert| alert.annotations.get("n") == "1")),
        http_api::rules::Rule::Recording(_) => panic!("an alert"),
    };
    bench
        .until("the alert has its text", |_| fires(&bench))
        .await;
    let batches = bench.world.batches.as_ref().unwrap();
    let asked = |query: &str| {
        let asked = bench.world.asked.lock();
        asked.iter().filter(|q| q.0 == query).count()
    };
    assert!(batches.load(Ordering::Relaxed) > 0);
    assert!(asked("two") > 0 && asked("three") > 0);
    bench.manager.stop().await;
}
