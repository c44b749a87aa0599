use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::restore::{RestoreLimits, StateSample};
use crate::source::{Answer, QuerySource};
use crate::state::AlertState;
use crate::{CheckOptions, RuleFile};

type Table = Result<Vec<(Labels, f64)>, String>;

/// Answers queries from a table by their text, and keeps what is written.
#[derive(Default)]
struct World {
    answers: Mutex<BTreeMap<String, Table>>,
    written: Mutex<Vec<Sample>>,
    asked: Mutex<Vec<String>>,
    /// Where batches are taken: their queries.
    batches: Option<Mutex<Vec<Vec<String>>>>,
    /// A query that gets no answer in a batch.
    forgets: &'static str,
}

impl World {
    fn answer(&self, query: &str, samples: &[(Labels, f64)]) {
        self.answers
            .lock()
            .unwrap()
            .insert(query.to_owned(), Ok(samples.to_vec()));
    }

    fn fail(&self, query: &str, error: &str) {
        self.answers
            .lock()
            .unwrap()
            .insert(query.to_owned(), Err(error.to_owned()));
    }

    fn take(&self) -> Vec<String> {
        let mut lines: Vec<String> = std::mem::take(&mut *self.written.lock().unwrap())
            .into_iter()
            .map(|s| {
                let v = s.as_float();
                let v = if model::is_stale(v) {
                    "stale".to_owned()
                } else {
                    v.to_string()
                };
                format!("{} {} {v}", s.labels, s.t_ms)
            })
            .collect();
        lines.sort();
        lines
    }
}

impl QuerySource for World {
    fn instant(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        self.asked.lock().unwrap().push(query.to_owned());
        let answers = self.answers.lock().unwrap();
        let found = answers
            .get(query)
            .cloned()
            .unwrap_or_else(|| Ok(Vec::new()))?;
        Ok(found
            .into_iter()
            .map(|(labels, v)| Sample::float(labels, t_ms, v))
            .collect())
    }

    fn batch(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        concurrency: usize,
        take: &mut dyn FnMut(usize, Answer),
    ) -> bool {
        assert_eq!(concurrency, 4);
        let Some(batches) = &self.batches else {
            return false;
        };
        // The last one first: the order means nothing.
        for (position, query) in queries.iter().enumerate().rev() {
            if query != self.forgets {
                let result = self.instant(query, t_ms);
                let seconds = 2.0;
                take(position, Answer { result, seconds });
            }
        }
        // What nobody asked for.
        let result = Ok(Vec::new());
        take(
            queries.len(),
            Answer {
                result,
                seconds: 0.0,
            },
        );
        batches.lock().unwrap().push(queries);
        true
    }
}

impl SampleSink for World {
    fn write(&self, samples: Vec<Sample>) -> Result<(), String> {
        self.written.lock().unwrap().extend(samples);
        Ok(())
    }
}

fn groups(yaml: &str) -> Vec<Group> {
    let file = RuleFile::parse(yaml, &CheckOptions::default()).unwrap();
    let defaults = GroupDefaults {
        interval_ms: 60_000,
        query_offset_ms: 0,
    };
    let build = |g: &GroupSpec| Group::build(g, "rules.yml", defaults, promql::Features::default());
    file.groups.iter().map(|g| build(g).unwrap()).collect()
}

fn group_of(rules: &str) -> Group {
    groups(&format!(
        "groups: [{{name: g, interval: 10s, rules: [{rules}]}}]"
    ))
    .remove(0)
}

fn evaluate(group: &mut Group, world: &World, t_ms: i64) -> Outcome {
    let context = AlertContext {
        external_labels: Labels::empty(),
        external_url: "http://x".into(),
    };
    let clock = Mutex::new(0.0);
    let run = Evaluation {
        source: world,
        sink: world,
        context: &context,
        concurrency: 4,
        stopwatch: &|| {
            let mut now = clock.lock().unwrap();
            *now += 0.5;
            *now
        },
        resend_delay_ms: 60_000,
        outage_tolerance_ms: 600_000,
    };
    group.evaluate(t_ms, &run)
}

fn restored(mut group: Group) -> Group {
    for entry in &mut group.entries {
        if let Rule::Alerting(rule) = &mut entry.rule {
            rule.restored = true;
        }
    }
    group
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    Labels::from(pairs)
}

fn only_alert(group: &Group) -> crate::ActiveAlert {
    match &group.entries[0].rule {
        Rule::Alerting(rule) => rule
            .active
            .values()
            .next()
            .expect("there is an alert")
            .clone(),
        Rule::Recording(_) => panic!("the rule is an alerting rule"),
    }
}

#[test]
fn a_recorded_series_that_vanishes_is_marked_stale_once() {
    let world = World::default();
    let mut group = group_of("{record: r, expr: up, labels: {x: y}}");
    world.answer("up", &[(labels([("__name__", "up"), ("a", "1")]), 3.0)]);
    evaluate(&mut group, &world, 10_000);
    assert_eq!(world.take(), [r#"{__name__="r", a="1", x="y"} 10000 3"#]);
    world.answer("up", &[]);
    evaluate(&mut group, &world, 20_000);
    assert_eq!(
        world.take(),
        [r#"{__name__="r", a="1", x="y"} 20000 stale"#]
    );
    evaluate(&mut group, &world, 30_000);
    assert!(world.take().is_empty());
}

#[test]
fn a_failing_rule_keeps_its_series_and_the_others_go_on() {
    let world = World::default();
    let mut group = group_of("{record: r, expr: bad}, {record: s, expr: good}");
    world.answer("bad", &[(labels([("a", "1")]), 1.0)]);
    world.answer("good", &[(labels([("a", "1")]), 2.0)]);
    evaluate(&mut group, &world, 10_000);
    world.take();
    world.fail("bad", "no such thing");
    let outcome = evaluate(&mut group, &world, 20_000);
    assert_eq!(outcome.failures, [(0, "no such thing".to_owned())]);
    assert_eq!(group.entries[0].health, Health::Bad("no such thing".into()));
    assert_eq!(world.take(), [r#"{__name__="s", a="1"} 20000 2"#]);
}

#[test]
fn duplicates_and_limits_are_errors_in_upstreams_words() {
    let world = World::default();
    let two = [(labels([("a", "1")]), 1.0), (labels([("a", "2")]), 1.0)];
    world.answer("up", &two);
    let mut group = group_of(r#"{record: r, expr: up, labels: {a: ""}}"#);
    let outcome = evaluate(&mut group, &world, 10_000);
    let same = "vector contains metrics with the same labelset after applying rule labels";
    assert_eq!(outcome.failures, [(0, same.to_owned())]);
    let mut limited = groups(
        "groups: [{name: g, limit: 1, rules: [{record: r, expr: up}, {alert: A, expr: up}]}]",
    )
    .remove(0);
    let outcome = evaluate(&mut limited, &world, 10_000);
    let texts: Vec<&str> = outcome.failures.iter().map(|(_, e)| e.as_str()).collect();
    assert_eq!(
        texts,
        [
            "exceeded limit of 1 with 2 series",
            "exceeded limit of 1 with 2 alerts"
        ]
    );
}

#[test]
fn an_alert_is_pending_then_firing_then_resolved() {
    let world = World::default();
    let mut group = restored(group_of(
        r#"{alert: Down, expr: up == 0, for: 20s, labels: {severity: page}, annotations: {summary: "{{ $labels.a }} is {{ $value }}"}}"#,
    ));
    let down = [(labels([("__name__", "up"), ("a", "1")]), 0.0)];
    world.answer("up == 0", &down);
    assert!(evaluate(&mut group, &world, 10_000).alerts.is_empty());
    assert_eq!(
        world.take(),
        [
            r#"{__name__="ALERTS", a="1", alertname="Down", alertstate="pending", severity="page"} 10000 1"#,
            r#"{__name__="ALERTS_FOR_STATE", a="1", alertname="Down", severity="page"} 10000 10"#,
        ]
    );
    evaluate(&mut group, &world, 20_000);
    world.take();
    let alerts = evaluate(&mut group, &world, 30_000).alerts;
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        alerts[0].labels.to_string(),
        r#"{a="1", alertname="Down", severity="page"}"#
    );
    assert_eq!(alerts[0].annotations.get("summary"), "1 is 0");
    assert_eq!(
        (alerts[0].starts_at_ms, alerts[0].ends_at_ms),
        (30_000, Some(270_000))
    );
    assert_eq!(
        alerts[0].generator_url,
        "http://x/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
    );
    let lines = world.take();
    assert!(
        lines
            .iter()
            .any(|l| l.contains("pending") && l.ends_with("stale")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|l| l.contains("firing") && l.ends_with(" 1")),
        "{lines:?}"
    );
    // Not again before the resend delay is over.
    assert!(evaluate(&mut group, &world, 40_000).alerts.is_empty());
    assert_eq!(evaluate(&mut group, &world, 100_000).alerts.len(), 1);
    world.answer("up == 0", &[]);
    let alerts = evaluate(&mut group, &world, 110_000).alerts;
    assert_eq!(alerts[0].ends_at_ms, Some(110_000));
    // Resolved alerts are sent again for a quarter of an hour, then forgotten.
    assert_eq!(evaluate(&mut group, &world, 200_000).alerts.len(), 1);
    evaluate(
        &mut group,
        &world,
        110_000 + crate::RESOLVED_RETENTION_MS + 1,
    );
    assert!(matches!(&group.entries[0].rule, Rule::Alerting(r) if r.active.is_empty()));
}

#[test]
fn alerts_go_on_being_sent_while_the_store_is_away_for_as_long_as_it_is_bearable() {
    let world = World::default();
    let mut group = restored(group_of("{alert: A, expr: up == 0}"));
    world.answer("up == 0", &[(labels([("job", "j")]), 0.0)]);
    let sent = |outcome: Outcome| -> Vec<(i64, Option<i64>)> {
        let alerts = outcome.alerts.iter();
        alerts.map(|a| (a.starts_at_ms, a.ends_at_ms)).collect()
    };
    let valid = Some(240_000);
    assert_eq!(sent(evaluate(&mut group, &world, 0)), [(0, valid)]);
    world.fail("up == 0", "away");
    assert_eq!(sent(evaluate(&mut group, &world, 60_000)), []);
    assert_eq!(
        sent(evaluate(&mut group, &world, 70_000)),
        [(0, valid.map(|v| v + 70_000))]
    );
    assert_eq!(only_alert(&group).state, AlertState::Firing);
    // Ten minutes are borne, and no more.
    assert_eq!(sent(evaluate(&mut group, &world, 600_000)).len(), 1);
    assert_eq!(sent(evaluate(&mut group, &world, 670_000)), []);
    world.answer("up == 0", &[(labels([("job", "j")]), 0.0)]);
    assert_eq!(sent(evaluate(&mut group, &world, 680_000)).len(), 1);
}

#[test]
fn keep_firing_for_bridges_gaps() {
    let world = World::default();
    let mut group = restored(group_of("{alert: A, expr: up, keep_firing_for: 30s}"));
    world.answer("up", &[(Labels::empty(), 1.0)]);
    evaluate(&mut group, &world, 10_000);
    world.answer("up", &[]);
    for t_ms in [20_000, 40_000] {
        evaluate(&mut group, &world, t_ms);
        assert_eq!(only_alert(&group).state, AlertState::Firing, "{t_ms}");
    }
    evaluate(&mut group, &world, 50_000);
    assert_eq!(only_alert(&group).state, AlertState::Inactive);
}

#[test]
fn rules_that_read_each_other_are_evaluated_in_order() {
    let group = group_of(
        "{record: a, expr: up}, {record: b, expr: sum(a)}, {record: c, expr: up}, {record: d, expr: 'b + c'}, {alert: E, expr: 'ALERTS > 0'}",
    );
    assert_eq!(group.levels, [vec![0, 2, 4], vec![1], vec![3]]);
    // The first rule reads what the second one wrote in the round before: it must not come later.
    let group = group_of("{record: a, expr: b}, {record: b, expr: up}");
    assert_eq!(group.levels, [vec![0, 1]]);
    // A selector without a name may read everything.
    let group = group_of("{record: a, expr: up}, {record: b, expr: 'count({job=\"x\"})'}");
    assert_eq!(group.levels, [vec![0], vec![1]]);
}

#[test]
fn a_reload_keeps_the_state_of_what_stays() {
    let world = World::default();
    let mut old = restored(group_of(
        "{alert: A, expr: up, for: 20s}, {record: gone, expr: up}",
    ));
    world.answer("up", &[(Labels::empty(), 1.0)]);
    evaluate(&mut old, &world, 10_000);
    world.take();
    let mut new = group_of("{record: new, expr: down}, {alert: A, expr: up, for: 20s}");
    assert!(!new.same_definition(&old));
    new.take_state(old);
    let outcome = evaluate(&mut new, &world, 30_000);
    assert_eq!(
        outcome.alerts.len(),
        1,
        "the alert had been pending for 20 s"
    );
    assert!(
        world
            .take()
            .contains(&r#"{__name__="gone"} 30000 stale"#.to_owned())
    );
}

#[test]
fn the_state_of_for_survives_a_restart() {
    let limits = RestoreLimits::default();
    let (minute, hour) = (60_000, 3_600_000);
    // hold, time waited before, absence -> how long the alert has waited when it is restored.
    for (hold, waited, absent, expected) in [
        // A restart, not an outage: the time goes on, absence included.
        (30_000, 20_000, 10_000, 30_000),
        (hour, 10 * minute, minute, 11 * minute),
        // An outage: a short `for` starts over (the alert was found 5 s ago).
        (30_000, 20_000, 5 * minute, 5_000),
        // A long `for`: the absence does not count,
        (hour, 20 * minute, 5 * minute, 20 * minute),
        // it waits at least for the grace period,
        (hour, 55 * minute, 5 * minute, 50 * minute),
        // and what fired goes on firing.
        (hour, 2 * hour, 5 * minute, 2 * hour + 5 * minute),
    ] {
        let world = World::default();
        let mut group = group_of(&format!("{{alert: A, expr: up, for: {}s}}", hold / 1000));
        world.answer("up", &[(labels([("a", "1")]), 1.0)]);
        let now = 100 * hour;
        evaluate(&mut group, &world, now - 5_000);
        assert!(
            world.take().is_empty(),
            "nothing is written before the state is known"
        );
        let Rule::Alerting(rule) = &mut group.entries[0].rule else {
            panic!("an alerting rule")
        };
        let state = StateSample {
            labels: labels([
                ("__name__", "ALERTS_FOR_STATE"),
                ("alertname", "A"),
                ("a", "1"),
            ]),
            t_ms: now - absent,
            active_at_s: ((now - absent - waited) / 1000) as f64,
        };
        rule.restore(now, &limits, &[state]);
        let got = now - only_alert(&group).active_at_ms;
        assert_eq!(
            got, expected,
            "hold {hold}, waited {waited}, absent {absent}"
        );
    }
}

#[test]
fn groups_keep_their_place_in_the_interval() {
    let group = group_of("{record: a, expr: up}");
    let due = group.due_at_or_before(1_000_000_007);
    assert!(due <= 1_000_000_007 && due > 1_000_000_007 - 10_000);
    assert_eq!(group.due_at_or_before(due + 9_999), due);
    assert_eq!(group.due_at_or_before(due + 10_000), due + 10_000);
}

#[test]
fn a_level_is_one_batch_and_what_depends_on_it_the_next() {
    let world = World {
        batches: Some(Mutex::default()),
        ..World::default()
    };
    world.answer("x", &[(Labels::from([("a", "1")]), 3.0)]);
    let mut group = group_of(
        "{record: one, expr: x}, {record: two, expr: one * 2}, {alert: A, expr: x > 2}, {record: three, expr: one + two}",
    );
    let outcome = evaluate(&mut group, &world, 10_000);
    assert_eq!(outcome.failures, []);
    let batches = world.batches.as_ref().unwrap().lock().unwrap();
    assert_eq!(
        *batches,
        [vec!["x", "x > 2"], vec!["one * 2"], vec!["one + two"]]
    );
    // The server's time, and that of moving the rule on by our clock.
    assert_eq!(group.entries[0].evaluation_seconds, 2.5);
}

#[test]
fn rules_of_a_batch_fail_alone() {
    let world = World {
        batches: Some(Mutex::default()),
        forgets: "lost",
        ..World::default()
    };
    let twice = [("a", "1"), ("a", "2")].map(|pair| (Labels::from([pair]), 1.0));
    world.answer("x", &twice[..1]);
    world.answer("twice", &twice);
    world.fail("broken", "many-to-many");
    let mut group = group_of(
        "{record: r0, expr: x}, {record: r1, expr: broken}, {record: r2, expr: lost}, \
         {record: r3, expr: twice, labels: {a: same}}, {record: r4, expr: x}",
    );
    let outcome = evaluate(&mut group, &world, 10_000);
    let failed: Vec<(usize, &str)> = outcome
        .failures
        .iter()
        .map(|(i, error)| (*i, error.as_str()))
        .collect();
    assert_eq!(
        failed,
        [
            (1, "many-to-many"),
            (2, "the query was not answered"),
            (
                3,
                "vector contains metrics with the same labelset after applying rule labels"
            ),
        ]
    );
    assert_eq!(
        world.take(),
        [
            r#"{__name__="r0", a="1"} 10000 1"#,
            r#"{__name__="r4", a="1"} 10000 1"#
        ]
    );
    let health: Vec<&str> = group.entries.iter().map(|e| e.health.as_str()).collect();
    assert_eq!(health, ["ok", "err", "err", "err", "ok"]);
}

#[test]
fn batches_and_single_queries_come_to_the_same() {
    let rules = "{record: r, expr: x, labels: {l: v}}, {record: s, expr: r}, \
                 {alert: A, expr: y, for: 15s, annotations: {n: '{{ query \"x\" | len }}'}}, {alert: B, expr: x}";
    let run = |batches: bool| {
        let world = World {
            batches: batches.then(Mutex::default),
            ..World::default()
        };
        let mut group = restored(group_of(rules));
        let mut told = Vec::new();
        for step in 0..8 {
            let labels = |v: i64| Labels::from([("a", v.to_string())]);
            world.answer("x", &[(labels(step % 3), step as f64), (labels(7), 1.0)]);
            match step {
                2 => world.fail("y", "away"),
                5 => world.answer("y", &[]),
                _ => world.answer("y", &[(labels(1), 1.0)]),
            }
            let outcome = evaluate(&mut group, &world, step * 10_000);
            told.push(format!(
                "{:?} {:?} {} {:?}",
                outcome.alerts,
                outcome.failures,
                outcome.samples,
                world.take()
            ));
        }
        told
    };
    assert_eq!(run(true), run(false));
}
