//! When a partition's log ended where: from that, how old the first record is that a group has not
//! read yet.
//!
//! A point is noted at each poll. An offset between two points was written between their times, in
//! proportion. Kept is a bounded number of points a partition; a log that does not grow takes two,
//! so an idle topic's history reaches further back. What lies before all points is asked of the log
//! itself (`ages`), once a record.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::ages::{Told, Unread};
use crate::snapshot::Snapshot;

/// Records that are looked up in one poll at most: bounds what a poll reads after a start.
const LOOKED_UP_A_POLL: usize = 1000;

/// How long a topic we may not read is left alone: brokers log each try.
const DENIED_FOR_MS: i64 = 60 * 60 * 1000;

/// Log ends by topic and partition.
#[derive(Debug, Default)]
pub struct History {
    limit: usize,
    logs: HashMap<Arc<str>, HashMap<i32, VecDeque<Point>>>,
    /// When records were written that lie before all points; `None`: the log does not say.
    records: HashMap<Unread, Option<i64>>,
    /// Topics we may not read, and when we were told.
    denied: HashMap<Arc<str>, i64>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at_ms: i64,
    end: i64,
}

impl History {
    /// A history of at most `limit` points a partition; 0 keeps none.
    pub fn new(limit: usize) -> History {
        History {
            limit,
            ..History::default()
        }
    }

    /// Notes the log ends of a poll, and forgets partitions that are gone.
    pub fn note(&mut self, snapshot: &Snapshot) {
        if self.limit == 0 {
            return;
        }
        self.logs
            .retain(|topic, _| snapshot.topics.contains_key(topic));
        for (topic, partitions) in &snapshot.topics {
            let logs = self.logs.entry(Arc::clone(topic)).or_default();
            logs.retain(|index, _| snapshot.partition(topic, *index).is_some());
            for partition in partitions {
                let Some(end) = partition.end else { continue };
                let point = Point {
                    at_ms: snapshot.at_ms,
                    end,
                };
                push(logs.entry(partition.index).or_default(), point, self.limit);
            }
        }
    }

    /// The records to look up: the first unread one of each group, where it lies before all points.
    /// Forgets those that no group is waiting at any more.
    pub fn unreached(&mut self, snapshot: &Snapshot) -> Vec<Unread> {
        let now_ms = snapshot.at_ms;
        self.denied
            .retain(|_, at_ms| now_ms.saturating_sub(*at_ms) < DENIED_FOR_MS);
        let mut known = HashMap::new();
        let mut wanted = BTreeSet::new();
        for group in snapshot.groups.values() {
            for (topic, commits) in &group.commits {
                let Some(logs) = self.logs.get(topic) else {
                    continue;
                };
                for commit in commits {
                    let partition = snapshot.partition(topic, commit.partition);
                    let start = partition.and_then(|partition| partition.start);
                    let Some(points) = logs.get(&commit.partition) else {
                        continue;
                    };
                    let offset = commit.offset.max(start.unwrap_or(0));
                    if commit.offset < 0 || points.front().is_none_or(|p| p.end <= offset) {
                        continue;
                    }
                    let record = Unread {
                        topic: Arc::clone(topic),
                        index: commit.partition,
                        offset,
                    };
                    match self.records.remove_entry(&record) {
                        Some((record, time)) => drop(known.insert(record, time)),
                        None if known.contains_key(&record) => {}
                        None if self.denied.contains_key(topic) => {}
                        None => drop(wanted.insert(record)),
                    }
                }
            }
        }
        self.records = known;
        wanted.into_iter().take(LOOKED_UP_A_POLL).collect()
    }

    /// Notes what the logs said about records.
    pub fn learn(&mut self, told: Vec<(Unread, Told)>, now_ms: i64) {
        for (record, told) in told {
            match told {
                Told::At(at_ms) => drop(self.records.insert(record, Some(at_ms))),
                Told::Nothing => drop(self.records.insert(record, None)),
                Told::Denied => drop(self.denied.insert(record.topic, now_ms)),
            }
        }
    }

    /// How long ago the first record was written that a group has not read, in seconds: 0 if all is
    /// read. Where neither the history reaches back to it nor the log told its time it is the age of
    /// the history, which is less than the truth. `None` without history, or for a group without
    /// commit. `start` is the log's: what was there before it is deleted, read or not.
    pub fn lag_seconds(
        &self,
        topic: &Arc<str>,
        partition: i32,
        committed: i64,
        start: Option<i64>,
        now_ms: i64,
    ) -> Option<f64> {
        let points = self.logs.get(topic)?.get(&partition)?;
        let newest = points.back()?;
        if committed < 0 {
            return None;
        }
        let offset = committed.max(start.unwrap_or(0));
        if offset >= newest.end {
            return Some(0.0);
        }
        // The first point whose log already held the record.
        let after = points.partition_point(|point| point.end <= offset);
        let written_ms = match (
            after.checked_sub(1).and_then(|i| points.get(i)),
            points.get(after),
        ) {
            (Some(before), Some(after)) => {
                let share = (offset - before.end) as f64 / (after.end - before.end) as f64;
                before.at_ms as f64 + share * (after.at_ms - before.at_ms) as f64
            }
            (None, Some(first)) => {
                let record = Unread {
                    topic: Arc::clone(topic),
                    index: partition,
                    offset,
                };
                let told = self.records.get(&record).copied().flatten();
                told.unwrap_or(first.at_ms) as f64
            }
            (_, None) => return None,
        };
        Some(((now_ms as f64 - written_ms) / 1000.0).max(0.0))
    }
}

fn push(points: &mut VecDeque<Point>, point: Point, limit: usize) {
    if let Some(last) = points.back_mut() {
        if point.at_ms <= last.at_ms {
            // The clock was set back: times would not be in order any more.
            if point.at_ms < last.at_ms {
                points.clear();
            } else {
                points.pop_back();
            }
        } else if point.end < last.end {
            // The topic was made anew, or its log was cut: old offsets mean other records.
            points.clear();
        } else if point.end == last.end
            && points.len() >= 2
            && points[points.len() - 2].end == point.end
        {
            points.pop_back();
        }
    }
    points.push_back(point);
    while points.len() > limit.max(2) {
        points.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Partition;

    fn snapshot(at_ms: i64, end: i64) -> Snapshot {
        let partition = Partition {
            index: 0,
            leader: Some(1),
            preferred_leader: Some(1),
            replicas: 1,
            in_sync: 1,
            end: Some(end),
            start: Some(0),
        };
        Snapshot {
            at_ms,
            topics: [("t".into(), vec![partition])].into(),
            ..Snapshot::default()
        }
    }

    fn history(limit: usize, points: &[(i64, i64)]) -> History {
        let mut history = History::new(limit);
        for (at_ms, end) in points {
            history.note(&snapshot(*at_ms, *end));
        }
        history
    }

    #[test]
    fn between_points_in_proportion() {
        let history = history(10, &[(0, 100), (10_000, 200), (20_000, 200), (30_000, 300)]);
        let lag = |committed| history.lag_seconds(&"t".into(), 0, committed, Some(0), 30_000);
        for (committed, expected) in [
            (300, Some(0.0)),
            (301, Some(0.0)),
            (150, Some(25.0)),
            // Written after the log had stood still.
            (200, Some(10.0)),
            (250, Some(5.0)),
            (100, Some(30.0)),
            // Before the history: at least so old.
            (50, Some(30.0)),
            (-1, None),
        ] {
            assert_eq!(lag(committed), expected, "{committed}");
        }
        assert_eq!(
            history.lag_seconds(&"t".into(), 1, 5, Some(0), 30_000),
            None
        );
        assert_eq!(
            history.lag_seconds(&"x".into(), 0, 5, Some(0), 30_000),
            None
        );
    }

    #[test]
    fn an_idle_log_takes_two_points() {
        let idle: Vec<(i64, i64)> = (0..100).map(|i| (i * 1000, 7)).collect();
        let mut history = history(3, &idle);
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 5, Some(0), 100_000),
            Some(100.0)
        );
        history.note(&snapshot(100_000, 9));
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 8, Some(0), 100_000),
            Some(0.5)
        );
    }

    #[test]
    fn bounded_and_forgetful() {
        let growing: Vec<(i64, i64)> = (0..100).map(|i| (i * 1000, i)).collect();
        let mut history = history(10, &growing);
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 0, Some(0), 100_000),
            Some(10.0)
        );
        // Made anew: the log is shorter.
        history.note(&snapshot(101_000, 3));
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 2, Some(0), 101_000),
            Some(0.0)
        );
        // The clock went back.
        history.note(&snapshot(50_000, 5));
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 4, Some(0), 51_000),
            Some(1.0)
        );
        history.note(&Snapshot::default());
        assert_eq!(
            history.lag_seconds(&"t".into(), 0, 4, Some(0), 51_000),
            None
        );
        let mut none = History::new(0);
        none.note(&snapshot(1, 1));
        assert_eq!(none.lag_seconds(&"t".into(), 0, 0, Some(0), 1), None);
    }

    #[test]
    fn what_lies_before_is_looked_up_once() {
        use crate::snapshot::{Commit, Group};
        let at = |at_ms, end, start, commits: &[i64]| {
            let mut snapshot = snapshot(at_ms, end);
            snapshot.topics.get_mut("t").unwrap()[0].start = Some(start);
            for (i, offset) in commits.iter().enumerate() {
                let commit = Commit {
                    partition: 0,
                    offset: *offset,
                };
                let group = Group {
                    commits: [("t".into(), vec![commit])].into(),
                    ..Group::default()
                };
                snapshot.groups.insert(format!("g{i}"), group);
            }
            snapshot
        };
        let record = |offset| Unread {
            topic: "t".into(),
            index: 0,
            offset,
        };
        let mut history = History::new(10);
        let lag = |history: &History, committed, start, now| {
            history.lag_seconds(&"t".into(), 0, committed, Some(start), now)
        };
        let first = at(100_000, 50, 0, &[10, 10, 50, -1]);
        history.note(&first);
        assert_eq!(history.unreached(&first), [record(10)]);
        history.learn(vec![(record(10), Told::At(20_000))], 100_000);
        assert_eq!(lag(&history, 10, 0, 100_000), Some(80.0));
        // Known: not asked again. Deleted meanwhile: the log's first record counts.
        let second = at(130_000, 60, 0, &[10]);
        history.note(&second);
        assert_eq!(history.unreached(&second), []);
        let third = at(160_000, 60, 30, &[10, 55]);
        history.note(&third);
        assert_eq!(history.unreached(&third), [record(30)]);
        history.learn(vec![(record(30), Told::Nothing)], 160_000);
        assert_eq!(lag(&history, 10, 30, 160_000), Some(60.0));
        assert_eq!(history.unreached(&third), []);
        // The record of the second poll is forgotten.
        assert_eq!(lag(&history, 10, 0, 160_000), Some(60.0));

        let denied = at(200_000, 70, 0, &[1]);
        history.note(&denied);
        assert_eq!(history.unreached(&denied), [record(1)]);
        history.learn(vec![(record(1), Told::Denied)], 200_000);
        assert_eq!(history.unreached(&denied), []);
        let later = at(200_000 + DENIED_FOR_MS, 70, 0, &[1]);
        history.note(&later);
        assert_eq!(history.unreached(&later), [record(1)]);
    }
}
