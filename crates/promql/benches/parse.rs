//! How fast queries are parsed and printed.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promql::{Features, parse_expr};

/// Queries of the kinds that dashboards and alert rules hold; none with a regular expression, whose
/// compilation would be most of the time.
const QUERIES: [(&str, &str); 4] = [
    (
        "selector",
        r#"node_cpu_seconds_total{job="node",instance="host1:9100",mode!="idle"}"#,
    ),
    (
        "rate",
        r#"sum by (instance, mode) (rate(node_cpu_seconds_total{job="node"}[5m]))"#,
    ),
    (
        "ratio",
        r#"100 * (1 - node_filesystem_avail_bytes{job="node",fstype!=""} / node_filesystem_size_bytes{job="node",fstype!=""}) > 90 and on (instance, device) predict_linear(node_filesystem_avail_bytes{job="node"}[6h], 4 * 3600) < 0"#,
    ),
    (
        "quantile",
        r#"histogram_quantile(0.99, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket{job="prometheus"}[5m] offset 1d))) or vector(0)"#,
    ),
];

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, query) in QUERIES {
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| parse_expr(black_box(query), Features::default()));
        });
    }
    group.finish();
}

fn print(c: &mut Criterion) {
    let mut group = c.benchmark_group("print");
    for (name, query) in QUERIES {
        let expr = parse_expr(query, Features::default()).expect("the query is valid");
        group.bench_function(name, |b| b.iter(|| black_box(&expr).to_string()));
    }
    group.finish();
}

criterion_group!(benches, parse, print);
criterion_main!(benches);
