use super::*;
use crate::mapper::{HistogramOptions, SummaryOptions};

const LIMITS: Limits = Limits {
    per_metric: 3,
    total: 5,
    set_window: Duration::from_secs(60),
};

fn update<'a>(name: &'a str, labels: &'a [(&'a str, &'a str)], change: Change<'a>) -> Update<'a> {
    Update {
        name,
        labels,
        change,
        help: "h",
        ttl: Duration::ZERO,
        generation: 0,
        now: Duration::ZERO,
    }
}

fn summary() -> Arc<Observer> {
    Arc::new(Observer::Summary(SummaryOptions {
        quantiles: vec![(0.5, 0.05)],
        max_age: Duration::ZERO,
        age_buckets: 0,
        buf_cap: 0,
    }))
}

fn histogram(buckets: &[f64]) -> Arc<Observer> {
    Arc::new(Observer::Histogram(HistogramOptions {
        buckets: buckets.to_vec(),
        native_factor: 0.0,
        native_max_buckets: 0,
    }))
}

fn page(store: &Store, now: u64) -> String {
    let registry = telemetry::Registry::new();
    let families = store.collect(Duration::from_secs(now));
    registry.collector(move || families.clone());
    String::from_utf8(registry.render(None).body).unwrap()
}

#[test]
fn conflicts() {
    let store = Store::new(
        Limits {
            per_metric: 0,
            total: 0,
            ..LIMITS
        },
        ["process_x".to_owned()],
    );
    let observer = summary();
    let buckets = histogram(&[1.0]);
    let mut key = Vec::new();
    let mut check = |name: &str, label: &str, change: Change<'_>, expected: Outcome| {
        let outcome = store.apply(&update(name, &[(label, "v")], change), &mut key);
        assert_eq!(outcome, expected, "{name} {label} {change:?}");
    };
    use Outcome::{Applied, Conflict};
    check("x", "l", Change::Count(1.0), Applied);
    check("x", "other", Change::Count(1.0), Applied);
    check("x", "l", Change::Set(1.0), Conflict);
    check("s", "l", Change::Observe(1.0, 1, &observer), Applied);
    check("s_sum", "l", Change::Set(1.0), Conflict);
    check("s_bucket", "l", Change::Set(1.0), Applied);
    check("t_count", "l", Change::Set(1.0), Applied);
    check("t", "l", Change::Observe(1.0, 1, &observer), Conflict);
    check("h_bucket", "l", Change::Set(1.0), Applied);
    check("h", "l", Change::Observe(1.0, 1, &buckets), Conflict);
    check(
        "q",
        "quantile",
        Change::Observe(1.0, 1, &observer),
        Conflict,
    );
    check("q", "le", Change::Observe(1.0, 1, &buckets), Conflict);
    check("n", "__name__", Change::Set(1.0), Conflict);
    check("process_x", "l", Change::Set(1.0), Conflict);
    check(
        "statsd_exporter_lines_total",
        "l",
        Change::Count(1.0),
        Conflict,
    );
    check("", "l", Change::Count(1.0), Conflict);
    assert_eq!(store.metrics(Kind::Counter), 2);
}

#[test]
fn a_flood_is_bounded() {
    let store = Store::new(LIMITS, []);
    let mut key = Vec::new();
    let mut limited = 0;
    for i in 0..1000 {
        let value = i.to_string();
        let outcome = store.apply(&update("a", &[("l", &value)], Change::Count(1.0)), &mut key);
        limited += usize::from(outcome == Outcome::Limited);
    }
    assert_eq!((store.series(), limited), (3, 997));
    for name in ["b", "c", "d", "e"] {
        store.apply(&update(name, &[], Change::Set(1.0)), &mut key);
    }
    assert_eq!(store.series(), 5);
    // What is known goes on.
    let known = update("a", &[("l", "0")], Change::Count(2.0));
    assert_eq!(store.apply(&known, &mut key), Outcome::Applied);
    assert!(page(&store, 0).contains("a{l=\"0\"} 3\n"));
}

#[test]
fn time_to_live() {
    let store = Store::new(LIMITS, []);
    let mut key = Vec::new();
    let mut with_ttl = update("a", &[], Change::Count(1.0));
    with_ttl.ttl = Duration::from_secs(10);
    store.apply(&with_ttl, &mut key);
    store.apply(&update("b", &[], Change::Count(1.0)), &mut key);
    store.sweep(Duration::from_secs(10));
    assert_eq!(store.series(), 2);
    store.sweep(Duration::from_secs(11));
    assert_eq!(page(&store, 11), "# HELP b h\n# TYPE b counter\nb 1\n");
    // The name is free again.
    assert_eq!(
        store.apply(&update("a", &[], Change::Set(4.0)), &mut key),
        Outcome::Applied
    );
}

#[test]
fn sets_count_distinct_values_of_the_window() {
    let store = Store::new(LIMITS, []);
    let mut key = Vec::new();
    for (value, now) in [("x", 0), ("y", 0), ("x", 30), ("z", 50)] {
        let mut member = update("users", &[], Change::Member(value));
        member.now = Duration::from_secs(now);
        store.apply(&member, &mut key);
    }
    assert!(page(&store, 50).ends_with("# TYPE users gauge\nusers 3\n"));
    assert!(page(&store, 70).ends_with("users 2\n"));
    assert!(page(&store, 200).ends_with("users 0\n"));
}

#[test]
fn options_change_with_a_reload_only() {
    let store = Store::new(LIMITS, []);
    let mut key = Vec::new();
    let (old, new, other) = (histogram(&[1.0]), histogram(&[2.0]), summary());
    let mut observe = |observer: &Arc<Observer>, generation| {
        let mut observed = update("d", &[], Change::Observe(1.5, 1, observer));
        observed.generation = generation;
        store.apply(&observed, &mut key)
    };
    observe(&old, 0);
    observe(&new, 0);
    assert!(page(&store, 0).contains("d_bucket{le=\"1\"} 0\nd_bucket{le=\"+Inf\"} 2\n"));
    observe(&new, 1);
    assert!(page(&store, 0).contains("d_bucket{le=\"2\"} 1\nd_bucket{le=\"+Inf\"} 1\n"));
    // From a listener that is late.
    observe(&old, 0);
    assert!(page(&store, 0).contains("d_bucket{le=\"2\"} 2\nd_bucket{le=\"+Inf\"} 2\n"));
    assert_eq!(observe(&other, 1), Outcome::Conflict);
    assert_eq!(observe(&other, 2), Outcome::Applied);
    assert!(page(&store, 0).contains("# TYPE d summary\n"));
}

/// A series lies in one cache line: most of what an update costs is to fetch it.
#[test]
fn a_series_is_small() {
    assert!(size_of::<Series>() <= 56, "{}", size_of::<Series>());
}
