//! The exemplar ring: the newest exemplars of all series, in memory (prometheus/prometheus
//! `tsdb/exemplar.go`).

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{Exemplar, Labels, Matcher};
use storage::{AppendError, check_exemplar_length};

use crate::db::SeriesExemplars;

/// The ring.
#[derive(Default)]
pub struct ExemplarRing {
    capacity: usize,
    ring: VecDeque<(Labels, Exemplar)>,
    /// A series' newest exemplar, and how many the ring has of it.
    newest: HashMap<Labels, (Exemplar, usize)>,
}

fn time(exemplar: &Exemplar) -> i64 {
    exemplar.timestamp_ms.unwrap_or(0)
}

impl ExemplarRing {
    /// A ring of a size.
    pub fn new(capacity: usize) -> ExemplarRing {
        ExemplarRing {
            capacity,
            ..ExemplarRing::default()
        }
    }

    /// Whether exemplars are kept at all.
    pub fn is_enabled(&self) -> bool {
        self.capacity > 0
    }

    /// How many exemplars the ring holds, and may hold.
    pub fn size(&self) -> (usize, usize) {
        (self.ring.len(), self.capacity)
    }

    /// How many series have exemplars.
    pub fn series(&self) -> usize {
        self.newest.len()
    }

    /// The newest and the oldest time in the ring's order.
    pub fn last_ms(&self) -> Option<i64> {
        self.ring.back().map(|(_, exemplar)| time(exemplar))
    }

    /// Changes the size; the oldest go first.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.ring.len() > capacity {
            self.evict();
        }
        self.ring.shrink_to_fit();
    }

    fn evict(&mut self) {
        if let Some((labels, _)) = self.ring.pop_front()
            && let Some((_, count)) = self.newest.get_mut(&labels)
        {
            *count -= 1;
            if *count == 0 {
                self.newest.remove(&labels);
            }
        }
    }

    /// Whether an exemplar may follow those of its series.
    ///
    /// # Errors
    /// It is the newest one again, is older, or has too long labels.
    pub fn check(&self, series: &Labels, exemplar: &Exemplar) -> Result<(), AppendError> {
        check_exemplar_length(&exemplar.labels)?;
        let Some((newest, _)) = self.newest.get(series) else {
            return Ok(());
        };
        let key = |e: &Exemplar| (time(e), e.value);
        if key(newest) == key(exemplar) && newest.labels == exemplar.labels {
            return Err(AppendError::DuplicateExemplar);
        }
        let older = time(exemplar) < time(newest)
            || time(exemplar) == time(newest)
                && (exemplar.value < newest.value
                    || exemplar.value == newest.value && exemplar.labels < newest.labels);
        match older {
            true => Err(AppendError::OutOfOrderExemplar),
            false => Ok(()),
        }
    }

    /// Adds an exemplar.
    ///
    /// # Errors
    /// As [`ExemplarRing::check`].
    pub fn add(&mut self, series: &Labels, exemplar: Exemplar) -> Result<(), AppendError> {
        if self.capacity == 0 {
            return Ok(());
        }
        self.check(series, &exemplar)?;
        if self.ring.len() >= self.capacity {
            self.evict();
        }
        self.newest
            .entry(series.clone())
            .and_modify(|(newest, count)| {
                *newest = exemplar.clone();
                *count += 1;
            })
            .or_insert_with(|| (exemplar.clone(), 1));
        self.ring.push_back((series.clone(), exemplar));
        Ok(())
    }

    /// All exemplars, oldest first, with their series.
    pub fn iter(&self) -> impl Iterator<Item = &(Labels, Exemplar)> {
        self.ring.iter()
    }

    /// The exemplars between two times (inclusive) of the series that satisfy one of the matcher
    /// lists; sorted by series, oldest first.
    pub fn select(
        &self,
        min_ms: i64,
        max_ms: i64,
        matchers: &[Vec<Matcher>],
    ) -> Vec<SeriesExemplars> {
        let mut wanted: HashMap<&Labels, Option<Vec<Exemplar>>> = HashMap::new();
        for (series, exemplar) in &self.ring {
            if !(min_ms..=max_ms).contains(&time(exemplar)) {
                continue;
            }
            let list = wanted.entry(series).or_insert_with(|| {
                matchers
                    .iter()
                    .any(|all| all.iter().all(|matcher| matcher.matches_labels(series)))
                    .then(Vec::new)
            });
            if let Some(list) = list {
                list.push(exemplar.clone());
            }
        }
        let mut found: Vec<SeriesExemplars> = wanted
            .into_iter()
            .filter_map(|(series, exemplars)| {
                Some(SeriesExemplars {
                    series: series.clone(),
                    exemplars: exemplars?,
                })
            })
            .collect();
        found.sort_by(|a, b| a.series.cmp(&b.series));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar {
            labels: Labels::from([("trace_id", trace)]),
            value,
            timestamp_ms: Some(t),
        }
    }

    #[test]
    fn the_newest_stay_and_order_is_kept() {
        let a = Labels::from([("n", "a")]);
        let b = Labels::from([("n", "b")]);
        let mut ring = ExemplarRing::new(3);
        ring.add(&a, exemplar(1, 1.0, "x")).unwrap();
        ring.add(&b, exemplar(2, 1.0, "x")).unwrap();
        ring.add(&a, exemplar(3, 1.0, "x")).unwrap();
        for (e, error) in [
            (exemplar(3, 1.0, "x"), AppendError::DuplicateExemplar),
            (exemplar(2, 1.0, "x"), AppendError::OutOfOrderExemplar),
            (exemplar(3, 0.5, "x"), AppendError::OutOfOrderExemplar),
            (
                exemplar(9, 0.5, &"x".repeat(121)),
                AppendError::ExemplarLabelLength,
            ),
        ] {
            assert_eq!(ring.add(&a, e), Err(error));
        }
        ring.add(&a, exemplar(4, 1.0, "y")).unwrap();
        let any = vec![
            vec![Matcher::equal("n", "a")],
            vec![Matcher::equal("n", "b")],
        ];
        let times = |found: Vec<SeriesExemplars>| -> Vec<(String, Vec<i64>)> {
            found
                .into_iter()
                .map(|s| (s.series.to_string(), s.exemplars.iter().map(time).collect()))
                .collect()
        };
        assert_eq!(
            times(ring.select(0, 10, &any)),
            [
                ("{n=\"a\"}".to_owned(), vec![3, 4]),
                ("{n=\"b\"}".to_owned(), vec![2])
            ]
        );
        ring.resize(1);
        assert_eq!(times(ring.select(0, 10, &any[1..])), []);
        assert_eq!(ring.series(), 1);
    }
}
