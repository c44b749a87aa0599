//! XOR append and decode, postings, WAL sample records: nanoseconds an element.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_format::chunk::{XorState, xor};
use tsdb_format::index::postings::{SortedList as _, retain_common};
use tsdb_format::index::{ChunkMeta, IndexReader, IndexWriter, WriteError};
use tsdb_format::wal::record::{self, RefSample};

const SAMPLES: i64 = 120;

/// A counter that grows unevenly, scraped with a little jitter, as node metrics are.
fn counter() -> Vec<(i64, f64)> {
    let mut state = 7u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let mut value = 0.0;
    (0..SAMPLES)
        .map(|i| {
            value += (random() % 1000) as f64;
            let jitter = (random() % 4) as i64;
            (1_700_000_000_000 + i * 15_000 + jitter, value)
        })
        .collect()
}

fn gauge() -> Vec<(i64, f64)> {
    (0..SAMPLES)
        .map(|i| (1_700_000_000_000 + i * 15_000, (i as f64 * 0.1).sin()))
        .collect()
}

fn constant() -> Vec<(i64, f64)> {
    (0..SAMPLES)
        .map(|i| (1_700_000_000_000 + i * 15_000, 42.0))
        .collect()
}

fn append(samples: &[(i64, f64)], buf: &mut [u8]) -> usize {
    let mut state = XorState::new();
    for (t, v) in samples {
        state.append(buf, *t, *v);
    }
    state.write_header(buf);
    state.len()
}

fn chunks(c: &mut Criterion) {
    for (name, samples) in [
        ("counter", counter()),
        ("gauge", gauge()),
        ("constant", constant()),
    ] {
        let mut group = c.benchmark_group(format!("xor {name}"));
        group.throughput(Throughput::Elements(SAMPLES as u64));
        let mut buf = vec![0; 4096];
        group.bench_function("append", |b| {
            b.iter(|| black_box(append(black_box(&samples), &mut buf)));
        });
        let len = append(&samples, &mut buf);
        let data = buf[..len].to_vec();
        let (mut times, mut values) = (Vec::new(), Vec::new());
        group.bench_function("decode", |b| {
            b.iter(|| {
                times.clear();
                values.clear();
                let data = black_box(&data);
                xor::decode(data, i64::MIN, i64::MAX, &mut times, &mut values)
                    .expect("a good chunk");
                black_box(&values);
            });
        });
        group.finish();
    }
}

fn records(c: &mut Criterion) {
    let samples: Vec<_> = (0..1000)
        .map(|i| RefSample {
            reference: 1000 + i,
            start_ms: 0,
            t_ms: 1_700_000_000_000,
            value: i as f64,
        })
        .collect();
    let mut group = c.benchmark_group("wal samples");
    group.throughput(Throughput::Elements(1000));
    let mut record = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            record.clear();
            record::encode_samples(black_box(&samples), &mut record);
        });
    });
    let mut out = Vec::new();
    group.bench_function("decode", |b| {
        b.iter(|| {
            out.clear();
            record::decode_samples(black_box(&record), &mut out).expect("a good record");
        });
    });
    group.finish();
}

fn index(c: &mut Criterion) {
    const SERIES: usize = 100_000;
    let names: Vec<_> = (0..SERIES).map(|i| format!("i{i:06}")).collect();
    let symbols = ["a", "b", "instance", "job", "n"].into_iter();
    let mut symbols: Vec<&str> = symbols.chain(names.iter().map(String::as_str)).collect();
    symbols.sort_unstable();
    let mut out = Vec::new();
    let mut writer = IndexWriter::new(&symbols, &mut out).expect("sorted symbols");
    for (i, name) in names.iter().enumerate() {
        let job = if i % 3 == 0 { "a" } else { "b" };
        let labels = model::Labels::from_sorted([("instance", name.as_str()), ("job", job)]);
        let chunk = ChunkMeta {
            reference: 8 + i as u64 * 100,
            min_ms: 0,
            max_ms: 1,
        };
        writer
            .add_series(&labels, &[chunk], &mut out)
            .expect("sorted series");
    }
    writer
        .finish::<WriteError>(&mut out, |_| Ok(()))
        .expect("a small index");
    let index = IndexReader::open(out).expect("our own index");
    let mut group = c.benchmark_group("postings");
    let jobs = index.postings("job", "b").expect("a good index");
    group.throughput(Throughput::Elements(jobs.len() as u64));
    group.bench_function("read and decode", |b| {
        b.iter(|| {
            let list = index.postings("job", black_box("b")).expect("a good index");
            black_box(list.to_vec())
        });
    });
    let all = index.all_postings().expect("a good index").to_vec();
    group.bench_function("intersect with all", |b| {
        b.iter_batched(
            || all.clone(),
            |mut list| {
                retain_common(&mut list, &jobs);
                list
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
    c.bench_function("postings one value of 100 k", |b| {
        b.iter(|| {
            let list = index.postings("instance", black_box("i054321"));
            black_box(list.expect("a good index").len())
        });
    });
}

criterion_group!(benches, chunks, records, index);
criterion_main!(benches);
