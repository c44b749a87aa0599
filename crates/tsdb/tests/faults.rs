//! Crashes, full disks and failing writes at every single operation: the database opens again and
//! has every sample that it acknowledged.

#![allow(clippy::unwrap_used)]

mod folder;
mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::Labels;
use storage::{AppendError, Appendable, Columns, Queryable, SelectHints};
use tsdb::fs::{Fault, FaultFs, FileSystem, RealFs};
use tsdb::{Db, Options};

const BLOCK_MS: i64 = 1000;
const SERIES: usize = 3;

type Samples = BTreeMap<(Labels, i64), u64>;

fn options(dir: &Path, fs: Arc<dyn FileSystem>) -> Options {
    let mut options = Options::new(dir);
    options.fs = fs;
    options.background = false;
    options.min_block_duration_ms = BLOCK_MS;
    options.max_block_duration_ms = BLOCK_MS * 3;
    options.retention.duration_ms = 0;
    options.wal_segment_bytes = 32 * 1024;
    options.out_of_order_window_ms = 800;
    options.out_of_order_cap = 3;
    options.samples_per_chunk = 8;
    // With every tick, so that each of its operations fails once, too.
    options.shortcut_log_bytes = Some(0);
    let clock = AtomicI64::new(1);
    options.clock = Arc::new(move || clock.fetch_add(1, Ordering::Relaxed));
    options
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), "m".to_owned()),
        ("i".to_owned(), i.to_string()),
        // Fills segments.
        ("long".to_owned(), "x".repeat(300 * i)),
    ])
}

/// Appends, in order and late, and compacts; notes what was acknowledged and what was not.
/// Stops at the first failure if `stop` says so.
fn live(db: &Db, round: i64, acknowledged: &mut Samples, doubtful: &mut Samples) -> usize {
    let mut failures = 0;
    for step in 0..70i64 {
        let now = 10_000 + round * 4000 + step * 50;
        let mut appender = db.appender();
        let mut batch = Vec::new();
        for i in 0..SERIES {
            let late = step % 4 == 3 && i == 1;
            let t = if late { now - 333 } else { now };
            let value = (t * 7 + i as i64) as f64 / 3.0;
            match appender.append(0, &labels(i), 0, t, value) {
                Ok(_) => batch.push(((labels(i), t), value.to_bits())),
                Err(AppendError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        match appender.commit() {
            Ok(()) => acknowledged.extend(batch),
            Err(AppendError::Io(_) | AppendError::Unavailable(_)) => {
                failures += 1;
                doubtful.extend(batch);
            }
            Err(error) => panic!("{error}"),
        }
        if step % 20 == 19 && db.tick(0).is_err() {
            failures += 1;
        }
    }
    failures
}

fn content(db: &Db) -> Samples {
    let mut found = Samples::new();
    for (labels, columns) in read::all(db, i64::MIN, i64::MAX) {
        for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
            found.insert((labels.clone(), *t), v.to_bits());
        }
    }
    found
}

fn check(found: &Samples, acknowledged: &Samples, doubtful: &Samples, what: &str) {
    for (key, value) in acknowledged {
        assert_eq!(
            found.get(key),
            Some(value),
            "{what}: {} at {} is lost",
            key.0.get("i"),
            key.1
        );
    }
    for (key, value) in found {
        let known = acknowledged.get(key).or(doubtful.get(key));
        assert_eq!(
            known,
            Some(value),
            "{what}: {} at {} came from nowhere",
            key.0.get("i"),
            key.1
        );
    }
}

/// A start that reads the whole log has them, too, and not only one that takes a shortcut.
fn check_whole_log(dir: &Path, acknowledged: &Samples, doubtful: &Samples, what: &str) {
    let copy = tempfile::tempdir().unwrap();
    folder::copy(dir, copy.path());
    let db = Db::open(Options {
        shortcut_log_bytes: None,
        ..options(copy.path(), Arc::new(RealFs))
    });
    check(&content(&db.expect(what)), acknowledged, doubtful, what);
}

/// How many operations a life takes, first the opening, then all of it.
fn operations() -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultFs::new();
    let db = Db::open(options(dir.path(), Arc::new(fs.clone()))).unwrap();
    let opened = fs.operations();
    let (mut acknowledged, mut doubtful) = (Samples::new(), Samples::new());
    assert_eq!(live(&db, 0, &mut acknowledged, &mut doubtful), 0);
    assert!(db.blocks().len() > 1, "the life is too short to cut blocks");
    check(&content(&db), &acknowledged, &doubtful, "no fault");
    (opened, fs.operations())
}

/// One life with a fault at operation `at`, then another on the healthy disk.
fn fault_at(at: u64, fault: Fault) {
    let what = format!("{fault:?} at operation {at}");
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultFs::new();
    let (mut acknowledged, mut doubtful) = (Samples::new(), Samples::new());
    fs.plan(at, fault);
    if let Ok(db) = Db::open(options(dir.path(), Arc::new(fs.clone()))) {
        live(&db, 0, &mut acknowledged, &mut doubtful);
        // Reads go on, whatever happened to the writes.
        check(
            &content(&db),
            &acknowledged,
            &doubtful,
            &format!("{what}, right then"),
        );
        if !fs.crashed() {
            fs.heal();
            // Space is there again: it recovers by itself.
            let failures = live(&db, 1, &mut acknowledged, &mut doubtful);
            assert_eq!(failures, 0, "{what}: no recovery");
            check(&content(&db), &acknowledged, &doubtful, &what);
        }
    }
    for round in 2..4 {
        check_whole_log(dir.path(), &acknowledged, &doubtful, &what);
        let db = Db::open(options(dir.path(), Arc::new(RealFs))).expect(&what);
        check(
            &content(&db),
            &acknowledged,
            &doubtful,
            &format!("{what}, start {round}"),
        );
        assert_eq!(
            live(&db, round, &mut acknowledged, &mut doubtful),
            0,
            "{what}"
        );
        check(&content(&db), &acknowledged, &doubtful, &what);
        if round == 2 {
            db.close().unwrap();
        }
    }
}

/// Every operation would take minutes in a debug build: these are spread over all of them.
/// `TSDB_FAULTS` says how many (all of them with a large number), `TSDB_FAULT_AT` names one.
fn spread(salt: u64) -> Vec<u64> {
    let at = std::env::var("TSDB_FAULT_AT").ok();
    if let Some(at) = at.and_then(|at| at.parse().ok()) {
        return vec![at];
    }
    let count = std::env::var("TSDB_FAULTS")
        .ok()
        .and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(4);
    let (_, all) = operations();
    let step = (all / count as u64).max(1);
    let first = (salt % step) as usize;
    (0..all).skip(first).step_by(step as usize).collect()
}

#[test]
fn crashes() {
    for at in spread(1) {
        fault_at(at, Fault::Crash);
    }
}

#[test]
fn crashes_within_writes() {
    for at in spread(2) {
        fault_at(at, Fault::CrashInWrite(at as usize * 13 % 200));
    }
}

/// What running all of them has found.
#[test]
fn found_before() {
    // A torn write-behind log, and chunks of late samples that are in a block.
    for at in [169, 170, 171] {
        fault_at(at, Fault::CrashInWrite(at as usize * 13 % 200));
    }
}

#[test]
fn full_disks() {
    for at in spread(3) {
        fault_at(at, Fault::Full);
    }
}

#[test]
fn failing_writes() {
    for at in spread(4) {
        fault_at(at, Fault::Io);
    }
}

#[test]
fn opening_survives_every_fault() {
    let (opened, _) = operations();
    for at in 0..opened + 2 {
        for fault in [Fault::CrashInWrite(3), Fault::Full] {
            fault_at(at, fault);
        }
    }
}

/// A flipped bit may cost what it hit, and for a log what comes after it; it is counted, and what
/// is there is true.
#[test]
fn flipped_bits_are_found() {
    for at in spread(5) {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultFs::new();
        let (mut acknowledged, mut doubtful) = (Samples::new(), Samples::new());
        fs.plan(at, Fault::FlipBit);
        let db = Db::open(options(dir.path(), Arc::new(fs.clone()))).unwrap();
        live(&db, 0, &mut acknowledged, &mut doubtful);
        drop(db);
        // A damaged block is an error with a name; a damaged log is cut.
        if let Ok(db) = Db::open(options(dir.path(), Arc::new(RealFs))) {
            let querier = db.querier(i64::MIN, i64::MAX).unwrap();
            let Ok(set) = querier.select(true, &SelectHints::default(), &[]) else {
                continue;
            };
            for series in set.series {
                let mut columns = Columns::default();
                let _ = series.decode(i64::MIN, i64::MAX, &mut columns);
                for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
                    let key = (series.labels().clone(), *t);
                    assert_eq!(
                        acknowledged.get(&key),
                        Some(&v.to_bits()),
                        "bit flipped in {at}"
                    );
                }
            }
        }
    }
}
