//! Every `prometheus_tsdb_*` metric of upstream is there, under its type.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use tsdb::{Db, Options};

/// Names and types as Prometheus 3.5 writes them on its own page, with exemplar storage on:
/// `curl /metrics | grep '^# TYPE prometheus_tsdb_'`.
const UPSTREAM: &str = include_str!("../testdata/metrics.txt");

#[test]
fn upstreams_metrics_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.background = false;
    options.max_exemplars = 10;
    let db = Db::open(options).unwrap();
    let rendered = db.options().registry.render(None);
    let text = String::from_utf8(rendered.body).unwrap();
    let ours: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut missing = Vec::new();
    for line in UPSTREAM.lines() {
        let (name, kind) = line.split_once(' ').unwrap();
        if ours.get(name) != Some(&kind) {
            missing.push(format!("{name}: {kind}, ours {:?}", ours.get(name)));
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(UPSTREAM.lines().count() > 60);
}
