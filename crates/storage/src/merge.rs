//! Several sources as one: series of equal labels are joined, each timestamp once.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Annotations, Labels, Matcher};

use crate::{
    Columns, EncodedChunk, LabelHints, Querier, Queryable, SelectHints, Series, SeriesSet,
    StorageError,
};

/// Encodes the samples of a series as chunks that do not overlap: what [`Series::chunks`] needs where
/// the sources' own chunks do.
pub type ChunkEncoder = fn(&Columns) -> Result<Vec<EncodedChunk>, StorageError>;

/// Several queryables as one.
pub struct Merged {
    sources: Vec<Arc<dyn Queryable>>,
    encoder: ChunkEncoder,
}

impl Merged {
    /// Joins the sources. Of samples at the same time the first source's is taken.
    pub fn new(sources: Vec<Arc<dyn Queryable>>, encoder: ChunkEncoder) -> Merged {
        Merged { sources, encoder }
    }
}

impl Queryable for Merged {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        let queriers = self
            .sources
            .iter()
            .map(|source| source.querier(min_ms, max_ms))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(merge_queriers(queriers, self.encoder))
    }
}

/// Several queriers as one; a single one is handed back as it is.
pub fn merge_queriers(
    mut queriers: Vec<Box<dyn Querier>>,
    encoder: ChunkEncoder,
) -> Box<dyn Querier> {
    match (queriers.len(), queriers.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            queriers.extend(last);
            Box::new(MergedQuerier { queriers, encoder })
        }
    }
}

struct MergedQuerier {
    queriers: Vec<Box<dyn Querier>>,
    encoder: ChunkEncoder,
}

impl Querier for MergedQuerier {
    fn select(
        &self,
        sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        // Without some of their labels other series would be the same.
        let hints = &SelectHints {
            only_labels: None,
            ..hints.clone()
        };
        let sets = self
            .queriers
            .iter()
            .map(|querier| querier.select(sorted, hints, matchers))
            .collect::<Result<Vec<_>, _>>()?;
        let mut merged = merge_series_sets(sets, sorted, self.encoder);
        if hints.limit > 0 {
            merged.series.truncate(hints.limit);
        }
        Ok(merged)
    }

    fn label_values(
        &self,
        name: &str,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        self.join(hints, |querier| querier.label_values(name, hints, matchers))
    }

    fn label_names(
        &self,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        self.join(hints, |querier| querier.label_names(hints, matchers))
    }
}

impl MergedQuerier {
    fn join(
        &self,
        hints: &LabelHints,
        ask: impl Fn(&dyn Querier) -> Result<(Vec<String>, Annotations), StorageError>,
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let mut lists = Vec::new();
        let mut annotations = Annotations::default();
        for querier in &self.queriers {
            let (list, more) = ask(&**querier)?;
            lists.push(list);
            annotations.merge(more);
        }
        let mut all = merge_sorted(lists);
        if hints.limit > 0 {
            all.truncate(hints.limit);
        }
        Ok((all, annotations))
    }
}

/// Joins sorted lists of distinct texts into one.
pub fn merge_sorted(mut lists: Vec<Vec<String>>) -> Vec<String> {
    lists.retain(|list| !list.is_empty());
    match lists.len() {
        0 => Vec::new(),
        1 => lists.swap_remove(0),
        _ => {
            let mut all: Vec<String> = lists.into_iter().flatten().collect();
            // A merge of the runs, in effect.
            all.sort();
            all.dedup();
            all
        }
    }
}

/// Joins series sets; series of equal labels become one. The result is sorted if asked for.
pub fn merge_series_sets(
    mut sets: Vec<SeriesSet>,
    sorted: bool,
    encoder: ChunkEncoder,
) -> SeriesSet {
    let mut annotations = Annotations::default();
    for set in &mut sets {
        annotations.merge(std::mem::take(&mut set.annotations));
    }
    sets.retain(|set| !set.series.is_empty());
    let series = match sets.len() {
        0 => Vec::new(),
        1 => sets.swap_remove(0).series,
        _ => merge_series(sets, sorted, encoder),
    };
    SeriesSet {
        series,
        annotations,
    }
}

fn merge_series(sets: Vec<SeriesSet>, sorted: bool, encoder: ChunkEncoder) -> Vec<Arc<dyn Series>> {
    let mut order: Vec<Vec<Arc<dyn Series>>> = Vec::new();
    if sorted {
        let mut all: Vec<Arc<dyn Series>> = sets.into_iter().flat_map(|set| set.series).collect();
        // Stable: of equal labels the first source stays first.
        all.sort_by(|a, b| a.labels().cmp(b.labels()));
        for series in all {
            match order.last_mut() {
                Some(group) if group[0].labels() == series.labels() => group.push(series),
                _ => order.push(vec![series]),
            }
        }
    } else {
        let mut places: std::collections::HashMap<Labels, usize> = std::collections::HashMap::new();
        for series in sets.into_iter().flat_map(|set| set.series) {
            match places.get(series.labels()) {
                Some(place) => order[*place].push(series),
                None => {
                    places.insert(series.labels().clone(), order.len());
                    order.push(vec![series]);
                }
            }
        }
    }
    let one = |mut group: Vec<Arc<dyn Series>>| -> Arc<dyn Series> {
        match group.len() {
            1 => group.swap_remove(0),
            _ => Arc::new(MergedSeries {
                parts: group,
                encoder,
            }),
        }
    };
    order.into_iter().map(one).collect()
}

struct MergedSeries {
    parts: Vec<Arc<dyn Series>>,
    encoder: ChunkEncoder,
}

impl Series for MergedSeries {
    fn labels(&self) -> &Labels {
        self.parts[0].labels()
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        if out.is_empty() {
            self.parts[0].decode(min_ms, max_ms, out)?;
        } else {
            let mut first = Columns::default();
            self.parts[0].decode(min_ms, max_ms, &mut first)?;
            merge_columns(out, first);
        }
        for part in &self.parts[1..] {
            let mut more = Columns::default();
            part.decode(min_ms, max_ms, &mut more)?;
            merge_columns(out, more);
        }
        Ok(())
    }

    fn chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        let mut all = Vec::new();
        for part in &self.parts {
            all.extend(part.chunks(min_ms, max_ms)?);
        }
        all.sort_by_key(|chunk: &EncodedChunk| chunk.min_ms);
        if all.windows(2).all(|pair| pair[0].max_ms < pair[1].min_ms) {
            return Ok(all);
        }
        let mut columns = Columns::default();
        self.decode(min_ms, max_ms, &mut columns)?;
        (self.encoder)(&columns)
    }
}

/// Adds the samples of `more` to `out`, in order of time; where both have a sample at a time, the one
/// of `out` stays.
pub fn merge_columns(out: &mut Columns, more: Columns) {
    if more.is_empty() {
        return;
    }
    if out.is_empty() {
        *out = more;
        return;
    }
    let last = out.float_ms.last().max(out.histogram_ms.last()).copied();
    let first = match (more.float_ms.first(), more.histogram_ms.first()) {
        (Some(a), Some(b)) => Some((*a).min(*b)),
        (a, b) => a.or(b).copied(),
    };
    if last < first {
        extend(out, more);
        return;
    }
    *out = interleave(std::mem::take(out), more);
}

/// Start timestamps, one for each sample: those given, or zeros.
fn padded(starts: Vec<i64>, len: usize) -> Vec<i64> {
    if starts.len() == len {
        starts
    } else {
        vec![0; len]
    }
}

fn extend(out: &mut Columns, more: Columns) {
    if !out.float_start_ms.is_empty() || !more.float_start_ms.is_empty() {
        out.float_start_ms.resize(out.float_ms.len(), 0);
        let starts = padded(more.float_start_ms, more.float_ms.len());
        out.float_start_ms.extend(starts);
    }
    if !out.histogram_start_ms.is_empty() || !more.histogram_start_ms.is_empty() {
        out.histogram_start_ms.resize(out.histogram_ms.len(), 0);
        let starts = padded(more.histogram_start_ms, more.histogram_ms.len());
        out.histogram_start_ms.extend(starts);
    }
    out.float_ms.extend(more.float_ms);
    out.floats.extend(more.floats);
    out.histogram_ms.extend(more.histogram_ms);
    out.histograms.extend(more.histograms);
}

fn interleave(a: Columns, b: Columns) -> Columns {
    let starts = [&a, &b].map(|c| {
        (
            !c.float_start_ms.is_empty(),
            !c.histogram_start_ms.is_empty(),
        )
    });
    let float_starts = starts[0].0 || starts[1].0;
    let histogram_starts = starts[0].1 || starts[1].1;
    let mut floats: BTreeMap<i64, (f64, i64)> = BTreeMap::new();
    let mut histograms = BTreeMap::new();
    for columns in [a, b] {
        let starts = padded(columns.float_start_ms, columns.float_ms.len());
        for ((t, v), start) in columns.float_ms.iter().zip(columns.floats).zip(starts) {
            if !histograms.contains_key(t) {
                floats.entry(*t).or_insert((v, start));
            }
        }
        let starts = padded(columns.histogram_start_ms, columns.histogram_ms.len());
        let rows = columns.histogram_ms.iter().zip(columns.histograms);
        for ((t, h), start) in rows.zip(starts) {
            if !floats.contains_key(t) {
                histograms.entry(*t).or_insert((h, start));
            }
        }
    }
    let mut out = Columns::default();
    for (t, (v, start)) in floats {
        out.float_ms.push(t);
        out.floats.push(v);
        if float_starts {
            out.float_start_ms.push(start);
        }
    }
    for (t, (h, start)) in histograms {
        out.histogram_ms.push(t);
        out.histograms.push(h);
        if histogram_starts {
            out.histogram_start_ms.push(start);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed {
        labels: Labels,
        samples: Vec<(i64, f64)>,
    }

    impl Series for Fixed {
        fn labels(&self) -> &Labels {
            &self.labels
        }

        fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
            for (t, v) in &self.samples {
                if (min_ms..=max_ms).contains(t) {
                    out.float_ms.push(*t);
                    out.floats.push(*v);
                }
            }
            Ok(())
        }

        fn chunks(&self, _: i64, _: i64) -> Result<Vec<EncodedChunk>, StorageError> {
            Ok(vec![EncodedChunk {
                encoding: crate::ChunkEncoding::Xor,
                min_ms: self.samples[0].0,
                max_ms: self.samples[self.samples.len() - 1].0,
                data: vec![],
            }])
        }
    }

    #[derive(Clone)]
    struct Source(Vec<(&'static str, Vec<(i64, f64)>)>);

    impl Queryable for Source {
        fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, StorageError> {
            Ok(Box::new(self.clone()))
        }
    }

    impl Querier for Source {
        fn select(
            &self,
            _: bool,
            hints: &SelectHints,
            _: &[Matcher],
        ) -> Result<SeriesSet, StorageError> {
            let series = self.0.iter().map(|(name, samples)| -> Arc<dyn Series> {
                let labels = Labels::from([("n", *name)]);
                Arc::new(Fixed {
                    labels: match &hints.only_labels {
                        Some(names) => labels.only(names),
                        None => labels,
                    },
                    samples: samples.clone(),
                })
            });
            Ok(SeriesSet {
                series: series.collect(),
                annotations: Annotations::default(),
            })
        }

        fn label_values(
            &self,
            _: &str,
            _: &LabelHints,
            _: &[Matcher],
        ) -> Result<(Vec<String>, Annotations), StorageError> {
            let names = self.0.iter().map(|(name, _)| (*name).to_owned());
            Ok((names.collect(), Annotations::default()))
        }

        fn label_names(
            &self,
            _: &LabelHints,
            _: &[Matcher],
        ) -> Result<(Vec<String>, Annotations), StorageError> {
            Ok((vec!["n".to_owned()], Annotations::default()))
        }
    }

    fn refuse(_: &Columns) -> Result<Vec<EncodedChunk>, StorageError> {
        Err(StorageError::Other("overlap".to_owned()))
    }

    #[test]
    fn series_are_joined_and_timestamps_are_distinct() {
        let a = Source(vec![("a", vec![(1, 1.0), (3, 3.0)]), ("c", vec![(1, 9.0)])]);
        let b = Source(vec![
            ("a", vec![(2, 20.0), (3, 30.0), (4, 40.0)]),
            ("b", vec![(7, 7.0)]),
        ]);
        let c = Source(vec![("c", vec![(5, 5.0)])]);
        let sources: Vec<Arc<dyn Queryable>> = vec![Arc::new(a), Arc::new(b), Arc::new(c)];
        let merged = Merged::new(sources, refuse);
        for sorted in [true, false] {
            let querier = merged.querier(0, 10).unwrap();
            // The sources keep what tells their series apart.
            let hints = SelectHints {
                only_labels: Some(Vec::new()),
                ..SelectHints::default()
            };
            let set = querier.select(sorted, &hints, &[]).unwrap();
            let mut found = BTreeMap::new();
            for series in &set.series {
                let mut columns = Columns::default();
                series.decode(0, 10, &mut columns).unwrap();
                let samples: Vec<_> = columns.float_ms.into_iter().zip(columns.floats).collect();
                found.insert(series.labels().get("n").to_owned(), samples);
            }
            assert_eq!(found["a"], [(1, 1.0), (2, 20.0), (3, 3.0), (4, 40.0)]);
            assert_eq!(found["b"], [(7, 7.0)]);
            assert_eq!(found["c"], [(1, 9.0), (5, 5.0)]);
            if sorted {
                assert!(set.series.windows(2).all(|p| p[0].labels() < p[1].labels()));
                assert!(set.series[0].chunks(0, 10).is_err());
                assert_eq!(set.series[2].chunks(0, 10).unwrap().len(), 2);
            }
        }
        let querier = merged.querier(0, 10).unwrap();
        let hints = LabelHints { limit: 2 };
        assert_eq!(
            querier.label_values("n", &hints, &[]).unwrap().0,
            ["a", "b"]
        );
        assert_eq!(querier.label_names(&hints, &[]).unwrap().0, ["n"]);
    }

    #[test]
    fn columns_of_both_kinds_interleave() {
        let histogram = |sum| {
            Arc::new(model::FloatHistogram {
                sum,
                ..Default::default()
            })
        };
        let mut a = Columns {
            float_ms: vec![1, 5],
            floats: vec![1.0, 5.0],
            histogram_ms: vec![3],
            histograms: vec![histogram(3.0)],
            ..Default::default()
        };
        let b = Columns {
            float_ms: vec![2, 3],
            floats: vec![2.0, 33.0],
            float_start_ms: vec![1, 1],
            histogram_ms: vec![5, 6],
            histograms: vec![histogram(55.0), histogram(6.0)],
            ..Default::default()
        };
        merge_columns(&mut a, b);
        assert_eq!(a.float_ms, [1, 2, 5]);
        assert_eq!(a.floats, [1.0, 2.0, 5.0]);
        assert_eq!(a.float_start_ms, [0, 1, 0]);
        assert_eq!(a.histogram_ms, [3, 6]);
    }
}
