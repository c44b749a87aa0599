//! What must hold for all inputs: what is encoded decodes to the same, and bytes of any kind are
//! refused without a panic.

mod decoders;

use decoders::{all_decoders, read_whole_index};
use model::{CounterResetHint, FloatHistogram, Histogram, Labels, Span};
use proptest::collection::vec;
use proptest::prelude::*;
use tsdb_format::chunk::histogram::{self, Appended, Chunk, Counts, FloatCodec, IntCodec};
use tsdb_format::chunk::xor2::Xor2Chunk;
use tsdb_format::chunk::{self, Encoding, XorChunk};
use tsdb_format::index::postings::SortedList as _;
use tsdb_format::index::{ChunkMeta, IndexReader, IndexWriter, SeriesEntry, WriteError};
use tsdb_format::wal::page::{Compression, Compressor, PageWriter, SegmentReader};
use tsdb_format::wal::record::{self, RefSample};

/// Times that are mostly regular, and values that mostly repeat or are whole, but need not.
fn float_samples() -> impl Strategy<Value = Vec<(i64, i64, f64)>> {
    let step = prop_oneof![
        4 => Just(15_000i64),
        2 => 14_990..15_010i64,
        1 => any::<i64>(),
        1 => -600_000..600_000i64,
    ];
    let value = prop_oneof![
        4 => Just(42.0),
        2 => (0..1000i32).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(model::STALE_NAN),
    ];
    let start = prop_oneof![4 => Just(0i64), 2 => Just(1_699_999_000_000), 1 => any::<i64>()];
    vec((step, start, value), 0..300).prop_map(|steps| {
        let mut t = 1_700_000_000_000i64;
        let add = |(step, start, value)| {
            t = t.wrapping_add(step);
            (t, start, value)
        };
        steps.into_iter().map(add).collect()
    })
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    vec((-3..6i32, 0..4u32), 0..4).prop_map(|spans| {
        let span = |(i, (offset, length)): (usize, (i32, u32))| Span {
            offset: if i == 0 { offset } else { offset.abs() },
            length,
        };
        spans.into_iter().enumerate().map(span).collect()
    })
}

fn buckets(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

prop_compose! {
    fn histogram_sample()(
        positive_spans in spans(),
        negative_spans in spans(),
    )(
        positive_buckets in vec(0..50i64, buckets(&positive_spans)),
        negative_buckets in vec(0..50i64, buckets(&negative_spans)),
        positive_spans in Just(positive_spans),
        negative_spans in Just(negative_spans),
        sum in prop_oneof![3 => Just(1.5), 1 => Just(model::STALE_NAN), 1 => any::<f64>()],
        count in 0..1000u64,
        zero_count in prop_oneof![Just(0u64), Just(5), any::<u64>()],
        scale in prop_oneof![3 => Just((1, 0.001)), 1 => Just((2, 0.3)), 1 => Just((-53, 0.0))],
        gauge in any::<bool>(),
    ) -> Histogram {
        Histogram {
            counter_reset_hint: match gauge {
                true => CounterResetHint::Gauge,
                false => CounterResetHint::Unknown,
            },
            schema: scale.0,
            zero_threshold: scale.1,
            zero_count,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: if scale.0 == -53 { vec![0.1, 2.5, 1e9] } else { vec![] },
        }
    }
}

/// A histogram without empty buckets, hints and, if stale, anything but that.
fn essence(h: &FloatHistogram) -> String {
    if h.is_stale() {
        return "stale".to_owned();
    }
    let used = |spans: &[Span], counts: &[f64]| {
        let mut next = 0i64;
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
    format!(
        "{:?}",
        (
            (h.schema, h.zero_threshold.to_bits(), h.zero_count.to_bits()),
            (h.count.to_bits(), h.sum.to_bits(), &h.custom_values),
            used(&h.positive_spans, &h.positive_buckets),
            used(&h.negative_spans, &h.negative_buckets),
        )
    )
}

/// Appends all samples, to as many chunks as it takes.
fn append_all<C: Counts>(samples: &[(i64, i64, C::Sample)], starts: bool) -> Vec<Vec<u8>> {
    let mut chunk: Chunk<C> = match starts {
        true => Chunk::with_starts(),
        false => Chunk::new(),
    };
    let mut done = Vec::new();
    for (t, start, sample) in samples {
        match chunk
            .append(None, *start, *t, sample)
            .expect("a valid histogram")
        {
            Appended::InPlace | Appended::Recoded => {}
            Appended::Next(next) => {
                done.push(chunk.bytes().to_vec());
                chunk = *next;
            }
        }
    }
    done.push(chunk.bytes().to_vec());
    done
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn float_chunks_round_trip(samples in float_samples(), cut in 0..300usize) {
        let (mut xor, mut xor2) = (XorChunk::new(), Xor2Chunk::new());
        for (i, (t, start, value)) in samples.iter().enumerate() {
            if i == cut {
                xor = XorChunk::resume(xor.bytes()).unwrap();
                xor2 = Xor2Chunk::resume(xor2.bytes()).unwrap();
            }
            xor.append(*t, *value);
            xor2.append(*start, *t, *value);
        }
        for (encoding, data) in [(Encoding::Xor, xor.bytes()), (Encoding::Xor2, xor2.bytes())] {
            let (mut times, mut values, mut starts) = (vec![], vec![], vec![]);
            chunk::decode_floats(
                encoding, data, i64::MIN, i64::MAX, &mut times, &mut values, &mut starts,
            ).unwrap();
            prop_assert_eq!(times.len(), samples.len());
            for (i, (t, start, value)) in samples.iter().enumerate() {
                prop_assert_eq!(times[i], *t);
                prop_assert_eq!(values[i].to_bits(), value.to_bits());
                if encoding == Encoding::Xor2 {
                    prop_assert_eq!(starts.get(i).copied().unwrap_or(0), *start);
                }
            }
        }
    }

    #[test]
    fn histogram_chunks_keep_every_sample(
        samples in vec((0..10_000i64, -5..5i64, histogram_sample()), 1..40),
        starts in any::<bool>(),
    ) {
        let mut t = 0;
        let samples: Vec<_> = samples.into_iter().map(|(step, start, h)| {
            t += step;
            (t, if starts { start } else { 0 }, h)
        }).collect();
        let want: Vec<_> = samples.iter()
            .map(|(t, start, h)| (*t, *start, essence(&h.to_float())))
            .collect();
        let floats: Vec<_> = samples.iter().map(|(t, s, h)| (*t, *s, h.to_float())).collect();
        for (float, chunks) in [
            (false, append_all::<IntCodec>(&samples, starts)),
            (true, append_all::<FloatCodec>(&floats, starts)),
        ] {
            let mut got = Vec::new();
            for data in &chunks {
                histogram::decode_float(data, float, starts, i64::MIN, i64::MAX, |t, start, h| {
                    got.push((t, start, essence(&h)));
                }).unwrap();
            }
            prop_assert_eq!(&got, &want);
        }
    }

    #[test]
    fn samples_survive_records_pages_and_compression(
        samples in vec((any::<u64>(), any::<i64>(), any::<u64>()), 0..500),
        kind in 0..3usize,
        position in 0..70_000u64,
    ) {
        let samples: Vec<_> = samples.into_iter().map(|(reference, t_ms, bits)| RefSample {
            reference,
            start_ms: 0,
            t_ms,
            value: f64::from_bits(bits),
        }).collect();
        let mut record = Vec::new();
        record::encode_samples(&samples, &mut record);
        let compression = [Compression::None, Compression::Snappy, Compression::Zstd][kind];
        let mut compressor = Compressor::new(compression);
        let (stored, compression) = compressor.compress(&record);
        let mut segment = Vec::new();
        let mut writer = PageWriter::new(0);
        // Something before it moves the record to any place in a page.
        writer.write(&vec![1; position as usize], Compression::None, &mut segment);
        writer.write(stored, compression, &mut segment);
        let mut reader = SegmentReader::new(&segment);
        reader.next_record().unwrap();
        let read = reader.next_record().unwrap().unwrap();
        let mut got = Vec::new();
        record::decode_samples(read, &mut got).unwrap();
        let bits = |samples: &[RefSample]| -> Vec<_> {
            samples.iter().map(|s| (s.reference, s.t_ms, s.value.to_bits())).collect()
        };
        prop_assert_eq!(bits(&got), bits(&samples));
    }

    #[test]
    fn labels_survive_series_records(pairs in vec(("[a-z]{1,3}", ".{1,8}"), 0..8)) {
        let labels = Labels::from_pairs(pairs);
        let mut record = Vec::new();
        record::encode_series([(7, &labels)], &mut record);
        let mut got = Vec::new();
        record::decode_series(&record, &mut got).unwrap();
        prop_assert_eq!(&got[0].labels, &labels);
    }

    #[test]
    fn any_bytes_are_refused_or_read(mut bytes in vec(any::<u8>(), 0..400), count in 0..20u8) {
        all_decoders(&bytes);
        // Most random counts are far beyond the bytes: try likely ones as well.
        if bytes.len() > 2 {
            bytes[0] = 0;
            bytes[1] = count;
            all_decoders(&bytes);
        }
    }

    #[test]
    fn indexes_give_back_what_was_written(series in series()) {
        let data = index_of(&series);
        let index = IndexReader::open(&data[..]).unwrap();
        let all = index.all_postings().unwrap();
        prop_assert_eq!(all.len(), series.len());
        let mut entry = SeriesEntry::default();
        for (i, (labels, chunks)) in series.iter().enumerate() {
            index.series(all.get(i), &mut entry).unwrap();
            prop_assert_eq!(&index.labels(&entry).unwrap(), labels);
            prop_assert_eq!(&entry.chunks, chunks);
            for (name, value) in labels {
                let list = index.postings(name, value).unwrap();
                let want: Vec<_> = (0..all.len())
                    .filter(|j| series[*j].0.get(name) == value)
                    .map(|j| all.get(j))
                    .collect();
                prop_assert_eq!(list.to_vec(), want);
            }
            prop_assert_eq!(index.postings("n", "not there").unwrap().len(), 0);
        }
    }

    #[test]
    fn damaged_indexes_with_good_checksums_are_refused_or_read(
        series in series(),
        damage in vec((0..4usize, any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut data = index_of(&series);
        let toc = *IndexReader::open(&data[..]).unwrap().toc();
        for (which, place, byte) in damage {
            let at = [toc.symbols, toc.postings.next_multiple_of(4), toc.postings_table, 0][which];
            if at == 0 {
                // The table of contents: any place, good sum.
                let start = data.len() - 52;
                data[start + place.index(48)] = byte;
                let crc = tsdb_format::bytes::crc32(&data[start..start + 48]);
                data[start + 48..].copy_from_slice(&crc.to_be_bytes());
                continue;
            }
            let at = at as usize;
            let len = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
            let content = at + 4..at + 4 + len;
            data[content.start + place.index(len)] = byte;
            let crc = tsdb_format::bytes::crc32(&data[content.clone()]);
            data[content.end..content.end + 4].copy_from_slice(&crc.to_be_bytes());
        }
        read_whole_index(&data);
        // As version 1 the same bytes mean something else.
        data[4] = 1;
        read_whole_index(&data);
    }

    #[test]
    fn damaged_chunks_are_refused_or_read(
        samples in float_samples(),
        histograms in vec(histogram_sample(), 1..10),
        flip in any::<proptest::sample::Index>(),
        bit in 0..8u32,
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut xor = XorChunk::new();
        let mut xor2 = Xor2Chunk::new();
        for (t, start, value) in &samples {
            xor.append(*t, *value);
            xor2.append(*start, *t, *value);
        }
        let timed: Vec<_> = histograms.iter().zip(0..).map(|(h, t)| (t, t / 3, h.clone())).collect();
        let mut chunks = append_all::<IntCodec>(&timed, true);
        chunks.extend([xor.bytes().to_vec(), xor2.bytes().to_vec()]);
        for mut data in chunks {
            all_decoders(&data[..cut.index(data.len())]);
            let i = flip.index(data.len());
            data[i] ^= 1 << bit;
            all_decoders(&data);
        }
    }
}

prop_compose! {
    fn series()(
        sets in proptest::collection::btree_map(
            proptest::collection::btree_map("[a-c]|n", "[a-z]{1,4}", 1..4),
            vec((0..100i64, 0..100i64), 0..4),
            1..40,
        )
    ) -> Vec<(Labels, Vec<ChunkMeta>)> {
        let mut series: Vec<_> = sets.into_iter().map(|(pairs, times)| {
            (Labels::from_pairs(pairs), times)
        }).collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        let mut reference = 8;
        series.into_iter().map(|(labels, times)| {
            let mut t = -50;
            let chunks = times.into_iter().map(|(gap, span)| {
                let min_ms = t + 1 + gap;
                t = min_ms + span;
                reference += 17;
                ChunkMeta { reference, min_ms, max_ms: t }
            });
            (labels, chunks.collect())
        }).collect()
    }
}

fn index_of(series: &[(Labels, Vec<ChunkMeta>)]) -> Vec<u8> {
    let symbols: std::collections::BTreeSet<&str> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter().flat_map(|(n, v)| [n, v]))
        .collect();
    let mut out = Vec::new();
    let mut writer = IndexWriter::new(symbols, &mut out).expect("a small index in order");
    for (labels, chunks) in series {
        writer
            .add_series(labels, chunks, &mut out)
            .expect("a small index in order");
    }
    writer
        .finish::<WriteError>(&mut out, |_| Ok(()))
        .expect("a small index in order");
    out
}
