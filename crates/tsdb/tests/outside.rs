//! Blocks that others put into the data folder, take away, or have not yet copied elsewhere.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use model::{Labels, Matcher};
use parking_lot::Mutex;
use storage::{Appendable, Columns, Queryable, SelectHints};
use tsdb::{Db, Options};

/// Blocks of a second, compacted to three and nine.
fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.clock = Arc::new(|| 0);
    options.retention = tsdb::db::Retention::default();
    options.min_block_duration_ms = 1000;
    options.max_block_duration_ms = 9000;
    options
}

/// A series with a sample every 10 ms, from `start_ms` on.
fn fill(db: &Db, start_ms: i64, samples: i64) {
    let labels = Labels::from_pairs([("__name__", "a")]);
    let mut appender = db.appender();
    for i in 0..samples {
        let t_ms = start_ms + 10 * i;
        appender.append(0, &labels, 0, t_ms, t_ms as f64).unwrap();
    }
    appender.commit().unwrap();
}

fn times(db: &Db) -> Vec<i64> {
    let querier = db.querier(0, i64::MAX).unwrap();
    let any = [Matcher::not_equal("__name__", "")];
    let set = querier.select(true, &SelectHints::default(), &any).unwrap();
    let mut columns = Columns::default();
    for series in set.series {
        series.decode(0, i64::MAX, &mut columns).unwrap();
    }
    columns.float_ms
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn blocks_come_and_go() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backfill = Db::open(options(theirs.path())).unwrap();
    fill(&backfill, 0, 300);
    backfill.compact().unwrap();
    let block = backfill.blocks().remove(0);

    let mut with_interval = options(ours.path());
    with_interval.block_reload_interval_ms = 60_000;
    let db = Db::open(with_interval).unwrap();
    fill(&db, 100_000, 5);
    let own = times(&db);
    let there = ours.path().join(&block.ulid);
    // One that is on its way has no meta.json yet, or not all of its files.
    copy(&block.dir.join("chunks"), &there.join("chunks"));
    db.tick(60_000).unwrap();
    std::fs::copy(block.dir.join("meta.json"), there.join("meta.json")).unwrap();
    db.tick(120_000).unwrap();
    assert_eq!(db.blocks(), []);
    copy(&block.dir, &there);
    db.tick(179_999).unwrap();
    assert_eq!(db.blocks(), [], "not due");
    db.tick(180_000).unwrap();
    assert_eq!(db.blocks().len(), 1);
    let expected: Vec<i64> = (block.min_ms..block.max_ms).step_by(10).collect();
    assert_eq!(times(&db), [&expected[..], &own].concat());

    std::fs::remove_dir_all(&there).unwrap();
    db.tick(240_000).unwrap();
    assert_eq!(db.blocks(), []);
    assert_eq!(times(&db), own);
}

#[test]
fn a_block_takes_the_place_of_its_parents() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut small = options(ours.path());
    small.max_block_duration_ms = 1000;
    let db = Db::open(small).unwrap();
    fill(&db, 0, 800);
    db.compact().unwrap();
    let before = (db.blocks().len(), times(&db));
    assert!(before.0 > 4);
    db.snapshot(theirs.path(), false).unwrap();
    // Somebody else compacts them.
    let compactor = Db::open(options(theirs.path())).unwrap();
    compactor.compact().unwrap();
    for block in compactor.blocks() {
        let there = ours.path().join(&block.ulid);
        if !there.exists() {
            copy(&block.dir, &there);
        }
    }
    db.tick(60_000).unwrap();
    assert!(db.blocks().len() < before.0);
    assert_eq!(times(&db), before.1);
    let on_disk = std::fs::read_dir(ours.path()).unwrap().flatten();
    let on_disk = on_disk.filter(|e| e.file_name().len() == 26).count();
    assert_eq!(on_disk, db.blocks().len());
}

#[test]
fn what_is_not_copied_yet_is_not_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let copied: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let mut options = options(dir.path());
    let asked = Arc::clone(&copied);
    options.keep_block = Some(Arc::new(move |meta| {
        meta.compaction.level == 1 && !asked.lock().contains(&meta.ulid.to_string())
    }));
    let db = Db::open(options).unwrap();
    fill(&db, 0, 800);
    db.compact().unwrap();
    let all = db.blocks();
    let before = times(&db);
    assert!(all.len() >= 6, "{all:?}");
    let mut names: Vec<String> = all.iter().map(|block| block.ulid.clone()).collect();
    names.sort();
    // A gap: what comes after the first that waits, waits too.
    copied.lock().extend(names[1..].to_vec());
    db.compact().unwrap();
    assert_eq!(db.blocks(), all);
    copied.lock().insert(names[0].clone());
    db.compact().unwrap();
    assert!(db.blocks().len() < all.len());
    assert_eq!(times(&db), before);
}

#[test]
fn chunk_files_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.block_segment_bytes = 200;
    let db = Db::open(options).unwrap();
    fill(&db, 0, 800);
    db.compact().unwrap();
    let files = |dir: &Path| std::fs::read_dir(dir.join("chunks")).unwrap().count();
    assert!(db.blocks().iter().any(|block| files(&block.dir) > 1));
    assert_eq!(times(&db).len(), 800);
}
