use std::ops::ControlFlow;
use std::sync::Arc;

use model::Labels;
use tsdb_format::wal::page::{Compression, PAGE_BYTES};
use tsdb_format::wal::record::{self, RefMetadata, RefSample, RefTombstone};

use super::*;
use crate::fs::{Fault, FaultFs, FileSystem, RealFs};

fn real() -> Arc<dyn FileSystem> {
    Arc::new(RealFs)
}

fn read_all(dir: &Path) -> (Vec<Vec<u8>>, Option<(u64, Damage)>) {
    let mut records = Vec::new();
    for segment in segments(&RealFs, dir).unwrap() {
        let result = read_segment(&RealFs, &segment.path, |record| {
            records.push(record.to_vec());
            Ok(())
        });
        if let Err(damage) = result.unwrap() {
            return (records, Some((segment.number, damage)));
        }
    }
    (records, None)
}

fn some_record(i: usize) -> Vec<u8> {
    (0..(i * 7919) % 50_000 + 1)
        .map(|j| (i + j * j) as u8)
        .collect()
}

#[test]
fn records_come_back_over_segments_and_restarts() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for round in 0..3 {
            let mut writer =
                Writer::open(real(), dir.path(), 4 * PAGE_BYTES as u64, compression, None).unwrap();
            for i in 0..10 {
                let batch = [
                    some_record(round * 20 + i),
                    some_record(round * 20 + i + 10),
                ];
                writer.log(batch.iter().map(Vec::as_slice)).unwrap();
                expected.extend(batch);
            }
        }
        let (got, damage) = read_all(dir.path());
        assert_eq!(damage, None);
        assert!(got == expected, "{compression:?}");
        assert!(segments(&RealFs, dir.path()).unwrap().len() >= 3);
    }
}

#[test]
fn a_failed_write_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultFs::new();
    let mut writer = Writer::open(
        Arc::new(fs.clone()),
        dir.path(),
        8 * PAGE_BYTES as u64,
        Compression::None,
        None,
    )
    .unwrap();
    let mut expected = Vec::new();
    for i in 0..20 {
        fs.plan(0, if i % 3 == 0 { Fault::Full } else { Fault::Io });
        assert!(writer.log([&some_record(i)[..]]).is_err());
        fs.heal();
        writer.log([&some_record(i + 1)[..]]).unwrap();
        expected.push(some_record(i + 1));
    }
    let (got, damage) = read_all(dir.path());
    assert_eq!(damage, None);
    assert!(got == expected);
}

#[test]
fn damage_is_cut_and_later_segments_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        real(),
        dir.path(),
        2 * PAGE_BYTES as u64,
        Compression::None,
        None,
    )
    .unwrap();
    for i in 0..12 {
        writer.log([&vec![i; 15_000][..]]).unwrap();
    }
    let victim = &segments(&RealFs, dir.path()).unwrap()[1];
    let mut bytes = RealFs.read(&victim.path).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&victim.path, &bytes).unwrap();
    let (before, damage) = read_all(dir.path());
    let (number, damage) = damage.unwrap();
    assert_eq!(number, victim.number);
    repair(&RealFs, dir.path(), victim, &damage, None).unwrap();
    let (after, none) = read_all(dir.path());
    assert_eq!(none, None);
    assert!(before == after);
    assert_eq!(segments(&RealFs, dir.path()).unwrap().len(), 2);
}

fn follow(reader: &mut LiveReader, seen: &mut Vec<Vec<u8>>) {
    let take = |_: Place, record: &[u8]| {
        seen.push(record.to_vec());
        ControlFlow::Continue(())
    };
    reader.poll(take).unwrap();
}

#[test]
fn a_live_reader_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        real(),
        dir.path(),
        2 * PAGE_BYTES as u64,
        Compression::Snappy,
        None,
    )
    .unwrap();
    let mut reader = LiveReader::new(real(), dir.path(), 0);
    let mut seen = Vec::new();
    for i in 0..20 {
        writer.log([&some_record(i)[..]]).unwrap();
        if i % 3 == 0 {
            follow(&mut reader, &mut seen);
            assert_eq!(seen.len(), i + 1);
        }
    }
    follow(&mut reader, &mut seen);
    assert!(seen == (0..20).map(some_record).collect::<Vec<_>>());
    assert_eq!(reader.segment(), writer.segment());
}

fn encode<T>(items: &[T], encode: impl Fn(&[T], &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(items, &mut out);
    out
}

#[test]
fn a_checkpoint_keeps_what_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let fs = real();
    let mut writer = Writer::open(
        Arc::clone(&fs),
        dir.path(),
        1 << 20,
        Compression::Snappy,
        None,
    )
    .unwrap();
    for segment in 0..4u64 {
        let labels = Labels::from([("n", segment.to_string())]);
        let mut series = Vec::new();
        record::encode_series([(segment + 1, &labels)], &mut series);
        let samples: Vec<RefSample> = (0..10)
            .map(|i| RefSample {
                reference: 1 + segment,
                start_ms: 0,
                t_ms: segment as i64 * 100 + i * 10,
                value: i as f64,
            })
            .collect();
        let stone = RefTombstone {
            reference: segment + 1,
            min_ms: 0,
            max_ms: segment as i64 * 100,
        };
        let metadata = RefMetadata {
            reference: 1,
            type_byte: 1,
            unit: String::new(),
            help: format!("version {segment}"),
        };
        let records = [
            series,
            encode(&samples, record::encode_samples),
            encode(&[stone], record::encode_tombstones),
            encode(&[metadata], record::encode_metadata),
        ];
        writer.log(records.iter().map(Vec::as_slice)).unwrap();
        writer.cut().unwrap();
    }
    let run = |to, keep: &dyn Fn(u64) -> bool, min_ms| {
        checkpoint(
            &fs,
            dir.path(),
            to,
            keep,
            min_ms,
            1 << 20,
            Compression::Zstd,
        )
        .unwrap()
    };
    let stats = run(1, &|id| id != 2, 50);
    assert_eq!((stats.series, stats.dropped_series), (2, 1));
    assert_eq!((stats.samples, stats.dropped_samples), (20, 5));
    remove_before(&*fs, dir.path(), 2).unwrap();
    let stats = run(2, &|id| id != 2, 250);
    assert_eq!((stats.series, stats.samples), (2, 25));
    let found = checkpoints(&*fs, dir.path()).unwrap();
    assert_eq!(found.len(), 2);
    let (records, damage) = read_all(&found[1].1);
    assert_eq!(damage, None);
    let mut samples = Vec::new();
    let mut help = String::new();
    for bytes in &records {
        match record::RecordType::of(bytes) {
            Some(record::RecordType::Samples) => {
                record::decode_samples(bytes, &mut samples).unwrap()
            }
            Some(record::RecordType::Metadata) => {
                let mut out = Vec::new();
                record::decode_metadata(bytes, &mut out).unwrap();
                help = out[0].help.clone();
            }
            _ => {}
        }
    }
    assert_eq!(samples.len(), 5);
    assert_eq!(help, "version 2");
}

#[test]
fn a_full_disk_is_a_state_and_any_other_error_a_fault() {
    let full = refused("WAL", &io::ErrorKind::StorageFull.into());
    assert!(matches!(full, AppendError::Unavailable(text) if text.starts_with("write to WAL: ")));
    let broken = refused("WBL", &io::Error::other("broken"));
    assert!(matches!(broken, AppendError::Io(text) if text == "write to WBL: broken"));
}
