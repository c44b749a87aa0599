//! `conformance/tsdb/chunks.json` and `wal-records.json`: bytes that Prometheus wrote, decoded to
//! the samples they were made of and encoded to the same bytes; and the indexes of its databases,
//! read and written anew to the same bytes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::Case;
use model::{CounterResetHint, FloatHistogram, Histogram, Labels, Span};
use serde::Deserialize;
use serde_json::Value;
use tsdb_format::chunk::histogram::{self, Appended, Chunk, FloatHistogramChunk, HistogramChunk};
use tsdb_format::chunk::{self, Encoding, xor::XorChunk, xor2::Xor2Chunk};
use tsdb_format::index::postings::SortedList as _;
use tsdb_format::index::{IndexReader, IndexWriter, SeriesEntry, WriteError};
use tsdb_format::wal::record::{self, RefExemplar, RefMmapMarker, RefSample, RefSeries};

fn main() -> ExitCode {
    conformance::run("tsdb", |dir| {
        let mut cases = Vec::new();
        for case in load::<ChunkCase>(dir, "chunks.json") {
            cases.push(Case::new(format!("chunks.json/{}", case.name), move || {
                check_chunk(&case)
            }));
        }
        for case in load::<RecordCase>(dir, "wal-records.json") {
            let name = format!("wal-records.json/{}", case.name);
            cases.push(Case::new(name, move || check_record(&case)));
        }
        for index in indexes(&dir.join("databases")) {
            let block = index.parent().and_then(Path::file_name).expect("a block");
            let name = format!("index/{}", block.to_string_lossy());
            cases.push(Case::new(name, move || check_index(&index)));
        }
        cases
    })
}

/// The indexes of version 2 among the databases.
fn indexes(dir: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let blocks = list(dir).into_iter().flat_map(|database| list(&database));
    let indexes = blocks.map(|block| block.join("index"));
    indexes.filter(|index| index.is_file()).collect()
}

/// Reads everything out of an index, writes it anew, and wants the same bytes.
fn check_index(path: &Path) -> Result<(), String> {
    let data = std::fs::read(path).expect("the set is readable");
    let index = IndexReader::open(&data[..]).map_err(|e| e.to_string())?;
    let symbols: Result<Vec<&str>, _> = index.symbols().collect();
    let mut out = Vec::new();
    let mut writer = IndexWriter::new(symbols.map_err(|e| e.to_string())?, &mut out)
        .map_err(|e| e.to_string())?;
    let all = index.all_postings().map_err(|e| e.to_string())?;
    let mut entry = SeriesEntry::default();
    for i in 0..all.len() {
        index
            .series(all.get(i), &mut entry)
            .map_err(|e| e.to_string())?;
        let labels = index.labels(&entry).map_err(|e| e.to_string())?;
        writer
            .add_series(&labels, &entry.chunks, &mut out)
            .map_err(|e| e.to_string())?;
    }
    writer
        .finish::<WriteError>(&mut out, |_| Ok(()))
        .map_err(|e| e.to_string())?;
    match (0..out.len().max(data.len())).find(|i| out.get(*i) != data.get(*i)) {
        None => Ok(()),
        Some(i) => Err(format!(
            "differs at {i}: {:?}, not {:?} (of {} bytes)",
            out.get(i),
            data.get(i),
            data.len()
        )),
    }
}

fn load<T: for<'de> Deserialize<'de>>(dir: &Path, name: &str) -> Vec<T> {
    #[derive(Deserialize)]
    struct Set<T> {
        cases: Vec<T>,
    }
    let text = std::fs::read_to_string(dir.join(name)).expect("the set is readable");
    let set: Set<T> = serde_json::from_str(&text).expect("the set has the shape of its README");
    set.cases
}

#[derive(Deserialize)]
struct ChunkCase {
    name: String,
    encoding_byte: u8,
    bytes: String,
    samples: Vec<SampleJson>,
}

#[derive(Deserialize, Clone)]
struct SampleJson {
    t: i64,
    #[serde(default)]
    v: Value,
    #[serde(default)]
    bits: Option<String>,
    #[serde(default)]
    st: i64,
    #[serde(default)]
    histogram: Option<HistogramJson>,
}

#[derive(Deserialize, Clone)]
struct HistogramJson {
    kind: String,
    hint: String,
    schema: i32,
    count: f64,
    #[serde(default)]
    sum: Value,
    #[serde(default)]
    sum_bits: Option<String>,
    zero_count: f64,
    zero_threshold: f64,
    #[serde(default)]
    custom_values: Vec<f64>,
    positive_spans: Vec<(i32, u32)>,
    negative_spans: Vec<(i32, u32)>,
    #[serde(default)]
    positive_deltas: Vec<i64>,
    #[serde(default)]
    negative_deltas: Vec<i64>,
    #[serde(default)]
    positive_counts: Vec<f64>,
    #[serde(default)]
    negative_counts: Vec<f64>,
}

fn number(value: &Value, bits: Option<&String>) -> f64 {
    if let Some(bits) = bits {
        return f64::from_bits(u64::from_str_radix(bits, 16).expect("hex"));
    }
    match value {
        Value::Number(n) => n.as_f64().expect("a float"),
        Value::String(s) => match s.as_str() {
            "StaleNaN" => model::STALE_NAN,
            "NaN" => model::NORMAL_NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            other => panic!("no number: {other}"),
        },
        other => panic!("no number: {other}"),
    }
}

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect()
}

impl HistogramJson {
    fn hint(&self) -> CounterResetHint {
        match self.hint.as_str() {
            "unknown" => CounterResetHint::Unknown,
            "reset" => CounterResetHint::CounterReset,
            "not_reset" => CounterResetHint::NotCounterReset,
            "gauge" => CounterResetHint::Gauge,
            other => panic!("no hint: {other}"),
        }
    }

    fn integer(&self) -> Histogram {
        assert_eq!(self.kind, "integer");
        Histogram {
            counter_reset_hint: self.hint(),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as u64,
            count: self.count as u64,
            sum: number(&self.sum, self.sum_bits.as_ref()),
            positive_spans: spans(&self.positive_spans),
            negative_spans: spans(&self.negative_spans),
            positive_buckets: self.positive_deltas.clone(),
            negative_buckets: self.negative_deltas.clone(),
            custom_values: self.custom_values.clone(),
        }
    }

    fn float(&self) -> FloatHistogram {
        assert_eq!(self.kind, "float");
        FloatHistogram {
            counter_reset_hint: self.hint(),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: number(&self.sum, self.sum_bits.as_ref()),
            positive_spans: spans(&self.positive_spans),
            negative_spans: spans(&self.negative_spans),
            positive_buckets: self.positive_counts.clone(),
            negative_buckets: self.negative_counts.clone(),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex"))
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same(what: &str, got: impl std::fmt::Debug, want: impl std::fmt::Debug) -> Result<(), String> {
    let (got, want) = (format!("{got:?}"), format!("{want:?}"));
    if got == want {
        Ok(())
    } else {
        Err(format!("{what}:\n got {got}\nwant {want}"))
    }
}

fn check_chunk(case: &ChunkCase) -> Result<(), String> {
    let encoding = Encoding::from_byte(case.encoding_byte).ok_or("unknown encoding")?;
    let data = hex(&case.bytes);
    same(
        "count",
        chunk::samples(encoding, &data),
        Ok::<_, ()>(case.samples.len() as u16),
    )?;
    let starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
    match encoding {
        Encoding::Xor | Encoding::Xor2 => check_floats(case, encoding, &data),
        Encoding::Histogram | Encoding::HistogramSt => {
            let samples: Vec<_> = case
                .samples
                .iter()
                .map(|s| {
                    let histogram = s.histogram.as_ref().expect("a histogram").integer();
                    (s.t, s.st, histogram)
                })
                .collect();
            let mut got = Vec::new();
            histogram::decode_integer(&data, starts, i64::MIN, i64::MAX, |t, st, h| {
                got.push((t, st, h));
            })
            .map_err(|e| e.to_string())?;
            let plain = |samples: &[(i64, i64, Histogram)]| {
                let plain: Vec<_> = samples
                    .iter()
                    .map(|(t, st, h)| (*t, *st, h.sum.to_bits(), without_hint(h)))
                    .collect();
                plain
            };
            let want: Vec<_> = samples
                .iter()
                .map(|(t, st, h)| (*t, *st, stale_is_bare(h.clone())))
                .collect();
            same("decoded", plain(&got), plain(&want))?;
            let chunk: HistogramChunk = append_all(starts, &samples)?;
            same("encoded", to_hex(chunk.bytes()), &case.bytes)
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            let samples: Vec<_> = case
                .samples
                .iter()
                .map(|s| {
                    let histogram = s.histogram.as_ref().expect("a histogram").float();
                    (s.t, s.st, histogram)
                })
                .collect();
            let mut got = Vec::new();
            histogram::decode_float(&data, true, starts, i64::MIN, i64::MAX, |t, st, mut h| {
                h.counter_reset_hint = CounterResetHint::Unknown;
                got.push((t, st, h));
            })
            .map_err(|e| e.to_string())?;
            let want: Vec<_> = samples
                .iter()
                .cloned()
                .map(|(t, st, mut h)| {
                    h.counter_reset_hint = CounterResetHint::Unknown;
                    (t, st, h)
                })
                .collect();
            same("decoded", got, want)?;
            let chunk: FloatHistogramChunk = append_all(starts, &samples)?;
            same("encoded", to_hex(chunk.bytes()), &case.bytes)
        }
    }
}

/// Without hint, and without the empty buckets that a chunk adds to its earlier samples.
fn without_hint(h: &Histogram) -> impl std::fmt::Debug + use<> {
    let f = h.to_float();
    let buckets = |spans: &[Span], counts: &[f64]| {
        let mut next = 0;
        let indexes = spans.iter().flat_map(|span| {
            let first = next + i64::from(span.offset);
            next = first + i64::from(span.length);
            first..next
        });
        let used: Vec<_> = indexes
            .zip(counts.to_vec())
            .filter(|b| b.1 != 0.0)
            .collect();
        used
    };
    (
        (h.schema, h.zero_threshold, h.zero_count, h.count),
        buckets(&f.positive_spans, &f.positive_buckets),
        buckets(&f.negative_spans, &f.negative_buckets),
        h.custom_values.clone(),
    )
}

/// Of a stale marker only the sum is stored.
fn stale_is_bare(h: Histogram) -> Histogram {
    if h.is_stale() {
        Histogram {
            sum: h.sum,
            ..Histogram::default()
        }
    } else {
        h
    }
}

fn append_all<C, S>(starts: bool, samples: &[(i64, i64, S)]) -> Result<Chunk<C>, String>
where
    C: tsdb_format::chunk::histogram::Counts<Sample = S>,
{
    let mut chunk = if starts {
        Chunk::with_starts()
    } else {
        Chunk::new()
    };
    for (i, (t, st, sample)) in samples.iter().enumerate() {
        if i == samples.len() / 2 && i > 0 {
            // Continuing a chunk must not show in its bytes.
            let bytes = chunk.bytes().to_vec();
            chunk = Chunk::resume(&bytes, starts).map_err(|e| e.to_string())?;
        }
        match chunk.append(None, *st, *t, sample) {
            Ok(Appended::InPlace | Appended::Recoded) => {}
            Ok(Appended::Next(_)) => return Err(format!("sample {i} started a chunk")),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(chunk)
}

fn check_floats(case: &ChunkCase, encoding: Encoding, data: &[u8]) -> Result<(), String> {
    let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    chunk::decode_floats(
        encoding,
        data,
        i64::MIN,
        i64::MAX,
        &mut times,
        &mut values,
        &mut starts,
    )
    .map_err(|e| e.to_string())?;
    let got: Vec<_> = (0..times.len())
        .map(|i| {
            let start = starts.get(i).copied().unwrap_or(0);
            (times[i], values[i].to_bits(), start)
        })
        .collect();
    let want: Vec<_> = case
        .samples
        .iter()
        .map(|s| (s.t, number(&s.v, s.bits.as_ref()).to_bits(), s.st))
        .collect();
    same("decoded", &got, &want)?;
    let encoded = if encoding == Encoding::Xor {
        let mut chunk = XorChunk::new();
        want.iter()
            .for_each(|(t, bits, _)| chunk.append(*t, f64::from_bits(*bits)));
        chunk.bytes().to_vec()
    } else {
        let mut chunk = Xor2Chunk::new();
        for (t, bits, start) in &want {
            chunk.append(*start, *t, f64::from_bits(*bits));
        }
        chunk.bytes().to_vec()
    };
    same("encoded", to_hex(&encoded), &case.bytes)
}

#[derive(Deserialize)]
struct RecordCase {
    name: String,
    type_byte: u8,
    bytes: String,
    content: Vec<EntryJson>,
}

#[derive(Deserialize)]
struct EntryJson {
    #[serde(rename = "ref")]
    reference: u64,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    t: i64,
    #[serde(default)]
    st: i64,
    #[serde(default)]
    v: Value,
    #[serde(default)]
    bits: Option<String>,
    #[serde(default)]
    mmap_ref: u64,
    #[serde(default)]
    histogram: Option<HistogramJson>,
}

fn check_record(case: &RecordCase) -> Result<(), String> {
    let data = hex(&case.bytes);
    let mut encoded = Vec::new();
    let mut custom = Vec::new();
    let result = match case.type_byte {
        1 => {
            let mut got = Vec::new();
            record::decode_series(&data, &mut got).map_err(|e| e.to_string())?;
            record::encode_series(got.iter().map(|s| (s.reference, &s.labels)), &mut encoded);
            let want = case.content.iter().map(|e| RefSeries {
                reference: e.reference,
                labels: e.labels.clone().expect("labels"),
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        2 | 11 => {
            let mut got = Vec::new();
            record::decode_samples(&data, &mut got).map_err(|e| e.to_string())?;
            if case.type_byte == 2 {
                record::encode_samples(&got, &mut encoded);
            }
            let want = case.content.iter().map(|e| RefSample {
                reference: e.reference,
                start_ms: e.st,
                t_ms: e.t,
                value: number(&e.v, e.bits.as_ref()),
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        4 => {
            let mut got = Vec::new();
            record::decode_exemplars(&data, &mut got).map_err(|e| e.to_string())?;
            record::encode_exemplars(&got, &mut encoded);
            let want = case.content.iter().map(|e| RefExemplar {
                reference: e.reference,
                t_ms: e.t,
                value: number(&e.v, e.bits.as_ref()),
                labels: e.labels.clone().expect("labels"),
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        5 => {
            let mut got = Vec::new();
            record::decode_mmap_markers(&data, &mut got).map_err(|e| e.to_string())?;
            record::encode_mmap_markers(&got, &mut encoded);
            let want = case.content.iter().map(|e| RefMmapMarker {
                reference: e.reference,
                chunk: e.mmap_ref,
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        7 | 9 => {
            let mut got = Vec::new();
            record::decode_histograms(&data, &mut got).map_err(|e| e.to_string())?;
            record::encode_histograms(&got, &mut encoded, &mut custom);
            let want = case.content.iter().map(|e| record::RefHistogram {
                reference: e.reference,
                start_ms: e.st,
                t_ms: e.t,
                histogram: e.histogram.as_ref().expect("a histogram").integer(),
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        8 | 10 => {
            let mut got = Vec::new();
            record::decode_float_histograms(&data, &mut got).map_err(|e| e.to_string())?;
            record::encode_float_histograms(&got, &mut encoded, &mut custom);
            let want = case.content.iter().map(|e| record::RefFloatHistogram {
                reference: e.reference,
                start_ms: e.st,
                t_ms: e.t,
                histogram: e.histogram.as_ref().expect("a histogram").float(),
            });
            same("decoded", got, want.collect::<Vec<_>>())
        }
        other => Err(format!("record type {other} has no check here")),
    };
    result?;
    let encoded = if encoded.is_empty() { custom } else { encoded };
    if case.type_byte <= 10 {
        same("encoded", to_hex(&encoded), &case.bytes)?;
    }
    Ok(())
}
