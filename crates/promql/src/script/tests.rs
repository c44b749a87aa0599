use super::*;
use crate::parse::SequenceValue;

#[test]
fn start_timestamps_are_relative_to_their_samples() {
    let script = Script::parse("load 1m\n  a@st _ -30s -1m-1sx1\n  a 1 2 3 4\n").unwrap();
    let [Command::Load { load, .. }] = &script.commands[..] else {
        panic!("one load");
    };
    let store = Store::new();
    load.store(&store).unwrap();
    let querier = storage::Queryable::querier(&store, i64::MIN, i64::MAX).unwrap();
    let set = querier
        .select(true, &storage::SelectHints::default(), &[])
        .unwrap();
    let mut columns = storage::Columns::default();
    set.series[0]
        .decode(i64::MIN, i64::MAX, &mut columns)
        .unwrap();
    assert_eq!(columns.float_ms, [0, 60_000, 120_000, 180_000]);
    assert_eq!(columns.floats, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(columns.float_start_ms, [0, 30_000, 60_000, 119_000]);
}

#[test]
fn refuses_what_is_not_of_the_language() {
    for script in [
        "lod 5m",
        "load",
        "load 5x",
        "load 5m\n  a@st 0s\n",
        "load 5m\n  a@st 0s\n  b 1\n",
        "load 5m\n  a@st 0s 0s\n  a 1\n",
        "load 5m\n  a{\n",
        "eval instant a",
        "eval instant at 5 a",
        "eval range from 10m to 5m step 1m a",
        "eval instant at 5m a\n  expect nothing\n",
        "eval instant at 5m a\n  expect warn\n  expect no_warn\n",
        "eval instant at 5m a\n  a 1 2\n",
        "eval instant at 5m a\n  expect string 'x\n",
    ] {
        assert!(Script::parse(script).is_err(), "{script}");
    }
}

#[test]
fn values_compare_with_tolerance() {
    for (a, b, equal) in [
        (1.0, 1.000_001, true),
        (1.0, 1.000_01, false),
        (0.0, 1e-300, false),
        (f64::NAN, f64::NAN, true),
        (f64::NAN, model::STALE_NAN, false),
        (model::STALE_NAN, model::STALE_NAN, true),
        (f64::INFINITY, f64::INFINITY, true),
        (f64::MAX, f64::INFINITY, false),
    ] {
        assert_eq!(almost_equal(a, b, EPSILON), equal, "{a} {b}");
    }
}

#[test]
fn the_store_refuses_what_upstreams_would() {
    use storage::{AppendError, Appendable};
    let store = Store::new();
    let labels = model::Labels::from([("a", "b")]);
    let mut batch = store.appender();
    batch.append(0, &labels, 0, 10, 1.0).unwrap();
    assert_eq!(batch.append(0, &labels, 0, 10, 1.0), Ok(0));
    assert_eq!(
        batch.append(0, &labels, 0, 10, 2.0),
        Err(AppendError::Duplicate(None))
    );
    assert_eq!(
        batch.append(0, &labels, 0, 9, 2.0),
        Err(AppendError::OutOfOrder)
    );
    assert!(store.is_empty());
    batch.commit().unwrap();
    assert_eq!(store.len(), 1);
    let mut load = Load::new(1000, false);
    load.add(labels, vec![SequenceValue::Float(2.0)], None);
    assert!(load.store(&store).is_err());
}

#[test]
fn counter_reset_hints_are_those_of_chunks() {
    use model::CounterResetHint::{Gauge, NotCounterReset, Unknown};
    let script = Script::parse(
        "load 1m\n  a {{count:0}}+{{count:1}}x2 {{count:1}} {{count:2}} stale {{count:3}} {{count:3 counter_reset_hint:gauge}} {{count:4}} 1 {{count:5}} {{count:6 counter_reset_hint:reset}}\n",
    )
    .unwrap();
    let [Command::Load { load, .. }] = &script.commands[..] else {
        panic!("one load");
    };
    let store = Store::new();
    load.store(&store).unwrap();
    let querier = storage::Queryable::querier(&store, i64::MIN, i64::MAX).unwrap();
    let set = querier
        .select(true, &storage::SelectHints::default(), &[])
        .unwrap();
    let mut columns = storage::Columns::default();
    set.series[0]
        .decode(i64::MIN, i64::MAX, &mut columns)
        .unwrap();
    let hints: Vec<_> = columns
        .histograms
        .iter()
        .map(|h| h.counter_reset_hint)
        .collect();
    assert_eq!(columns.floats, [1.0]);
    assert_eq!(
        hints,
        [
            Unknown,
            NotCounterReset,
            NotCounterReset,
            Unknown,
            NotCounterReset,
            Unknown,
            Unknown,
            Gauge,
            Unknown,
            Unknown,
            Unknown
        ]
    );
}
