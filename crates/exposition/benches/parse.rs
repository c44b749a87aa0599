//! Nanoseconds a sample: `cargo bench -p exposition`.

use std::collections::HashSet;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exposition::{Entry, LabelBuf, MediaType, ParseOptions, Parser};

/// A page like a node exporter's: 1,000 samples of a few labels.
fn page() -> String {
    let mut page = String::new();
    for family in 0..50 {
        page.push_str(&format!(
            "# HELP node_metric_{family}_total Seconds that something took in this mode.\n# TYPE node_metric_{family}_total counter\n"
        ));
        for series in 0..20 {
            page.push_str(&format!(
                "node_metric_{family}_total{{cpu=\"{series}\",mode=\"iowait\",device=\"/dev/nvme0n1p{series}\"}} {}\n",
                f64::from(family * 1000 + series) * 1234.567
            ));
        }
    }
    page
}

fn parse(page: &[u8], known: &HashSet<Vec<u8>, foldhash::fast::FixedState>, labels: bool) -> f64 {
    let mut parser = Parser::new(page, MediaType::Text, ParseOptions::default());
    let mut buf = LabelBuf::new();
    let mut sum = 0.0;
    while let Ok(Some(entry)) = parser.next(&mut |series: &[u8]| known.contains(series)) {
        if entry == Entry::Series {
            sum += parser.value();
            if labels {
                parser.labels(&mut buf);
            }
        }
    }
    sum
}

fn benches(criterion: &mut Criterion) {
    let page = page();
    let mut known = HashSet::default();
    let mut parser = Parser::new(page.as_bytes(), MediaType::Text, ParseOptions::default());
    while let Ok(Some(entry)) = parser.next(&mut |_: &[u8]| false) {
        if entry == Entry::Series {
            known.insert(parser.series().to_vec());
        }
    }
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Elements(known.len() as u64));
    group.bench_function("known lines", |b| {
        b.iter(|| parse(black_box(page.as_bytes()), &known, false));
    });
    group.bench_function("new lines with labels", |b| {
        b.iter(|| parse(black_box(page.as_bytes()), &HashSet::default(), true));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
