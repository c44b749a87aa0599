//! When a partition's log ended where: from that, how old the first record is that a group has not
//! read yet.
//!
//! A point is noted at each poll. An offset between two points was written between their times, in
//! proportion. Kept is a bounded number of points a partition; a log that does not grow takes two,
//! so an idle topic's history reaches further back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::snapshot::Snapshot;

/// Log ends by topic and partition.
#[derive(Debug, Default)]
pub struct History {
    limit: usize,
    logs: HashMap<Arc<str>, HashMap<i32, VecDeque<Point>>>,
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
            logs: HashMap::new(),
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

    /// How long ago the record at `committed`, the first one not read, was written, in seconds: 0 if
    /// all is read; where the history does not reach back to it, the age of the history, which is
    /// less than the truth. `None` without history, or for a group without commit.
    pub fn lag_seconds(
        &self,
        topic: &str,
        partition: i32,
        committed: i64,
        now_ms: i64,
    ) -> Option<f64> {
        let points = self.logs.get(topic)?.get(&partition)?;
        let newest = points.back()?;
        if committed < 0 {
            return None;
        }
        if committed >= newest.end {
            return Some(0.0);
        }
        // The first point whose log already held the record.
        let after = points.partition_point(|point| point.end <= committed);
        let written_ms = match (
            after.checked_sub(1).and_then(|i| points.get(i)),
            points.get(after),
        ) {
            (Some(before), Some(after)) => {
                let share = (committed - before.end) as f64 / (after.end - before.end) as f64;
                before.at_ms as f64 + share * (after.at_ms - before.at_ms) as f64
            }
            (None, Some(first)) => first.at_ms as f64,
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
            leader_is_preferred: true,
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
        let lag = |committed| history.lag_seconds("t", 0, committed, 30_000);
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
        assert_eq!(history.lag_seconds("t", 1, 5, 30_000), None);
        assert_eq!(history.lag_seconds("x", 0, 5, 30_000), None);
    }

    #[test]
    fn an_idle_log_takes_two_points() {
        let idle: Vec<(i64, i64)> = (0..100).map(|i| (i * 1000, 7)).collect();
        let mut history = history(3, &idle);
        assert_eq!(history.lag_seconds("t", 0, 5, 100_000), Some(100.0));
        history.note(&snapshot(100_000, 9));
        assert_eq!(history.lag_seconds("t", 0, 8, 100_000), Some(0.5));
    }

    #[test]
    fn bounded_and_forgetful() {
        let growing: Vec<(i64, i64)> = (0..100).map(|i| (i * 1000, i)).collect();
        let mut history = history(10, &growing);
        assert_eq!(history.lag_seconds("t", 0, 0, 100_000), Some(10.0));
        // Made anew: the log is shorter.
        history.note(&snapshot(101_000, 3));
        assert_eq!(history.lag_seconds("t", 0, 2, 101_000), Some(0.0));
        // The clock went back.
        history.note(&snapshot(50_000, 5));
        assert_eq!(history.lag_seconds("t", 0, 4, 51_000), Some(1.0));
        history.note(&Snapshot::default());
        assert_eq!(history.lag_seconds("t", 0, 4, 51_000), None);
        let mut none = History::new(0);
        none.note(&snapshot(1, 1));
        assert_eq!(none.lag_seconds("t", 0, 0, 1), None);
    }
}
