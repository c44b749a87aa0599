use std::path::Path;

use super::*;

const CONFIG: &str = r#"
route: {receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 1h}
receivers: [{name: r}]
inhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname]}]
"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn router() -> Router {
    let config = Config::parse(CONFIG, Mode::Fallback, Path::new("")).unwrap();
    let settings = Settings {
        mode: Mode::Fallback,
        retention: Duration::from_secs(3600),
        silence_limits: Limits::default(),
        per_alertname_limit: 2,
    };
    Router::new(settings, &config, at(0))
}

fn alert(labels: &[(&str, &str)], start: i64, end: i64, updated: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::empty(),
        starts_at: at(start),
        ends_at: at(end),
        generator_url: Arc::from(""),
        updated_at: at(updated),
        timeout: true,
    }
}

fn put(router: &mut Router, alert: Alert, now: i64) -> Vec<Record> {
    let mut log = Vec::new();
    router.put(alert, at(now), &mut log).unwrap();
    log
}

#[test]
fn records_rebuild_the_state() {
    let mut first = router();
    let mut log = put(&mut first, alert(&[("alertname", "a")], 100, 400, 100), 100);
    let again = put(&mut first, alert(&[("alertname", "a")], 100, 415, 115), 115);
    assert!(matches!(again[..], [Record::Refresh { .. }]), "{again:?}");
    log.extend(again);
    let mut second = router();
    for record in log {
        second.replay(record);
    }
    let alerts = |router: &Router| router.alerts().cloned().collect::<Vec<_>>();
    assert_eq!(alerts(&first), alerts(&second));
    let mut third = router();
    first
        .snapshot(at(120))
        .into_iter()
        .for_each(|record| third.replay(record));
    assert_eq!(alerts(&first), alerts(&third));
}

#[test]
fn nothing_is_resolved_because_the_router_was_away() {
    let mut log = Vec::new();
    let mut before = router();
    log.extend(put(
        &mut before,
        alert(&[("alertname", "fires")], 100, 400, 100),
        100,
    ));
    log.extend(put(
        &mut before,
        alert(&[("alertname", "ended")], 100, 90 + 20, 120),
        120,
    ));
    log.extend(put(
        &mut before,
        alert(&[("alertname", "expired")], 0, 105, 5),
        105,
    ));
    log.push(Record::Alive(at(130)));
    let mut after = router();
    log.into_iter().for_each(|record| after.replay(record));
    after.resume(at(5_000));
    let end = |name: &str| {
        let mut alerts = after.alerts();
        alerts.find(|a| a.name() == name).unwrap().ends_at
    };
    assert_eq!(
        end("fires"),
        at(5_300),
        "as long again as its sender gave it"
    );
    assert_eq!(end("ended"), at(110), "its sender said so");
    assert_eq!(
        end("expired"),
        at(105),
        "it ran out while the router was there"
    );
}

#[test]
fn a_group_flushes_after_its_wait_and_at_its_interval() {
    let mut router = router();
    put(
        &mut router,
        alert(&[("alertname", "a")], 100, 4000, 100),
        100,
    );
    assert_eq!(router.next_tick(), Some(at(110)));
    assert!(router.due(at(109)).is_empty());
    let flush = router.due(at(110)).remove(0);
    assert_eq!(&*flush.key, r#"{}:{alertname="a"}"#);
    // It is busy: its next tick is made up for when it is done.
    assert!(router.due(at(170)).is_empty());
    router.finished(&flush, true, at(175));
    assert_eq!(router.due(at(175)).len(), 1);
    // An old alert of a new group does not wait.
    put(
        &mut router,
        alert(&[("alertname", "b")], 100, 4000, 180),
        180,
    );
    assert_eq!(router.next_tick(), Some(at(180)));
}

#[test]
fn resolved_alerts_leave_when_they_are_sent() {
    let mut router = router();
    put(
        &mut router,
        alert(&[("alertname", "a"), ("i", "1")], 100, 105, 106),
        106,
    );
    put(
        &mut router,
        alert(&[("alertname", "a"), ("i", "2")], 100, 9000, 106),
        106,
    );
    let flush = router.due(at(116)).remove(0);
    assert_eq!(flush.alerts.iter().filter(|f| f.resolved).count(), 1);
    router.finished(&flush, false, at(117));
    assert_eq!(
        router.groups().next().unwrap().alerts().count(),
        2,
        "not sent: kept"
    );
    let flush = router.due(at(176)).remove(0);
    router.finished(&flush, true, at(177));
    assert_eq!(router.groups().next().unwrap().alerts().count(), 1);
}

#[test]
fn what_is_held_back_and_why() {
    let mut router = router();
    put(
        &mut router,
        alert(&[("alertname", "a"), ("severity", "critical")], 1, 9000, 1),
        1,
    );
    put(
        &mut router,
        alert(&[("alertname", "a"), ("severity", "warning")], 1, 9000, 1),
        1,
    );
    let flush = router.due(at(20)).remove(0);
    let passed = router.pass(&flush, at(20));
    assert_eq!(passed.alerts.len(), 1);
    assert_eq!(passed.suppressed, [("inhibition", 1)]);
    let silence = Silence {
        id: String::new(),
        matcher_sets: vec![Mode::Fallback.parse_list("severity=critical").unwrap()],
        starts_at: at(0),
        ends_at: at(100),
        updated_at: at(0),
        created_by: String::new(),
        comment: String::new(),
        annotations: Labels::empty(),
    };
    let mut log = Vec::new();
    router
        .set_silence(silence, || "id".to_owned(), at(21), &mut log)
        .unwrap();
    let passed = router.pass(&flush, at(21));
    assert!(passed.alerts.is_empty());
    assert_eq!(passed.suppressed, [("inhibition", 1), ("silence", 1)]);
    assert_eq!(router.count_alerts(at(21)), (0, 2));
}

#[test]
fn alerts_of_one_name_are_bounded() {
    let mut router = router();
    for i in ["1", "2"] {
        put(
            &mut router,
            alert(&[("alertname", "a"), ("i", i)], 1, 50, 1),
            1,
        );
    }
    let mut log = Vec::new();
    let third = alert(&[("alertname", "a"), ("i", "3")], 1, 50, 1);
    assert_eq!(
        router.put(third.clone(), at(1), &mut log),
        Err(Refusal::Limited(2))
    );
    router.collect_alerts(at(60), &mut log);
    assert!(router.put(third, at(60), &mut log).is_ok());
}
