//! Random lives of a database against a plain map: appends in order and late, deletions,
//! compactions, restarts, kills.

#![allow(clippy::unwrap_used)]

mod folder;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{Labels, Matcher};
use proptest::prelude::*;
use storage::{AppendError, Appendable, Columns, LabelHints, Queryable, SelectHints};
use tsdb::{Db, Options};

const BLOCK_MS: i64 = 1000;
const WINDOW_MS: i64 = 1500;
const SERIES: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    /// Advances the clock, then appends to the series of the mask, this late.
    Append {
        advance: i64,
        mask: u8,
        late: i64,
    },
    /// Many appends in a row, to fill chunks and blocks.
    Run {
        count: u8,
        step: i64,
        mask: u8,
    },
    Delete {
        series: u8,
        back: i64,
        len: i64,
    },
    Compact,
    Clean,
    /// Notes what a start need not read.
    Note,
    /// Series that ended leave the head early.
    Stale,
    Restart,
    Kill,
    /// Killed, and appended to while the log is being read; killed once more meanwhile, if set.
    Early {
        again: bool,
    },
    Check {
        back: i64,
        len: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..300i64, any::<u8>(), prop_oneof![3 => Just(0), 2 => 0..2000i64])
            .prop_map(|(advance, mask, late)| Step::Append { advance, mask, late }),
        4 => (1..200u8, 1..40i64, any::<u8>())
            .prop_map(|(count, step, mask)| Step::Run { count, step, mask }),
        1 => (0..SERIES as u8, 0..3000i64, 0..1500i64)
            .prop_map(|(series, back, len)| Step::Delete { series, back, len }),
        2 => Just(Step::Compact),
        1 => Just(Step::Clean),
        2 => Just(Step::Note),
        1 => Just(Step::Stale),
        1 => Just(Step::Restart),
        2 => Just(Step::Kill),
        1 => any::<bool>().prop_map(|again| Step::Early { again }),
        2 => (0..5000i64, 0..3000i64).prop_map(|(back, len)| Step::Check { back, len }),
    ];
    proptest::collection::vec(step, 1..40)
}

struct World {
    dir: tempfile::TempDir,
    db: Option<Db>,
    late: bool,
    now: i64,
    clock: Arc<AtomicI64>,
    map: BTreeMap<Labels, BTreeMap<i64, f64>>,
    deleted: Vec<(usize, i64, i64)>,
    references: Vec<u64>,
    ticks: i64,
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("metric_{}", i % 3)),
        ("series".to_owned(), i.to_string()),
        (
            "opt".to_owned(),
            if i.is_multiple_of(2) {
                "even".to_owned()
            } else {
                String::new()
            },
        ),
    ])
}

/// The value at a time: a sample that comes twice comes the same.
fn value(i: usize, t: i64) -> f64 {
    match i {
        0 => 7.0,
        1 if t % 10 == 3 => model::STALE_NAN,
        _ => (t * 31 + i as i64) as f64 / 7.0,
    }
}

fn options(dir: &Path, late: bool, clock: &Arc<AtomicI64>) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.min_block_duration_ms = BLOCK_MS;
    options.max_block_duration_ms = BLOCK_MS * 9;
    options.retention.duration_ms = 0;
    options.wal_segment_bytes = 64 * 1024;
    options.out_of_order_window_ms = if late { WINDOW_MS } else { 0 };
    options.out_of_order_cap = 4;
    options.samples_per_chunk = 12;
    options.shortcut_log_bytes = Some(0);
    let clock = Arc::clone(clock);
    options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    options
}

impl World {
    fn new(late: bool) -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(1));
        let db = Db::open(options(dir.path(), late, &clock)).unwrap();
        World {
            dir,
            db: Some(db),
            late,
            now: 10_000,
            clock,
            map: BTreeMap::new(),
            deleted: Vec::new(),
            references: vec![0; SERIES],
            ticks: 0,
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn reopen(&mut self, clean: bool) {
        let db = self.db.take().unwrap();
        if clean {
            db.close().unwrap();
        }
        drop(db);
        self.check_whole_log();
        self.references = vec![0; SERIES];
        self.db = Some(Db::open(options(self.dir.path(), self.late, &self.clock)).unwrap());
    }

    /// A start that reads the whole log finds the same as one that takes a shortcut.
    fn check_whole_log(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        folder::copy(self.dir.path(), copy.path());
        let options = Options {
            shortcut_log_bytes: None,
            ..options(copy.path(), self.late, &self.clock)
        };
        self.db = Some(Db::open(options).unwrap());
        self.check(i64::MIN, i64::MAX);
        self.db = None;
    }

    /// A start during which samples come that are newer than all others.
    fn reopen_early(&mut self, again: bool) {
        for _ in 0..=u8::from(again) {
            self.db = None;
            let options = options(self.dir.path(), self.late, &self.clock);
            self.db = Some(Db::open_early(options, Arc::default()).unwrap());
            self.references = vec![0; SERIES];
            for _ in 0..3 {
                self.now += 7;
                self.append(0b11_1111, 0);
            }
        }
        self.db().replayed().unwrap();
    }

    fn append(&mut self, mask: u8, late: i64) {
        let t = self.now - late;
        let mut appender = self.db().appender();
        let mut taken = Vec::new();
        for i in (0..SERIES).filter(|i| mask >> i & 1 == 1) {
            let hidden =
                |(series, from, to): &(usize, i64, i64)| *series == i && (*from..=*to).contains(&t);
            if self.deleted.iter().any(hidden) {
                continue;
            }
            let set = labels(i);
            match appender.append(self.references[i], &set, 0, t, value(i, t)) {
                Ok(reference) => {
                    self.references[i] = reference;
                    taken.push(i);
                }
                Err(AppendError::OutOfOrder | AppendError::OutOfBounds | AppendError::TooOld) => {
                    let last = self.map.get(&set).and_then(|s| s.last_key_value());
                    let newest = self
                        .map
                        .values()
                        .filter_map(|s| s.last_key_value())
                        .map(|(t, _)| *t)
                        .max();
                    // Refused only what is behind its series or far behind the newest.
                    assert!(
                        last.is_some_and(|(last, _)| t <= *last)
                            || newest.is_some_and(|n| t < n - BLOCK_MS / 2),
                        "{set} at {t} was refused, last {last:?}, newest {newest:?}"
                    );
                }
                Err(error) => panic!("{error}"),
            }
        }
        appender.commit().unwrap();
        for i in taken {
            self.map
                .entry(labels(i))
                .or_default()
                .entry(t)
                .or_insert(value(i, t));
        }
    }

    fn delete(&mut self, i: usize, from: i64, to: i64) {
        self.db()
            .delete_series(from, to, &[Matcher::equal("series", i.to_string())])
            .unwrap();
        if let Some(samples) = self.map.get_mut(&labels(i)) {
            samples.retain(|t, _| !(from..=to).contains(t));
        }
        self.deleted.push((i, from, to));
    }

    fn check(&self, from: i64, to: i64) {
        let querier = self.db().querier(from, to).unwrap();
        let all = querier.select(true, &SelectHints::default(), &[]).unwrap();
        let bits = |samples: &BTreeMap<i64, f64>| -> BTreeMap<i64, u64> {
            samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
        };
        let want: BTreeMap<Labels, BTreeMap<i64, u64>> = self
            .map
            .iter()
            .map(|(labels, samples)| {
                let inside = samples.range(from..=to).map(|(t, v)| (*t, *v)).collect();
                (labels.clone(), bits(&inside))
            })
            .filter(|(_, samples)| !samples.is_empty())
            .collect();
        let mut got = BTreeMap::new();
        for series in &all.series {
            let mut columns = Columns::default();
            series.decode(from, to, &mut columns).unwrap();
            assert!(columns.float_ms.windows(2).all(|p| p[0] < p[1]));
            let samples: BTreeMap<i64, f64> = columns
                .float_ms
                .iter()
                .copied()
                .zip(columns.floats.iter().copied())
                .collect();
            // The same as chunks, which may reach beyond the range.
            let mut chunked = Columns::default();
            let mut last = i64::MIN;
            for chunk in series.chunks(from, to).unwrap() {
                assert!(chunk.min_ms > last && chunk.max_ms >= chunk.min_ms);
                last = chunk.max_ms;
                let encoding =
                    tsdb_format::chunk::Encoding::from_byte(chunk.encoding as u8).unwrap();
                tsdb::columns::decode_chunk(encoding, &chunk.data, from, to, &mut chunked).unwrap();
            }
            assert_eq!(chunked.float_ms, columns.float_ms);
            if !samples.is_empty() {
                got.insert(series.labels().clone(), bits(&samples));
            }
        }
        assert_eq!(difference(&got, &want), "");
        let even = querier
            .select(
                true,
                &SelectHints::default(),
                &[Matcher::equal("opt", "even")],
            )
            .unwrap();
        assert!(even.series.iter().all(|s| s.labels().get("opt") == "even"));
        let (values, _) = querier
            .label_values("series", &LabelHints::default(), &[])
            .unwrap();
        for labels in want.keys() {
            assert!(values.iter().any(|v| v == labels.get("series")));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append {
                advance,
                mask,
                late,
            } => {
                self.now += advance;
                self.append(mask, late);
            }
            Step::Run { count, step, mask } => {
                for _ in 0..count {
                    self.now += step;
                    self.append(mask, 0);
                }
            }
            Step::Delete { series, back, len } => {
                let from = self.now - back;
                self.delete(series.into(), from, from + len);
            }
            Step::Compact => {
                self.clock.fetch_add(1000, Ordering::Relaxed);
                self.db().compact().unwrap();
            }
            Step::Stale => {
                self.db().set_stale_series_threshold(0.01);
                self.ticks += 100_000;
                self.db().tick(self.ticks).unwrap();
            }
            Step::Note => self.db().tick(self.ticks).unwrap(),
            Step::Clean => self.db().clean_tombstones().unwrap(),
            Step::Restart => self.reopen(true),
            Step::Kill => self.reopen(false),
            Step::Early { again } => self.reopen_early(again),
            Step::Check { back, len } => self.check(self.now - back, self.now - back + len),
        }
        self.check(i64::MIN, i64::MAX);
    }
}

/// What is missing, and what is there too much.
fn difference(
    got: &BTreeMap<Labels, BTreeMap<i64, u64>>,
    want: &BTreeMap<Labels, BTreeMap<i64, u64>>,
) -> String {
    let mut out = String::new();
    for labels in got.keys().chain(want.keys()) {
        let none = BTreeMap::new();
        let (got, want) = (
            got.get(labels).unwrap_or(&none),
            want.get(labels).unwrap_or(&none),
        );
        for t in got.keys().chain(want.keys()) {
            if got.get(t) != want.get(t) {
                out += &format!(
                    "{labels} at {t}: {:?}, expected {:?}\n",
                    got.get(t),
                    want.get(t)
                );
            }
        }
    }
    out
}

/// 24 cases, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_sample_is_there(late in any::<bool>(), steps in steps()) {
        let mut world = World::new(late);
        for step in steps {
            world.step(step);
        }
        world.step(Step::Kill);
        world.step(Step::Compact);
        world.step(Step::Restart);
    }
}

#[test]
fn a_series_that_was_refused_collected_and_came_back() {
    let mut world = World::new(false);
    for step in [
        Step::Run {
            count: 138,
            step: 35,
            mask: 43,
        },
        Step::Run {
            count: 73,
            step: 5,
            mask: 56,
        },
        Step::Append {
            advance: 0,
            mask: 20,
            late: 501,
        },
        Step::Compact,
        Step::Run {
            count: 13,
            step: 2,
            mask: 116,
        },
        Step::Restart,
        Step::Append {
            advance: 43,
            mask: 44,
            late: 0,
        },
        Step::Kill,
        Step::Compact,
        Step::Restart,
    ] {
        eprintln!(
            "{step:?} {:?} {:?}",
            world.db().head_times_ms(),
            world
                .db()
                .blocks()
                .iter()
                .map(|b| (b.min_ms, b.max_ms))
                .collect::<Vec<_>>()
        );
        world.step(step);
    }
}

/// Chunks of late samples stay on disk until their file goes: what was deleted must not come back
/// from there once the samples beside it are in blocks.
#[test]
fn a_deleted_late_sample_stays_deleted() {
    let mut world = World::new(true);
    for step in [
        Step::Run {
            count: 5,
            step: 30,
            mask: 1,
        },
        Step::Run {
            count: 24,
            step: 35,
            mask: 1,
        },
        Step::Append {
            advance: 104,
            mask: 80,
            late: 652,
        },
        Step::Append {
            advance: 146,
            mask: 0,
            late: 0,
        },
        Step::Run {
            count: 45,
            step: 3,
            mask: 0,
        },
        Step::Delete {
            series: 4,
            back: 933,
            len: 0,
        },
        Step::Append {
            advance: 156,
            mask: 1,
            late: 0,
        },
        Step::Kill,
        Step::Compact,
        Step::Restart,
    ] {
        world.step(step);
    }
}
