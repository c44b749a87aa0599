//! Starts that take long: samples are taken while the log is still being read, nothing of them is
//! lost, and nobody is told half of the truth meanwhile.

#![allow(clippy::unwrap_used)]

mod read;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Labels, Matcher, STALE_NAN};
use parking_lot::{Condvar, Mutex};
use storage::{Appendable, Queryable, SelectHints, StorageError};
use tsdb::db::Progress;
use tsdb::fs::{Entry, File, FileSystem, Mapping, RealFs, Space};
use tsdb::{Db, Error, Options};

/// The real files; from its second opening on, a log segment opens only when it is let.
#[derive(Default)]
struct SlowFs {
    opened: Mutex<HashMap<PathBuf, usize>>,
    let_go: Mutex<bool>,
    changed: Condvar,
}

impl SlowFs {
    fn release(&self) {
        *self.let_go.lock() = true;
        self.changed.notify_all();
    }
}

impl FileSystem for SlowFs {
    fn map(&self, path: &Path) -> io::Result<Mapping> {
        let log = path.parent().is_some_and(|dir| dir.ends_with("wal"));
        if log {
            let mut opened = self.opened.lock();
            let count = opened.entry(path.to_owned()).or_default();
            *count += 1;
            let wait = *count > 1;
            drop(opened);
            let mut let_go = self.let_go.lock();
            while wait && !*let_go {
                self.changed.wait(&mut let_go);
            }
        }
        FileSystem::map(&RealFs, path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealFs.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealFs.open(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFs.read(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        RealFs.len(path)
    }
    fn exists(&self, path: &Path) -> bool {
        RealFs.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealFs.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        RealFs.space(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealFs.lock(path)
    }
}

const BLOCK_MS: i64 = 10_000;

fn options(dir: &Path, fs: Arc<dyn FileSystem>, window_ms: i64) -> Options {
    let mut options = Options::new(dir);
    options.fs = fs;
    options.background = false;
    options.min_block_duration_ms = BLOCK_MS;
    options.retention.duration_ms = 0;
    options.wal_segment_bytes = 64 * 1024;
    options.out_of_order_window_ms = window_ms;
    options.samples_per_chunk = 20;
    options
}

fn labels(i: i64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

type Samples = BTreeMap<(String, i64), u64>;

fn content(db: &Db) -> Samples {
    let mut found = Samples::new();
    for (labels, columns) in read::all(db, i64::MIN, i64::MAX) {
        for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
            found.insert((labels.to_string(), *t), v.to_bits());
        }
    }
    found
}

struct World {
    dir: tempfile::TempDir,
    want: Samples,
    window_ms: i64,
}

impl World {
    fn put(&mut self, db: &Db, i: i64, t: i64, v: f64) {
        let mut appender = db.appender();
        appender.append(0, &labels(i), 0, t, v).unwrap();
        appender.commit().unwrap();
        self.want.insert((labels(i).to_string(), t), v.to_bits());
    }

    /// A folder with blocks and a log of many segments, left as by kill -9.
    fn new(window_ms: i64) -> World {
        let mut world = World {
            dir: tempfile::tempdir().unwrap(),
            want: Samples::new(),
            window_ms,
        };
        let db = Db::open(options(world.dir.path(), Arc::new(RealFs), window_ms)).unwrap();
        for step in 0..300 {
            for i in 0..30 {
                world.put(&db, i, 100_000 + step * 100, (step * i) as f64 / 3.0);
            }
            if step == 200 {
                db.compact().unwrap();
            }
        }
        assert!(!db.blocks().is_empty());
        world
    }

    fn slow(&self) -> (Db, Arc<SlowFs>, Arc<Progress>) {
        let fs = Arc::new(SlowFs::default());
        let progress = Arc::new(Progress::default());
        let options = options(
            self.dir.path(),
            Arc::clone(&fs) as Arc<dyn FileSystem>,
            self.window_ms,
        );
        let db = Db::open_early(options, Arc::clone(&progress)).unwrap();
        (db, fs, progress)
    }

    /// Samples of known and of new series, and with a window also late ones.
    fn early(&mut self, db: &Db, round: i64) {
        let now = 130_000 + round * 1000;
        for step in 0..5 {
            for i in [0, 7, 29, 40 + round] {
                self.put(db, i, now + step * 10, (now + step + i) as f64);
            }
        }
        if self.window_ms > 0 {
            for i in [3, 7, 40 + round] {
                self.put(db, i, now - 1995, (now * 3 + i) as f64);
            }
        }
    }

    fn check(&self, db: &Db) {
        let found = content(db);
        let missing = self.want.iter().find(|(key, v)| found.get(*key) != Some(v));
        assert_eq!(missing, None);
        assert_eq!(found.len(), self.want.len());
    }
}

#[test]
fn samples_are_taken_while_the_log_is_read() {
    for window_ms in [0, 5_000] {
        let mut world = World::new(window_ms);
        let (db, fs, progress) = world.slow();
        world.early(&db, 0);
        assert!(!progress.done.load(Ordering::Acquire));
        assert!(progress.max.load(Ordering::Acquire) > progress.min.load(Ordering::Acquire));
        // What needs the log says so; what lies in blocks is answered.
        let error = db.querier(0, i64::MAX).map(drop).unwrap_err();
        assert!(
            matches!(&error, StorageError::NotReady(text) if text.contains("segment")),
            "{error}"
        );
        assert!(matches!(
            db.delete_series(0, 1, &[Matcher::equal("i", "1")]),
            Err(Error::Replaying(_))
        ));
        assert!(matches!(
            db.snapshot(&world.dir.path().join("s"), true),
            Err(Error::Replaying(_))
        ));
        assert!(db.tick(0).is_ok());
        let querier = db.querier(0, 101_000).unwrap();
        let set = querier.select(true, &SelectHints::default(), &[]).unwrap();
        assert_eq!(set.series.len(), 30);
        let waiting = Arc::new(AtomicBool::new(true));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                db.replayed().unwrap();
                waiting.store(false, Ordering::Release);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(waiting.load(Ordering::Acquire));
            fs.release();
        });
        assert!(progress.done.load(Ordering::Acquire));
        world.check(&db);
        // Afterwards everything goes its usual way, and stays.
        world.early(&db, 1);
        db.compact().unwrap();
        world.check(&db);
        drop(db);
        assert!(!world.dir.path().join("wal_unsettled").exists());
        let db = Db::open(options(world.dir.path(), Arc::new(RealFs), window_ms)).unwrap();
        world.check(&db);
    }
}

#[test]
fn killed_while_the_log_is_read() {
    for window_ms in [0, 5_000] {
        let mut world = World::new(window_ms);
        for round in 0..3 {
            let (db, fs, _) = world.slow();
            world.early(&db, round);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(30));
                    fs.release();
                });
                // The stop is asked for before the log is let go.
                drop(db);
            });
        }
        let db = Db::open(options(world.dir.path(), Arc::new(RealFs), window_ms)).unwrap();
        world.check(&db);
        db.compact().unwrap();
        world.check(&db);
        drop(db);
        let db = Db::open(options(world.dir.path(), Arc::new(RealFs), window_ms)).unwrap();
        world.check(&db);
    }
}

#[test]
fn what_is_refused_only_later_is_not_kept() {
    let mut world = World::new(0);
    let (db, fs, _) = world.slow();
    let mut appender = db.appender();
    // Behind its series: nobody can know yet.
    appender.append(0, &labels(1), 0, 129_000, 5.0).unwrap();
    // Before the blocks' end: that is known.
    assert!(appender.append(0, &labels(2), 0, 1_000, 5.0).is_err());
    appender.commit().unwrap();
    world.put(&db, 1, 131_000, STALE_NAN);
    fs.release();
    db.replayed().unwrap();
    world.check(&db);
}

#[test]
fn damage_in_the_old_log_spares_the_new_one() {
    let mut world = World::new(0);
    let wal = world.dir.path().join("wal");
    let mut old: Vec<PathBuf> = std::fs::read_dir(&wal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    old.sort();
    let victim = &old[old.len() / 2];
    let mut bytes = std::fs::read(victim).unwrap();
    // Behind the header of a page.
    let middle = bytes.len() / 2 + 500;
    bytes[middle] ^= 0x10;
    std::fs::write(victim, bytes).unwrap();
    let (db, fs, _) = world.slow();
    let before = world.want.clone();
    world.early(&db, 0);
    fs.release();
    db.replayed().unwrap();
    let found = content(&db);
    let new = world
        .want
        .iter()
        .filter(|(key, _)| !before.contains_key(*key));
    assert!(new.clone().count() >= 20);
    for (key, value) in new {
        assert_eq!(found.get(key), Some(value), "{key:?}");
    }
    let families = db.options().registry.gather();
    let counted = families
        .iter()
        .find(|family| family.name == "prometheus_tsdb_wal_corruptions_total")
        .and_then(|family| family.metrics.first());
    let one = exposition::Value::Counter(1.0);
    assert_eq!(counted.map(|metric| &metric.value), Some(&one));
    // Prometheus wants the numbers without a gap.
    let mut numbers: Vec<u64> = std::fs::read_dir(&wal)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{numbers:?}"
    );
    drop(db);
    let db = Db::open(options(world.dir.path(), Arc::new(RealFs), 0)).unwrap();
    assert_eq!(content(&db), found);
}
