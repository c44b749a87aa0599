//! Starts that read less of the log: what they find is what a start that reads all of it finds, and
//! whatever is not as it was when the shortcut was noted makes a start read all.

#![allow(clippy::unwrap_used)]

mod folder;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use folder::copy;
use model::{Exemplar, FloatHistogram, Histogram, Labels, Matcher, Metadata, MetricType, Span};
use storage::Appendable;
use tsdb::{Db, Options};

const BLOCK_MS: i64 = 40_000;

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.min_block_duration_ms = BLOCK_MS;
    options.retention.duration_ms = 0;
    options.block_reload_interval_ms = 0;
    options.wal_segment_bytes = 128 * 1024;
    options.samples_per_chunk = 20;
    options.max_exemplars = 100;
    options.out_of_order_window_ms = 5_000;
    options.out_of_order_cap = 4;
    options.shortcut_log_bytes = Some(0);
    options
}

fn labels(i: i64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

/// Everything that a query can see, as text.
#[derive(Debug, PartialEq)]
struct Content {
    samples: BTreeMap<String, BTreeMap<i64, String>>,
    exemplars: String,
    metadata: Vec<Option<Metadata>>,
}

fn content(db: &Db) -> Content {
    let mut samples = BTreeMap::new();
    for (labels, columns) in read::all(db, i64::MIN, i64::MAX) {
        let floats = columns.float_ms.iter().zip(&columns.floats);
        let histograms = columns.histogram_ms.iter().zip(&columns.histograms);
        let all = floats
            .map(|(t, v)| (*t, format!("{:x}", v.to_bits())))
            .chain(histograms.map(|(t, h)| (*t, format!("{h:?}"))));
        samples.insert(labels.to_string(), all.collect());
    }
    Content {
        samples,
        exemplars: format!("{:?}", db.exemplars(i64::MIN, i64::MAX, &[vec![]])),
        metadata: (0..60).map(|i| db.metadata(&labels(i))).collect(),
    }
}

/// Bytes of the log that the start of `db` has skipped.
fn skipped(db: &Db) -> f64 {
    let rendered = db.options().registry.render(None);
    let text = String::from_utf8(rendered.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("firewatch_wal_replay_skipped_bytes "));
    line.unwrap().parse().unwrap()
}

struct World {
    root: tempfile::TempDir,
    next: i64,
}

impl World {
    fn new() -> World {
        World {
            root: tempfile::tempdir().unwrap(),
            next: 1_000_000,
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn open(&self) -> Db {
        Db::open(options(&self.dir())).unwrap()
    }

    /// Rounds of floats, histograms of both kinds, late samples, exemplars, metadata; series that end and
    /// others that begin.
    fn live(&mut self, db: &Db, rounds: i64) {
        for round in 0..rounds {
            self.next += 100;
            let now = self.next;
            let mut batch = db.appender();
            for i in (0..20).chain(100..200) {
                // Not to be compressed.
                let bits = ((now * 1000 + i) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let v = (bits >> 11) as f64;
                batch.append(0, &labels(i), 0, now, v).unwrap();
            }
            // Each of them lives for a while.
            let young = 30 + now / 20_000 % 20;
            batch.append(0, &labels(young), 0, now, now as f64).unwrap();
            let exemplar = Exemplar {
                labels: Labels::from_pairs([("trace", &now.to_string())]),
                value: 1.0,
                timestamp_ms: Some(now),
            };
            if round % 100 == 60 {
                batch.append_exemplar(0, &labels(3), &exemplar).unwrap();
                let metadata = Metadata {
                    metric_type: MetricType::Counter,
                    unit: String::new(),
                    help: format!("at {now}"),
                };
                batch.update_metadata(0, &labels(4), &metadata).unwrap();
            }
            if round % 11 == 10 {
                batch.append(0, &labels(5), 0, now - 250, 0.5).unwrap();
            }
            let count = (now / 100) as u64;
            let spans = vec![Span {
                offset: 0,
                length: 2,
            }];
            let histogram = Histogram {
                count,
                sum: now as f64,
                positive_spans: spans.clone(),
                positive_buckets: vec![(count / 2) as i64, 0],
                ..Histogram::default()
            };
            let label = Labels::from_pairs([("__name__", "h")]);
            if histogram.validate().is_ok() {
                batch
                    .append_histogram(0, &label, 0, now, &histogram)
                    .unwrap();
            }
            let float = FloatHistogram {
                count: now as f64,
                sum: 3.0,
                positive_spans: spans,
                positive_buckets: vec![now as f64, 0.0],
                ..FloatHistogram::default()
            };
            let label = Labels::from_pairs([("__name__", "f")]);
            batch
                .append_float_histogram(0, &label, 0, now, &float)
                .unwrap();
            batch.commit().unwrap();
        }
    }

    /// Opens a copy of the folder, changed by `change`, once as it is and once without shortcut: both find
    /// the same. Answers what was skipped.
    fn same(&self, change: impl Fn(&Path)) -> (f64, Content) {
        let open = |name: &str, shortcut: Option<u64>| {
            let dir = self.root.path().join(name);
            copy(&self.dir(), &dir);
            change(&dir);
            let db = Db::open(Options {
                shortcut_log_bytes: shortcut,
                ..options(&dir)
            })
            .unwrap();
            let found = (skipped(&db), content(&db));
            drop(db);
            std::fs::remove_dir_all(&dir).unwrap();
            found
        };
        let (bytes, short) = open("short", Some(0));
        let (none, full) = open("full", None);
        assert_eq!(none, 0.0);
        for (labels, want) in &full.samples {
            assert_eq!(short.samples.get(labels), Some(want), "{labels}");
        }
        assert_eq!(short, full);
        (bytes, short)
    }
}

fn log_files(dir: &Path, folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn a_start_skips_samples_and_finds_the_same() {
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 333);
    let nothing = content(&db);
    db.tick(0).unwrap();
    world.live(&db, 41);
    let want = content(&db);
    assert_ne!(want, nothing);
    drop(db);
    let (bytes, found) = world.same(|_| {});
    assert!(bytes > 100_000.0, "{bytes}");
    assert_eq!(found, want);
    // Again and again, with what a start has left behind.
    for round in 0..4 {
        let db = world.open();
        assert!(skipped(&db) > 100_000.0);
        assert_eq!(content(&db).samples, want.samples, "{round}");
        drop(db);
    }
    let db = world.open();
    world.live(&db, 77);
    db.tick(0).unwrap();
    let want = content(&db);
    drop(db);
    let (more, found) = world.same(|_| {});
    assert!(more > bytes);
    assert_eq!(found, want);
}

#[test]
fn a_clean_stop_leaves_nothing_to_read() {
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 250);
    let want = content(&db);
    db.close().unwrap();
    let (bytes, found) = world.same(|_| {});
    assert_eq!(found, want);
    // What is read all the same are the pages with exemplars and metadata.
    assert!(bytes > 50_000.0, "{bytes}");
}

#[test]
fn deletions_and_ended_series_stay_what_they_are() {
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 200);
    let now = world.next;
    let delete = |from: i64, to: i64, i: i64| {
        let matcher = Matcher::equal("i", i.to_string());
        db.delete_series(from, to, &[matcher]).unwrap();
    };
    delete(now - 900, now - 500, 1);
    delete(now - 15_000, now - 9_000, 2);
    let mut batch = db.appender();
    for i in [6, 7] {
        batch
            .append(0, &labels(i), 0, now + 50, model::STALE_NAN)
            .unwrap();
    }
    batch.commit().unwrap();
    db.tick(0).unwrap();
    world.live(&db, 3);
    delete(now - 300, now + 100, 3);
    let want = content(&db);
    drop(db);
    let (bytes, found) = world.same(|_| {});
    assert!(bytes > 50_000.0, "{bytes}");
    assert_eq!(found, want);
    // Ended series leave for blocks, and come back under other numbers.
    let db = world.open();
    let mut batch = db.appender();
    for i in 8..20 {
        let t = world.next + 10;
        batch.append(0, &labels(i), 0, t, model::STALE_NAN).unwrap();
    }
    batch.commit().unwrap();
    db.set_stale_series_threshold(0.01);
    db.tick(100_000).unwrap();
    assert!(!db.blocks().is_empty());
    world.live(&db, 20);
    db.tick(100_000).unwrap();
    world.live(&db, 20);
    let want = content(&db);
    drop(db);
    let (bytes, found) = world.same(|_| {});
    assert!(bytes > 50_000.0, "{bytes}");
    assert_eq!(found.samples, want.samples);
}

#[test]
fn blocks_and_checkpoints_do_not_mislead() {
    let mut world = World::new();
    let db = world.open();
    for _ in 0..5 {
        world.live(&db, 200);
        let before = world.root.path().join("before");
        let shortcut = world.dir().join("wal_shortcut");
        if shortcut.exists() {
            std::fs::copy(&shortcut, &before).unwrap();
        }
        db.tick(0).unwrap();
        let want = content(&db);
        let (_, found) = world.same(|_| {});
        assert_eq!(found.samples, want.samples);
        if before.exists() {
            // One from before a block was cut, and segments went.
            let (_, found) = world.same(|dir| {
                std::fs::copy(&before, dir.join("wal_shortcut")).unwrap();
            });
            assert_eq!(found.samples, want.samples);
        }
        // The log goes on.
        world.live(&db, 5);
        let want = content(&db);
        let (bytes, found) = world.same(|_| {});
        assert_eq!(found.samples, want.samples);
        assert!(bytes > 0.0);
    }
    assert!(db.blocks().len() > 1);
    let names = log_files(&world.dir(), "wal");
    assert!(!names[0].ends_with("00000000"), "{names:?}");
}

#[test]
fn doubt_makes_a_start_read_all() {
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 150);
    db.tick(0).unwrap();
    let older = world.root.path().join("older");
    copy(&world.dir(), &older);
    world.live(&db, 200);
    db.tick(0).unwrap();
    world.live(&db, 10);
    let want = content(&db);
    drop(db);
    assert!(world.same(|_| {}).0 > 0.0);

    let refused = |what: &str, change: &dyn Fn(&Path)| {
        let (bytes, found) = world.same(change);
        assert_eq!(bytes, 0.0, "{what}");
        found
    };
    let whole = |what: &str, change: &dyn Fn(&Path)| {
        assert_eq!(refused(what, change).samples, want.samples, "{what}");
    };
    let shortcut = |dir: &Path| dir.join("wal_shortcut");
    let rewrite = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    };
    let len = std::fs::metadata(shortcut(&world.dir())).unwrap().len() as usize;
    for at in [0, 9, len / 3, len / 2, len - 40, len - 5, len - 1] {
        whole("a flipped bit", &|dir| {
            rewrite(&shortcut(dir), &|bytes| bytes[at] ^= 4)
        });
        whole("a torn file", &|dir| {
            rewrite(&shortcut(dir), &|bytes| bytes.truncate(at))
        });
    }
    // Full chunks that are lost are in the log.
    let chunks = log_files(&world.dir(), "chunks_head");
    assert!(!chunks.is_empty());
    for file in &chunks {
        let name = file.file_name().unwrap();
        let file = |dir: &Path| dir.join("chunks_head").join(name);
        whole("no chunk file", &|dir| {
            std::fs::remove_file(file(dir)).unwrap()
        });
        whole("a damaged chunk", &|dir| {
            rewrite(&file(dir), &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            })
        });
        whole("a short chunk file", &|dir| {
            rewrite(&file(dir), &|bytes| bytes.truncate(bytes.len() - 40))
        });
    }
    whole("no chunk files", &|dir| {
        std::fs::remove_dir_all(dir.join("chunks_head")).unwrap()
    });
    // A log that is not the one that was noted.
    let segments = log_files(&world.dir(), "wal");
    for segment in &segments[..segments.len() - 1] {
        let name = segment.file_name().unwrap();
        refused("a shorter segment", &|dir| {
            rewrite(&dir.join("wal").join(name), &|bytes| {
                bytes.truncate(bytes.len() - 70)
            })
        });
        refused("no such segment", &|dir| {
            std::fs::remove_file(dir.join("wal").join(name)).unwrap()
        });
    }
    refused("a log of an earlier moment", &|dir| {
        for folder in ["wal", "chunks_head"] {
            std::fs::remove_dir_all(dir.join(folder)).unwrap();
            copy(&older.join(folder), &dir.join(folder));
        }
    });
    // The other way round is no reason for doubt.
    let (bytes, found) = world.same(|dir| {
        std::fs::copy(shortcut(&older), shortcut(dir)).unwrap();
    });
    assert!(bytes > 0.0);
    assert_eq!(found.samples, want.samples);
    // Damage where nobody looks any more costs nothing; in what is read, as much as it always did.
    let first = &segments[0];
    let name = first.file_name().unwrap();
    let middle = std::fs::metadata(first).unwrap().len() as usize / 2;
    let dir = world.root.path().join("damaged");
    copy(&world.dir(), &dir);
    rewrite(&dir.join("wal").join(name), &|bytes| bytes[middle] ^= 1);
    let db = Db::open(options(&dir)).unwrap();
    assert!(content(&db).samples.len() > 20);
}

/// Damage that nobody reads any more keeps old segments from going: the next start reads, and repairs.
#[test]
fn damage_that_is_in_the_way_is_found() {
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 300);
    db.tick(0).unwrap();
    let first = log_files(&world.dir(), "wal").remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    world.live(&db, 500);
    assert!(db.tick(0).is_err());
    for _ in 0..2 {
        world.live(&db, 1);
        let _ = db.tick(0);
        assert!(!world.dir().join("wal_shortcut").exists());
    }
    drop(db);
    let db = world.open();
    assert_eq!(skipped(&db), 0.0);
    db.tick(0).unwrap();
    world.live(&db, 300);
    db.tick(0).unwrap();
    let want = content(&db);
    drop(db);
    assert_eq!(world.same(|_| {}).1.samples, want.samples);
}

/// Another log under the same names, as long as the old one.
#[test]
fn another_log_is_not_taken_for_this_one() {
    let mut first = World::new();
    let db = first.open();
    first.live(&db, 100);
    db.tick(0).unwrap();
    drop(db);
    let mut second = World::new();
    second.next += 3_600_000;
    let db = second.open();
    second.live(&db, 140);
    let want = content(&db);
    drop(db);
    let foreign = first.dir().join("wal_shortcut");
    let (bytes, found) = second.same(|dir| {
        std::fs::copy(&foreign, dir.join("wal_shortcut")).unwrap();
    });
    assert_eq!(bytes, 0.0);
    assert_eq!(found, want);
}

/// Series that the log has under two numbers, as Prometheus may leave them.
#[test]
fn two_numbers_of_one_series() {
    use tsdb_format::wal::page::Compression;
    use tsdb_format::wal::record::{RefSample, encode_samples, encode_series};
    let mut world = World::new();
    let db = world.open();
    world.live(&db, 100);
    db.tick(0).unwrap();
    drop(db);
    let fs: std::sync::Arc<dyn tsdb::fs::FileSystem> = std::sync::Arc::new(tsdb::fs::RealFs);
    let wal = world.dir().join("wal");
    let mut writer = tsdb::wal::Writer::open(fs, &wal, 1 << 20, Compression::Snappy, None).unwrap();
    let (mut series, mut samples) = (Vec::new(), Vec::new());
    encode_series([(7_777, &labels(1))], &mut series);
    let late = RefSample {
        reference: 7_777,
        start_ms: 0,
        t_ms: world.next + 50,
        value: 5.0,
    };
    encode_samples(&[late], &mut samples);
    writer.log([&series[..], &samples[..]]).unwrap();
    drop(writer);
    let (bytes, found) = world.same(|_| {});
    assert_eq!(bytes, 0.0);
    let samples = &found.samples[&labels(1).to_string()];
    assert!(samples.contains_key(&(world.next + 50)));
}

/// What is noted while others append is true of what they append.
#[test]
fn noted_while_others_append() {
    let world = World::new();
    let done = |threads: &[std::thread::ScopedJoinHandle<'_, ()>]| {
        threads
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
    };
    for round in 0..3i64 {
        let db = world.open();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3i64)
                .map(|thread| {
                    let db = &db;
                    scope.spawn(move || {
                        for step in 0..200 {
                            let t = 1_000_000 + round * 2_000 + step * 10;
                            let mut batch = db.appender();
                            for i in 0..30 {
                                let labels = labels(1000 + thread * 100 + i);
                                batch.append(0, &labels, 0, t, t as f64).unwrap();
                            }
                            // A new series now and then, with a sample at once.
                            let young = labels(10_000 + thread * 1000 + round * 200 + step / 10);
                            batch.append(0, &young, 0, t, t as f64).unwrap();
                            batch.commit().unwrap();
                        }
                    })
                })
                .collect();
            let mut ticks = 0;
            while !done(&threads) || ticks == 0 {
                db.tick(0).unwrap();
                ticks += 1;
            }
        });
        drop(db);
        let (_, found) = world.same(|_| {});
        let steps: Vec<i64> = (0..=round)
            .flat_map(|round| (0..200).map(move |step| 1_000_000 + round * 2_000 + step * 10))
            .collect();
        for thread in 0..3 {
            for i in 0..30 {
                let samples = &found.samples[&labels(1000 + thread * 100 + i).to_string()];
                assert!(
                    samples.keys().eq(steps.iter()),
                    "round {round}: {samples:?}"
                );
            }
            for young in 0..20 {
                let name = labels(10_000 + thread * 1000 + round * 200 + young).to_string();
                assert_eq!(found.samples[&name].len(), 10, "round {round}: {name}");
            }
        }
    }
}
