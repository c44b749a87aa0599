//! `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`: of classic buckets, which are
//! series that differ in `le`, and of native histograms.

use hashbrown::HashMap;
use model::histogram::kahan_add;
use model::{FloatHistogram, Labels, LabelsBuilder};

use super::columns::{Column, Meta, Sample};
use super::labels::string_arg;
use super::usage::Usage;
use super::vect::{Clash, Held, Vect};
use super::{Query, Scope, eval_scalar, eval_vector};
use crate::annotate::{Monotonicity, Note};
use crate::ast::{Call, Expr, PosRange};
use crate::budget::Charge;
use crate::functions::quantile::{
    ClassicBucket, NanObservations, bucket_fraction, bucket_quantile, histogram_fraction,
    histogram_quantile,
};
use crate::query_error::QueryError;

/// The variance of a histogram: every observation is taken to be in the middle of its bucket.
pub(crate) fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut variance, mut c) = (0.0, 0.0);
    for bucket in h.all_buckets().iter().filter(|b| b.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (variance, c) = kahan_add(bucket.count * delta * delta, variance, c);
    }
    (variance + c) / h.count
}

/// One histogram of the input: buckets, or a native one, or (wrongly) both.
#[derive(Default)]
struct Group {
    labels: Labels,
    drop_name: bool,
    /// Series and upper bound of each bucket.
    buckets: Vec<(usize, f64)>,
    native: Option<usize>,
}

/// The input, grouped into histograms.
struct Histograms<'q> {
    groups: Vec<Group>,
    columns: Vec<Column>,
    input: Usage,
    len: usize,
    _charge: Option<Charge<'q>>,
}

fn collect<'q>(
    query: &'q Query<'q>,
    arg: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Histograms<'q>, QueryError> {
    let Held {
        metas,
        columns,
        usage: input,
        charge,
    } = eval_vector(query, arg, scope)?.materialize(query)?;
    let named = |labels: &Labels| {
        if query.options.delayed_name_removal {
            labels.metric_name().to_owned()
        } else {
            String::new()
        }
    };
    let mut groups: Vec<Group> = Vec::new();
    let mut place: HashMap<Labels, usize> = HashMap::new();
    for (i, (meta, column)) in metas.into_iter().zip(&columns).enumerate() {
        let Meta { labels, drop_name } = meta;
        let has_floats = column.floats.iter().any(|v| !super::is_absent(*v));
        let has_histograms = !column.histograms.is_empty();
        if has_floats {
            let le = labels.get(model::labels::BUCKET_LABEL);
            match golang::strconv::parse_float(le) {
                Ok(upper) => {
                    let key = labels.without(|name| name == model::labels::BUCKET_LABEL);
                    let at = *place.entry(key.clone()).or_insert_with(|| {
                        groups.push(Group {
                            labels: key,
                            drop_name,
                            ..Group::default()
                        });
                        groups.len() - 1
                    });
                    groups[at].buckets.push((i, upper));
                }
                Err(_) => {
                    query.notes.add(
                        Note::BadBucketLabel {
                            metric: named(&labels),
                            label: le.to_owned(),
                        },
                        arg.pos(),
                    );
                }
            }
        }
        if has_histograms {
            // A native histogram is the same as a classic one if its labels are, with any `le`.
            let at = *place.entry(labels.clone()).or_insert_with(|| {
                groups.push(Group {
                    labels,
                    drop_name,
                    ..Group::default()
                });
                groups.len() - 1
            });
            groups[at].native = Some(i);
        }
    }
    // At a step with both kinds nothing is computed.
    for group in &groups {
        let Some(native) = group.native else {
            continue;
        };
        let both = (0..scope.grid.len).any(|step| {
            columns[native].histogram(step).is_some()
                && group
                    .buckets
                    .iter()
                    .any(|(i, _)| !super::is_absent(columns[*i].floats[step]))
        });
        if both {
            query.notes.add(
                Note::MixedClassicNative {
                    metric: named(&group.labels),
                },
                arg.pos(),
            );
        }
    }
    Ok(Histograms {
        groups,
        columns,
        input,
        len: scope.grid.len,
        _charge: charge,
    })
}

/// What a group has at a step.
enum AtStep<'a> {
    Classic(&'a mut Vec<ClassicBucket>),
    Native(&'a FloatHistogram),
}

impl<'q> Histograms<'q> {
    /// The column of a value of each group's histogram.
    fn column(&self, group: &Group, mut value: impl FnMut(usize, AtStep<'_>) -> f64) -> Column {
        let mut out = Column::absent(self.len);
        let mut buckets = Vec::with_capacity(group.buckets.len());
        for step in 0..self.len {
            buckets.clear();
            buckets.extend(group.buckets.iter().filter_map(|(i, upper)| {
                match self.columns[*i].floats[step] {
                    v if super::is_absent(v) => None,
                    count => Some(ClassicBucket {
                        upper: *upper,
                        count,
                    }),
                }
            }));
            let native = group.native.and_then(|i| self.columns[i].histogram(step));
            out.floats[step] = match (native, buckets.is_empty()) {
                (Some(h), true) => value(step, AtStep::Native(h)),
                (None, false) => value(step, AtStep::Classic(&mut buckets)),
                (Some(_), false) | (None, true) => continue,
            };
        }
        out
    }

    fn finish(
        self,
        query: &'q Query<'q>,
        series: Vec<(Meta, Column)>,
        scalars: &[&Usage],
    ) -> Result<Vect<'q>, QueryError> {
        let (metas, columns): (Vec<Meta>, Vec<Column>) = series.into_iter().unzip();
        let inputs: Vec<&Usage> = std::iter::once(&self.input)
            .chain(scalars.iter().copied())
            .collect();
        let usage = Usage::of(self.len, &columns).stepwise(&inputs);
        Vect::ready(query, metas, columns, usage)?.without_name(query, Clash::Merge)
    }
}

fn warn_quantiles(query: &Query<'_>, quantiles: &[f64], pos: PosRange) {
    for q in quantiles.iter().filter(|q| !(**q >= 0.0 && **q <= 1.0)) {
        query.notes.add(Note::InvalidQuantile((*q).into()), pos);
    }
}

/// The quantile of a group at every step. `told` are the steps at which it was said that its buckets
/// had to be fixed: another quantile of the same buckets does not say it again.
fn quantile_column(
    query: &Query<'_>,
    histograms: &Histograms<'_>,
    group: &Group,
    quantiles: &[f64],
    vector_pos: PosRange,
    scope: &Scope<'_>,
    told: &mut Vec<bool>,
) -> Column {
    told.resize(histograms.len, false);
    let metric = group.labels.metric_name();
    let classic_metric = if query.options.delayed_name_removal {
        metric
    } else {
        ""
    };
    histograms.column(group, |step, at| match at {
        AtStep::Native(h) => {
            let (value, nan) = histogram_quantile(quantiles[step], h);
            let native_metric = if query.options.delayed_name_removal {
                metric.to_owned()
            } else {
                String::new()
            };
            match nan {
                NanObservations::No => {}
                NanObservations::Result => query.notes.add(
                    Note::QuantileNanResult {
                        metric: native_metric,
                    },
                    vector_pos,
                ),
                NanObservations::Skew => query.notes.add(
                    Note::QuantileNanSkew {
                        metric: native_metric,
                    },
                    vector_pos,
                ),
            }
            value
        }
        AtStep::Classic(buckets) => {
            let (value, forced) = bucket_quantile(quantiles[step], buckets);
            if let Some(forced) = forced
                && !std::mem::replace(&mut told[step], true)
            {
                let t_ms = scope.grid.at(step);
                query.notes.add_monotonicity(
                    classic_metric,
                    vector_pos,
                    Monotonicity {
                        first_ms: t_ms,
                        last_ms: t_ms,
                        min_bucket: forced.min_bucket,
                        max_bucket: forced.max_bucket,
                        max_diff: forced.max_diff,
                        samples: 1,
                    },
                );
            }
            value
        }
    })
}

/// `histogram_quantile(q, v)`.
pub(crate) fn quantile<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let (quantiles, scalar) = eval_scalar(query, &call.args[0], scope)?;
    let histograms = collect(query, &call.args[1], scope)?;
    warn_quantiles(query, &quantiles, call.args[0].pos());
    let places = call.args[1].pos();
    let series = histograms
        .groups
        .iter()
        .map(|group| {
            let told = &mut Vec::new();
            let column =
                quantile_column(query, &histograms, group, &quantiles, places, scope, told);
            (meta_of(group), column)
        })
        .collect();
    histograms.finish(query, series, &[&scalar])
}

fn meta_of(group: &Group) -> Meta {
    Meta {
        labels: group.labels.clone(),
        drop_name: group.drop_name,
    }
}

/// `histogram_quantiles(v, label, q...)`: the quantile becomes a label.
pub(crate) fn quantiles<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let label = string_arg(call, 1)?;
    let mut wanted = Vec::new();
    let mut scalars = Vec::new();
    for arg in &call.args[2..] {
        let (values, usage) = eval_scalar(query, arg, scope)?;
        warn_quantiles(query, &values, arg.pos());
        wanted.push(values);
        scalars.push(usage);
    }
    let histograms = collect(query, &call.args[0], scope)?;
    let places = call.args[0].pos();
    let mut series: Vec<(Meta, Column)> = Vec::new();
    let mut told = vec![Vec::new(); histograms.groups.len()];
    for values in &wanted {
        // A quantile that varies gives a series for each of its values.
        let mut distinct: Vec<f64> = Vec::new();
        for q in values {
            if !distinct.iter().any(|seen| seen.to_bits() == q.to_bits()) {
                distinct.push(*q);
            }
        }
        for (group, told) in histograms.groups.iter().zip(&mut told) {
            let all = quantile_column(query, &histograms, group, values, places, scope, told);
            for q in &distinct {
                let mut column = Column::absent(histograms.len);
                for step in all.present() {
                    if values[step].to_bits() == q.to_bits()
                        && let Some(Sample::Float(v)) = all.get(step)
                    {
                        column.floats[step] = v;
                    }
                }
                let mut meta = meta_of(group);
                let mut builder = LabelsBuilder::new(meta.labels);
                builder.set(label, &open_metrics_float(*q));
                meta.labels = builder.build();
                series.push((meta, column));
            }
        }
    }
    let scalars: Vec<&Usage> = scalars.iter().collect();
    histograms.finish(query, series, &scalars)
}

/// A float as OpenMetrics writes it in labels: never without a point or exponent.
fn open_metrics_float(v: f64) -> String {
    match v {
        1.0 => "1.0".to_owned(),
        0.0 => "0.0".to_owned(),
        -1.0 => "-1.0".to_owned(),
        v if v.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v => {
            let text = golang::strconv::format_float(v, 'g', -1, 64);
            if text.contains(['e', '.']) {
                text
            } else {
                format!("{text}.0")
            }
        }
    }
}

/// `histogram_fraction(lower, upper, v)`.
pub(crate) fn fraction<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let (lower, lower_usage) = eval_scalar(query, &call.args[0], scope)?;
    let (upper, upper_usage) = eval_scalar(query, &call.args[1], scope)?;
    let histograms = collect(query, &call.args[2], scope)?;
    let series = histograms
        .groups
        .iter()
        .map(|group| {
            let column = histograms.column(group, |step, at| match at {
                AtStep::Native(h) => {
                    let (value, left_out) = histogram_fraction(lower[step], upper[step], h);
                    if left_out {
                        let metric = if query.options.delayed_name_removal {
                            group.labels.metric_name().to_owned()
                        } else {
                            String::new()
                        };
                        query
                            .notes
                            .add(Note::FractionNans { metric }, call.args[2].pos());
                    }
                    value
                }
                AtStep::Classic(buckets) => bucket_fraction(lower[step], upper[step], buckets),
            });
            (meta_of(group), column)
        })
        .collect();
    histograms.finish(query, series, &[&lower_usage, &upper_usage])
}
