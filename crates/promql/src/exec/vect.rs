//! Instant vectors whose columns are computed when asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{HashMap, HashSet};
use model::Labels;

use super::columns::{Column, Meta, is_metadata_label};
use super::usage::{Usage, WindowUse};
use super::{Looked, PHASE, Query, same_labelset};
use crate::budget::Charge;
use crate::query_error::QueryError;

/// Series that are worked on by one thread before the results are folded in.
const CHUNK: usize = 32;
/// Fewer of them, where columns are so long that a chunk would have more values than this.
const CHUNK_VALUES: usize = 1 << 18;

/// Chunks that a thread computes, on average, before they are folded in.
const CHUNKS_A_THREAD: usize = 8;
/// Samples from which on it pays to wake other threads: some milliseconds. Waking them, and their looking for
/// more work afterwards, takes a tenth of a millisecond of CPU.
const WORTH_SHARING: u64 = 400_000;

/// Where columns come from: a selector, a function over range vectors.
pub(crate) trait Leaf: Send + Sync {
    /// Computes the column of series `i` into `out`, which has all steps and no values.
    fn column(&self, i: usize, out: &mut Column, tally: &mut Tally) -> Result<(), QueryError>;

    /// The selector or function, for messages.
    fn name(&self) -> String;

    /// Roughly what a series costs, in samples decoded and steps computed.
    fn samples_a_series(&self, steps: usize) -> u64;
}

/// What computing columns brought to light beside their values.
pub(crate) struct Tally {
    /// Samples looked at, by step.
    pub looked: Vec<u64>,
    /// Samples decoded.
    pub read: u64,
    /// Of the series at hand.
    pub window: WindowUse,
}

/// A change of columns, one by one.
struct Stage<'q> {
    change: Box<dyn Fn(&mut Column) + Send + Sync + 'q>,
    /// Upstream counts its input and output.
    counted: bool,
    /// How many scalar arguments it has.
    scalars: usize,
}

struct Lazy<'q> {
    leaf: Box<dyn Leaf + 'q>,
    stages: Vec<Stage<'q>>,
    looked: &'q Looked,
    /// Samples that are held while columns are computed, and the peak until then.
    held: u64,
    peak: u64,
    _charge: Option<Charge<'q>>,
}

enum Columns<'q> {
    Ready {
        columns: Vec<Column>,
        usage: Usage,
        /// Given back with the columns.
        charge: Option<Charge<'q>>,
    },
    Lazy(Lazy<'q>),
}

/// What happens where series of a result have the same labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clash {
    /// They become one series, unless they have a value at the same step.
    Merge,
    /// The query fails, unless all but one are empty.
    Fail,
}

/// An instant vector at every step: series, and a column for each.
pub(crate) struct Vect<'q> {
    pub metas: Vec<Meta>,
    columns: Columns<'q>,
    len: usize,
    /// The labels stay distinct without the metric name.
    distinct: bool,
}

impl<'q> Vect<'q> {
    /// A vector whose columns are there.
    pub(crate) fn ready(
        query: &'q Query<'q>,
        metas: Vec<Meta>,
        columns: Vec<Column>,
        usage: Usage,
    ) -> Result<Vect<'q>, QueryError> {
        let bytes = columns.iter().map(Column::bytes).sum();
        let charge = query
            .bytes
            .take(bytes, || "an intermediate result".to_owned())?;
        Ok(Vect {
            metas,
            len: usage.counts.len(),
            columns: Columns::Ready {
                columns,
                usage,
                charge: Some(charge),
            },
            distinct: false,
        })
    }

    /// A vector without series.
    pub(crate) fn nothing(usage: Usage) -> Vect<'q> {
        Vect {
            metas: Vec::new(),
            len: usage.counts.len(),
            columns: Columns::Ready {
                columns: Vec::new(),
                usage,
                charge: None,
            },
            distinct: true,
        }
    }

    /// A vector whose columns a leaf computes. `distinct`: the labels are distinct even without the
    /// metric name.
    pub(crate) fn lazy(
        metas: Vec<Meta>,
        leaf: Box<dyn Leaf + 'q>,
        len: usize,
        distinct: bool,
        looked: &'q Looked,
    ) -> Vect<'q> {
        Vect {
            metas,
            columns: Columns::Lazy(Lazy {
                leaf,
                stages: Vec::new(),
                looked,
                held: 0,
                peak: 0,
                _charge: None,
            }),
            len,
            distinct,
        }
    }

    /// Notes what the leaf holds as long as columns are computed: the result of a subquery.
    pub(crate) fn holding(mut self, usage: &Usage, charge: Option<Charge<'q>>) -> Vect<'q> {
        if let Columns::Lazy(lazy) = &mut self.columns {
            lazy.held = usage.total();
            lazy.peak = usage.peak;
            lazy._charge = charge;
        }
        self
    }

    /// The number of steps.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Changes every column when it is computed, without counting: for what upstream does in place.
    pub(crate) fn map_uncounted(self, change: impl Fn(&mut Column) + Send + Sync + 'q) -> Vect<'q> {
        self.with_stage(Box::new(change), false, 0)
    }

    /// Changes every column when it is computed, with `scalars` scalar arguments.
    pub(crate) fn map(
        self,
        scalars: usize,
        change: impl Fn(&mut Column) + Send + Sync + 'q,
    ) -> Vect<'q> {
        self.with_stage(Box::new(change), true, scalars)
    }

    fn with_stage(
        mut self,
        change: Box<dyn Fn(&mut Column) + Send + Sync + 'q>,
        counted: bool,
        scalars: usize,
    ) -> Vect<'q> {
        match &mut self.columns {
            Columns::Ready { columns, usage, .. } => {
                for column in columns.iter_mut() {
                    change(column);
                }
                if counted {
                    let scalar = Usage::scalar(self.len);
                    let inputs: Vec<&Usage> = std::iter::once(&*usage)
                        .chain(std::iter::repeat_n(&scalar, scalars))
                        .collect();
                    *usage = Usage::of(self.len, columns).stepwise(&inputs);
                }
            }
            Columns::Lazy(lazy) => lazy.stages.push(Stage {
                change,
                counted,
                scalars,
            }),
        }
        self
    }

    /// Removes what names the metric, at once or, with delayed name removal, at the end.
    pub(crate) fn without_name(
        self,
        query: &'q Query<'q>,
        clash: Clash,
    ) -> Result<Vect<'q>, QueryError> {
        self.without_labels(query, clash, is_metadata_label)
    }

    /// [`Vect::without_name`] for the labels that `drops` says.
    pub(crate) fn without_labels(
        mut self,
        query: &'q Query<'q>,
        clash: Clash,
        drops: fn(&str) -> bool,
    ) -> Result<Vect<'q>, QueryError> {
        if query.options.delayed_name_removal {
            for meta in &mut self.metas {
                meta.drop_name = true;
            }
            return Ok(self);
        }
        for meta in &mut self.metas {
            if self.distinct
                && meta
                    .labels
                    .iter()
                    .any(|(name, _)| name != model::labels::METRIC_NAME && drops(name))
            {
                self.distinct = false;
            }
            meta.labels = meta.labels.without(drops);
        }
        if self.distinct {
            return Ok(self);
        }
        self.settle(query, clash)
    }

    /// Sees to it that no two series have the same labels.
    pub(crate) fn settle(
        mut self,
        query: &'q Query<'q>,
        clash: Clash,
    ) -> Result<Vect<'q>, QueryError> {
        if all_distinct(&self.metas) {
            self.distinct = self
                .metas
                .iter()
                .all(|meta| !meta.labels.has(model::labels::METRIC_NAME));
            return Ok(self);
        }
        let Held {
            metas,
            columns,
            usage,
            charge: _charge,
        } = self.materialize(query)?;
        let (metas, columns) = merge_same(metas, columns, clash)?;
        Vect::ready(query, metas, columns, usage)
    }

    /// Computes all columns in order of the series and hands them over; returns what upstream would
    /// have counted.
    pub(crate) fn for_each(
        self,
        query: &Query<'_>,
        mut take: impl FnMut(usize, Column) -> Result<(), QueryError>,
    ) -> Result<Usage, QueryError> {
        self.for_each_series(query, |i, _, column| take(i, column))
    }

    /// [`Vect::for_each`] with what identifies the series.
    pub(crate) fn for_each_series(
        self,
        query: &Query<'_>,
        mut take: impl FnMut(usize, &Meta, Column) -> Result<(), QueryError>,
    ) -> Result<Usage, QueryError> {
        let metas = self.metas;
        match self.columns {
            Columns::Ready { columns, usage, .. } => {
                for ((i, column), meta) in columns.into_iter().enumerate().zip(&metas) {
                    take(i, meta, column)?;
                }
                Ok(usage)
            }
            Columns::Lazy(lazy) => lazy.for_each(query, metas.len(), self.len, &mut |i, column| {
                take(i, &metas[i], column)
            }),
        }
    }

    /// Computes all columns and keeps them.
    pub(crate) fn materialize(mut self, query: &'q Query<'q>) -> Result<Held<'q>, QueryError> {
        let metas = std::mem::take(&mut self.metas);
        match self.columns {
            Columns::Ready {
                columns,
                usage,
                charge,
            } => Ok(Held {
                metas,
                columns,
                usage,
                charge,
            }),
            Columns::Lazy(lazy) => {
                let series = metas.len();
                let charge = query
                    .bytes
                    .take((series * self.len * 8) as u64, || lazy.leaf.name())?;
                let mut columns = Vec::with_capacity(series);
                let usage = lazy.for_each(query, series, self.len, &mut |_, column| {
                    columns.push(column);
                    Ok(())
                })?;
                Ok(Held {
                    metas,
                    columns,
                    usage,
                    charge: Some(charge),
                })
            }
        }
    }
}

/// A vector with all its columns, and the memory that they are charged for.
pub(crate) struct Held<'q> {
    pub metas: Vec<Meta>,
    pub columns: Vec<Column>,
    pub usage: Usage,
    pub charge: Option<Charge<'q>>,
}

/// What one thread computed of a run of series.
struct Part {
    columns: Vec<Column>,
    windows: Vec<(WindowUse, u64)>,
    /// Of the leaf, then of every counted stage.
    usages: Vec<Usage>,
    tally: Tally,
}

impl Lazy<'_> {
    fn for_each(
        &self,
        query: &Query<'_>,
        series: usize,
        len: usize,
        take: &mut dyn FnMut(usize, Column) -> Result<(), QueryError>,
    ) -> Result<Usage, QueryError> {
        let counted = self.stages.iter().filter(|stage| stage.counted).count();
        let mut fold = Fold {
            usages: vec![Usage::empty(len); counted + 1],
            held: self.held,
            peak: self.peak,
        };
        let chunk = (CHUNK_VALUES / len.max(1)).clamp(1, CHUNK);
        let chunks: Vec<std::ops::Range<usize>> = (0..series)
            .step_by(chunk)
            .map(|from| from..(from + chunk).min(series))
            .collect();
        let mut next = 0;
        let mut finish = |part: Part, fold: &mut Fold| {
            fold.add(query, self.looked, &part)?;
            for column in part.columns {
                take(next, column)?;
                next += 1;
            }
            Ok::<(), QueryError>(())
        };
        let work = (series as u64).saturating_mul(self.leaf.samples_a_series(len));
        match query.pool {
            Some(pool) if chunks.len() > 1 && work >= WORTH_SHARING => {
                let threads = pool.current_num_threads();
                // A few chunks a thread at a time: enough to share the work, few enough to hold.
                for wave in chunks.chunks(threads * CHUNKS_A_THREAD) {
                    for part in self.wave(query, pool, wave, len, counted) {
                        finish(part?, &mut fold)?;
                    }
                }
            }
            _ => {
                for chunk in chunks {
                    let part = self.part(query, chunk, len, counted)?;
                    finish(part, &mut fold)?;
                }
            }
        }
        Ok(fold.finish(&self.stages))
    }

    /// Computes chunks on this thread and those of the pool, whoever is free taking the next. This
    /// thread takes part so that nobody has to be woken for it to begin.
    fn wave(
        &self,
        query: &Query<'_>,
        pool: &rayon::ThreadPool,
        chunks: &[std::ops::Range<usize>],
        len: usize,
        counted: usize,
    ) -> Vec<Result<Part, QueryError>> {
        let next = AtomicUsize::new(0);
        let parts: Vec<OnceLock<Result<Part, QueryError>>> =
            chunks.iter().map(|_| OnceLock::new()).collect();
        let take_chunks = || {
            while let Some((chunk, part)) = {
                let i = next.fetch_add(1, Ordering::Relaxed);
                chunks.get(i).zip(parts.get(i))
            } {
                // Every chunk is taken once.
                let _ = part.set(self.part(query, chunk.clone(), len, counted));
            }
        };
        let helpers = (pool.current_num_threads() - 1).min(chunks.len() - 1);
        pool.in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| take_chunks());
            }
            take_chunks();
        });
        parts.into_iter().filter_map(OnceLock::into_inner).collect()
    }

    fn part(
        &self,
        query: &Query<'_>,
        chunk: std::ops::Range<usize>,
        len: usize,
        counted: usize,
    ) -> Result<Part, QueryError> {
        let mut part = Part {
            columns: Vec::with_capacity(chunk.len()),
            windows: Vec::with_capacity(chunk.len()),
            usages: vec![Usage::empty(len); counted + 1],
            tally: Tally {
                looked: vec![0; len],
                read: 0,
                window: WindowUse::default(),
            },
        };
        query.cancel.check(PHASE)?;
        for i in chunk {
            // Looking at the clock takes longer than a single step.
            if len > 1 {
                query.cancel.check(PHASE)?;
            }
            let mut column = Column::absent(len);
            part.tally.window = WindowUse::default();
            self.leaf.column(i, &mut column, &mut part.tally)?;
            let given = part.usages[0].add(&column);
            part.windows.push((part.tally.window, given));
            let mut counter = 1;
            for stage in &self.stages {
                (stage.change)(&mut column);
                if stage.counted {
                    part.usages[counter].add(&column);
                    counter += 1;
                }
            }
            part.columns.push(column);
        }
        Ok(part)
    }
}

/// The counts of all series so far, folded in their order.
struct Fold {
    usages: Vec<Usage>,
    held: u64,
    peak: u64,
}

impl Fold {
    fn add(&mut self, query: &Query<'_>, looked: &Looked, part: &Part) -> Result<(), QueryError> {
        for (usage, more) in self.usages.iter_mut().zip(&part.usages) {
            usage.merge(more);
        }
        for (window, given) in &part.windows {
            self.peak = self.peak.max(self.held + window.widest);
            self.held += given;
            self.peak = self.peak.max(self.held + window.last);
        }
        looked.add(query.stats, &part.tally.looked);
        query
            .samples_read
            .fetch_add(part.tally.read, std::sync::atomic::Ordering::Relaxed);
        if self.usages[0].total().max(self.peak) > query.options.max_samples {
            return Err(QueryError::TooManySamples);
        }
        Ok(())
    }

    fn finish(self, stages: &[Stage<'_>]) -> Usage {
        let mut usages = self.usages.into_iter();
        let mut usage = usages.next().unwrap_or_default();
        usage.peak = usage.total().max(self.peak);
        let scalar = Usage::scalar(usage.counts.len());
        for (stage, counted) in stages.iter().filter(|stage| stage.counted).zip(usages) {
            let inputs: Vec<&Usage> = std::iter::once(&usage)
                .chain(std::iter::repeat_n(&scalar, stage.scalars))
                .collect();
            usage = counted.stepwise(&inputs);
        }
        usage
    }
}

/// Whether all labels are different.
pub(crate) fn all_distinct(metas: &[Meta]) -> bool {
    if metas.len() < 2 {
        return true;
    }
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(metas.len());
    metas.iter().all(|meta| seen.insert(meta.labels.as_bytes()))
}

/// Joins series with the same labels.
///
/// # Errors
/// Upstream's text, where they cannot be joined.
pub(crate) fn merge_same(
    metas: Vec<Meta>,
    columns: Vec<Column>,
    clash: Clash,
) -> Result<(Vec<Meta>, Vec<Column>), QueryError> {
    let mut place: HashMap<Labels, usize> = HashMap::with_capacity(metas.len());
    let mut merged_metas: Vec<Meta> = Vec::with_capacity(metas.len());
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for (meta, column) in metas.into_iter().zip(columns) {
        if column.is_empty() {
            continue;
        }
        match place.get(&meta.labels) {
            None => {
                place.insert(meta.labels.clone(), merged.len());
                merged_metas.push(meta);
                merged.push(column);
            }
            Some(_) if clash == Clash::Fail => return same_labelset(),
            Some(&at) => {
                if merged[at].merge(column).is_err() {
                    return same_labelset();
                }
            }
        }
    }
    Ok((merged_metas, merged))
}
