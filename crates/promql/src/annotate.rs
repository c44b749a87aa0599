//! Warnings and infos of an evaluation, in upstream's words
//! (prometheus/prometheus `util/annotations`).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use golang::strconv::{format_float, quote};
use model::Annotations;
use model::annotations::Level;

use crate::ast::{Expr, PosRange};

/// What happened. `Display` would need a position and the query; see [`Notes::render`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Note {
    // Warnings.
    InvalidRatio {
        got: Bits,
        to: Bits,
    },
    InvalidQuantile(Bits),
    BadBucketLabel {
        metric: String,
        label: String,
    },
    MixedFloatsHistograms {
        metric: String,
    },
    MixedFloatsHistogramsAggregation,
    MixedClassicNative {
        metric: String,
    },
    NotCounter {
        metric: String,
    },
    NotGauge {
        metric: String,
    },
    MixedExponentialCustom {
        metric: String,
    },
    IncompatibleBucketLayout {
        operator: &'static str,
    },
    ResetCollision(HistogramOperation),
    SortIneffective,
    StartTimeOverlap {
        metric: String,
    },
    // Infos.
    PossibleNonCounter {
        metric: String,
    },
    PossibleNonCounterLabel {
        metric: String,
        type_label: String,
    },
    ForcedMonotonicity {
        metric: String,
    },
    IncompatibleTypes {
        lhs: &'static str,
        operator: &'static str,
        rhs: &'static str,
    },
    HistogramIgnoredInAggregation(&'static str),
    HistogramIgnoredInMixedRange {
        metric: String,
    },
    QuantileNanResult {
        metric: String,
    },
    QuantileNanSkew {
        metric: String,
    },
    FractionNans {
        metric: String,
    },
    MismatchedCustomBuckets(HistogramOperation),
    /// What storage said: text and level are its own.
    Storage(Level, String),
}

/// A float that is compared by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bits(u64);

impl From<f64> for Bits {
    fn from(value: f64) -> Bits {
        // All that is no number has one text.
        let value = if value.is_nan() { f64::NAN } else { value };
        Bits(value.to_bits())
    }
}

impl Bits {
    fn text(self) -> String {
        general(f64::from_bits(self.0))
    }
}

fn general(value: f64) -> String {
    format_float(value, 'g', -1, 64)
}

/// What was done with two histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOperation {
    fn as_str(self) -> &'static str {
        match self {
            HistogramOperation::Addition => "addition",
            HistogramOperation::Subtraction => "subtraction",
            HistogramOperation::Aggregation => "aggregation",
        }
    }
}

impl Note {
    fn level(&self) -> Level {
        use Note::*;
        match self {
            InvalidRatio { .. }
            | InvalidQuantile(_)
            | BadBucketLabel { .. }
            | MixedFloatsHistograms { .. }
            | MixedFloatsHistogramsAggregation
            | MixedClassicNative { .. }
            | NotCounter { .. }
            | NotGauge { .. }
            | MixedExponentialCustom { .. }
            | IncompatibleBucketLayout { .. }
            | ResetCollision(_)
            | SortIneffective
            | StartTimeOverlap { .. } => Level::Warning,
            PossibleNonCounter { .. }
            | PossibleNonCounterLabel { .. }
            | ForcedMonotonicity { .. }
            | IncompatibleTypes { .. }
            | HistogramIgnoredInAggregation(_)
            | HistogramIgnoredInMixedRange { .. }
            | QuantileNanResult { .. }
            | QuantileNanSkew { .. }
            | FractionNans { .. }
            | MismatchedCustomBuckets(_) => Level::Info,
            Storage(level, _) => *level,
        }
    }

    fn text(&self) -> String {
        use Note::*;
        match self {
            InvalidRatio { got, to } => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                got.text(),
                to.text()
            ),
            InvalidQuantile(q) => {
                format!("quantile value should be between 0 and 1, got {}", q.text())
            }
            BadBucketLabel { metric, label } => with_metric(
                format!(
                    "bucket label \"le\" is missing or has a malformed value of {}",
                    quote(label)
                ),
                metric,
            ),
            MixedFloatsHistograms { metric } => format!(
                "encountered a mix of histograms and floats for metric name {}",
                quote(metric)
            ),
            MixedFloatsHistogramsAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            MixedClassicNative { metric } => with_metric(
                "vector contains a mix of classic and native histograms".to_owned(),
                metric,
            ),
            NotCounter { metric } => format!(
                "this native histogram metric is not a counter: {}",
                quote(metric)
            ),
            NotGauge { metric } => format!(
                "this native histogram metric is not a gauge: {}",
                quote(metric)
            ),
            MixedExponentialCustom { metric } => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quote(metric)
            ),
            IncompatibleBucketLayout { operator } => {
                format!("incompatible bucket layout encountered for binary operator {operator}")
            }
            ResetCollision(operation) => format!(
                "conflicting counter resets during histogram {}",
                operation.as_str()
            ),
            SortIneffective => "sort is ineffective for range queries since results are always ordered by labels".to_owned(),
            StartTimeOverlap { metric } => format!(
                "sample has start time that overlaps with previous sample timestamp for metric {}",
                quote(metric)
            ),
            PossibleNonCounter { metric } => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quote(metric)
            ),
            PossibleNonCounterLabel { metric, type_label } => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quote(type_label),
                quote(metric)
            ),
            ForcedMonotonicity { metric } => with_metric(
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)".to_owned(),
                metric,
            ),
            IncompatibleTypes { lhs, operator, rhs } => format!(
                "incompatible sample types encountered for binary operator {}: {lhs} {operator} {rhs}",
                quote(operator)
            ),
            HistogramIgnoredInAggregation(aggregation) => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            HistogramIgnoredInMixedRange { metric } => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                quote(metric)
            ),
            QuantileNanResult { metric } => with_metric(
                "input to histogram_quantile has NaN observations, result is NaN".to_owned(),
                metric,
            ),
            QuantileNanSkew { metric } => with_metric(
                "input to histogram_quantile has NaN observations, result is skewed higher"
                    .to_owned(),
                metric,
            ),
            FractionNans { metric } => with_metric(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
                    .to_owned(),
                metric,
            ),
            MismatchedCustomBuckets(operation) => format!(
                "mismatched custom buckets were reconciled during {}",
                operation.as_str()
            ),
            Storage(_, text) => text.clone(),
        }
    }
}

fn with_metric(text: String, metric: &str) -> String {
    if metric.is_empty() {
        text
    } else {
        format!("{text} for metric name {}", quote(metric))
    }
}

/// How often, when and by how much buckets had to be made monotonic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonicity {
    pub first_ms: i64,
    pub last_ms: i64,
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
    pub samples: u64,
}

impl Monotonicity {
    fn merge(&mut self, other: &Monotonicity) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.min_bucket = self.min_bucket.min(other.min_bucket);
        self.max_bucket = self.max_bucket.max(other.max_bucket);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.samples += other.samples;
    }

    fn text(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            general(self.min_bucket),
            general(self.max_bucket),
            format_float(self.max_diff, 'g', 2, 64),
            self.samples,
            rfc3339(self.first_ms),
            rfc3339(self.last_ms),
        )
    }
}

/// UTC in whole seconds, as Go's `time.RFC3339`.
fn rfc3339(t_ms: i64) -> String {
    let date = crate::functions::calendar::Date::from_unix(t_ms.div_euclid(1000));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

/// When an expression says something: of itself, and what is said of it as an argument.
#[derive(Clone, Copy, Default)]
struct Rank {
    of_itself: usize,
    as_argument: usize,
}

/// When what is said about each place is said: after everything inside the expression that says it.
fn evaluation_order(expr: &Expr) -> HashMap<(u32, u32), Rank> {
    fn visit(expr: &Expr, next: &mut usize, ranks: &mut HashMap<(u32, u32), Rank>) {
        expr.for_each_child(|child| visit(child, next, ranks));
        *next += 1;
        let at = |pos: PosRange| (pos.start, pos.end);
        ranks.entry(at(expr.pos())).or_default().of_itself = *next;
        // Calls and aggregations speak of their arguments, of a subquery without a place.
        if matches!(expr, Expr::Call(_) | Expr::Aggregate(_)) {
            expr.for_each_child(|child| {
                let pos = match child.unwrapped() {
                    Expr::Subquery(_) => PosRange::default(),
                    _ => child.pos(),
                };
                ranks.entry(at(pos)).or_default().as_argument = *next;
            });
        }
    }
    let mut ranks = HashMap::new();
    visit(expr, &mut 0, &mut ranks);
    ranks
}

/// Where it happened, and what.
type Place = (u32, u32, Note);

/// The notes of one evaluation: each once, whatever thread it came from and how often.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    seen: Mutex<BTreeMap<Place, Option<Monotonicity>>>,
    times: AtomicU64,
}

impl Notes {
    /// How often something was noted.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, note: Note, pos: PosRange) {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.lock()
            .entry((pos.start, pos.end, note))
            .or_insert(None);
    }

    pub(crate) fn add_monotonicity(&self, metric: &str, pos: PosRange, how: Monotonicity) {
        self.times.fetch_add(1, Ordering::Relaxed);
        let note = Note::ForcedMonotonicity {
            metric: metric.to_owned(),
        };
        self.lock()
            .entry((pos.start, pos.end, note))
            .and_modify(|seen| match seen {
                Some(seen) => seen.merge(&how),
                None => *seen = Some(how),
            })
            .or_insert(Some(how));
    }

    pub(crate) fn add_storage(&self, annotations: &Annotations) {
        let texts = (annotations.warnings().map(|t| (Level::Warning, t)))
            .chain(annotations.infos().map(|t| (Level::Info, t)));
        for (level, text) in texts {
            self.add(Note::Storage(level, text.to_owned()), PosRange::default());
        }
    }

    /// The texts, ordered by position; `query` is what positions refer to, and without it they are
    /// left out. As upstream, the same text is told once, with the position of where it came up last
    /// in the evaluation of `expr`.
    pub(crate) fn render(&self, query: &str, expr: &Expr) -> Annotations {
        let mut last: BTreeMap<Note, (PosRange, Option<Monotonicity>)> = BTreeMap::new();
        let mut ranks = None;
        for ((start, end, note), how) in self.lock().iter() {
            let pos = PosRange::new(*start, *end);
            match last.get_mut(note) {
                None => {
                    last.insert(note.clone(), (pos, *how));
                }
                Some((kept, merged)) => {
                    let ranks = ranks.get_or_insert_with(|| evaluation_order(expr));
                    let rank = |pos: &PosRange| {
                        let rank = ranks.get(&(pos.start, pos.end)).copied()?;
                        let itself = matches!(note, Note::SortIneffective) || rank.as_argument == 0;
                        Some(if itself {
                            rank.of_itself
                        } else {
                            rank.as_argument
                        })
                    };
                    // Of arguments of one call the last one speaks last.
                    if rank(&pos) >= rank(kept) {
                        *kept = pos;
                    }
                    match (merged, how) {
                        (Some(merged), Some(how)) => merged.merge(how),
                        (merged, how) => *merged = merged.or(*how),
                    }
                }
            }
        }
        let mut found: Vec<_> = last.into_iter().collect();
        found.sort_by_key(|(_, (pos, _))| (pos.start, pos.end));
        let mut out = Annotations::default();
        for (note, (pos, monotonicity)) in found {
            let level = note.level();
            let mut text = note.text();
            if matches!(note, Note::Storage(..)) {
                out.add(level, text);
                continue;
            }
            if let (Some(how), false) = (monotonicity, query.is_empty()) {
                text.push_str(&how.text());
            }
            let kind = match level {
                Level::Warning => "PromQL warning",
                Level::Info => "PromQL info",
            };
            if query.is_empty() {
                out.add(level, format!("{kind}: {text}"));
            } else {
                let place = pos.line_column(query.as_bytes());
                out.add(level, format!("{kind}: {text} ({place})"));
            }
        }
        out
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Option<Monotonicity>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
