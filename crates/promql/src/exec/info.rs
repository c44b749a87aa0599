//! `info`: labels of info metrics such as `target_info`, joined by `instance` and `job`
//! (prometheus/prometheus `promql/info.go`). Experimental.

use hashbrown::{HashMap, HashSet};
use model::{Labels, LabelsBuilder, MatchKind, Matcher};

use super::columns::{Column, Meta, is_absent};
use super::samples::{Stored, with_scratch};
use super::select::{self, Span};
use super::selector::{References, Wanted, look_back};
use super::usage::Usage;
use super::vect::{Clash, Held, Vect, merge_same};
use super::{Query, Scope, eval_vector, failed};
use crate::ast::{Call, Expr};
use crate::query_error::QueryError;

const NAME: &str = model::labels::METRIC_NAME;
const TARGET_INFO: &str = "target_info";
const IDENTIFYING: [&str; 2] = [model::labels::INSTANCE_NAME, model::labels::JOB_NAME];

/// Evaluates a call.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let Held {
        metas,
        columns,
        usage: input,
        charge: _charge,
    } = eval_vector(query, &call.args[0], scope)?.materialize(query)?;
    let mut name_matchers: Vec<Matcher> = Vec::new();
    let mut data_matchers: Vec<Matcher> = Vec::new();
    if let Some(Expr::Vector(selector)) = call.args.get(1).map(Expr::unwrapped) {
        for matcher in &selector.matchers {
            if &*matcher.name == NAME {
                name_matchers.push(matcher.clone());
            } else {
                data_matchers.push(matcher.clone());
            }
        }
    }
    // Matchers that only exclude are about metrics that are info metrics by their name.
    let names = |m: &Matcher| matches!(m.kind, MatchKind::Equal | MatchKind::Regexp);
    if !name_matchers.is_empty() && !name_matchers.iter().any(names) {
        name_matchers.extend(Matcher::new(MatchKind::Regexp, NAME, ".+_info").ok());
    }
    let ignores = |labels: &Labels| {
        let name = labels.metric_name();
        if name_matchers.is_empty() {
            return name == TARGET_INFO;
        }
        name_matchers.iter().all(|matcher| matcher.matches(name))
    };
    // Series without a value are none.
    let (metas, columns): (Vec<Meta>, Vec<Column>) = (metas.into_iter().zip(columns))
        .filter(|(_, column)| !column.is_empty())
        .unzip();
    let ignored: Vec<bool> = metas.iter().map(|meta| ignores(&meta.labels)).collect();
    let found = fetch(
        query,
        call,
        scope,
        &metas,
        &ignored,
        (name_matchers, &data_matchers),
    )?;
    let series = combine(&metas, columns, &ignored, &found, &data_matchers)?;
    let (metas, columns) = series.into_iter().unzip();
    let (metas, columns) = merge_same(metas, columns, Clash::Merge)?;
    let usage = Usage::of(scope.grid.len, &columns).stepwise(&[&input, &found.usage]);
    Vect::ready(query, metas, columns, usage)
}

/// Info series: labels, and the time in milliseconds of the sample found at each step.
struct Found {
    metas: Vec<Meta>,
    times: Vec<Column>,
    usage: Usage,
}

fn fetch<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
    metas: &[Meta],
    ignored: &[bool],
    (name_matchers, data_matchers): (Vec<Matcher>, &[Matcher]),
) -> Result<Found, QueryError> {
    let len = scope.grid.len;
    let nothing = Found {
        metas: Vec::new(),
        times: Vec::new(),
        usage: Usage::empty(len),
    };
    let mut matchers = name_matchers;
    if matchers.is_empty() {
        matchers.extend(Matcher::new(MatchKind::Equal, NAME, TARGET_INFO).ok());
    }
    let mut any = false;
    for name in IDENTIFYING {
        let mut values: Vec<&str> = metas
            .iter()
            .zip(ignored)
            .filter(|(_, ignored)| !**ignored)
            .map(|(meta, _)| meta.labels.get(name))
            .filter(|value| !value.is_empty())
            .collect();
        if values.is_empty() {
            continue;
        }
        any = true;
        values.sort_unstable();
        values.dedup();
        let pattern: Vec<String> = values.into_iter().map(quote_meta).collect();
        match Matcher::new(MatchKind::Regexp, name, pattern.join("|")) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => return failed(error.to_string()),
        }
    }
    if !any {
        return Ok(nothing);
    }
    matchers.extend(data_matchers.iter().cloned());

    // Info series are looked up at the times of the first selector's samples.
    let (at, offset_ms) = crate::plan::info_reference(&call.args[0]);
    let references = References::new(scope.grid, at, offset_ms);
    let span = Span {
        min_ms: references.first - query.lookback_ms + 1,
        max_ms: references.last(),
        range_ms: 0,
    };
    let selected = select::select(query, &matchers, span, scope)?;
    let metas = select::metas(&selected.set);
    let mut times = Vec::with_capacity(metas.len());
    let stored = Stored {
        selected,
        min_ms: span.min_ms,
        max_ms: span.max_ms,
        only_stats: None,
        start_times: false,
    };
    for (i, meta) in metas.iter().enumerate() {
        let mut column = Column::absent(len);
        with_scratch(|samples| {
            stored.decode(i, samples)?;
            if !samples.histograms.is_empty() {
                return failed(format!(
                    "this should be an info metric, with float samples: {}",
                    meta.labels
                ));
            }
            look_back(
                samples,
                references,
                query.lookback_ms,
                Wanted::TimestampMs,
                &mut column,
            );
            Ok(())
        })?;
        times.push(column);
    }
    let mut usage = Usage::of(len, &times);
    usage.peak = usage.total();
    scope.looked.add(query.stats, &usage.counts);
    Ok(Found {
        metas,
        times,
        usage,
    })
}

fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// Adds the info labels to every series; a series becomes several where they change over time.
fn combine(
    metas: &[Meta],
    columns: Vec<Column>,
    ignored: &[bool],
    found: &Found,
    data_matchers: &[Matcher],
) -> Result<Vec<(Meta, Column)>, QueryError> {
    let wanted: HashSet<&str> = data_matchers.iter().map(|m| &*m.name).collect();
    // Info series by what identifies them.
    let key = |labels: &Labels| IDENTIFYING.map(|name| labels.get(name).to_owned());
    let mut by_key: HashMap<[String; 2], Vec<usize>> = HashMap::new();
    for (i, meta) in found.metas.iter().enumerate() {
        by_key.entry(key(&meta.labels)).or_default().push(i);
    }
    let all_match_empty = data_matchers.iter().all(Matcher::matches_empty);
    let mut out: Vec<(Meta, Column)> = Vec::new();
    for ((meta, column), ignored) in metas.iter().zip(columns).zip(ignored) {
        if *ignored {
            out.push((meta.clone(), column));
            continue;
        }
        let candidates = by_key
            .get(&key(&meta.labels))
            .map_or(&[][..], Vec::as_slice);
        let mut enriched: HashMap<Labels, usize> = HashMap::new();
        let mut last: Option<(Vec<usize>, Option<usize>)> = None;
        let len = column.floats.len();
        for step in column.present().collect::<Vec<_>>() {
            let newest = newest_at(found, candidates, step)?;
            let at = match &last {
                Some((before, at)) if *before == newest => *at,
                _ => {
                    let at = if newest.is_empty() && !all_match_empty {
                        None
                    } else {
                        let labels = add_labels(&meta.labels, found, &newest, &wanted)?;
                        Some(*enriched.entry(labels.clone()).or_insert_with(|| {
                            let meta = Meta {
                                labels,
                                drop_name: meta.drop_name,
                            };
                            out.push((meta, Column::absent(len)));
                            out.len() - 1
                        }))
                    };
                    last = Some((newest, at));
                    at
                }
            };
            if let (Some(at), Some(value)) = (at, column.get(step)) {
                out[at].1.set(step, value);
            }
        }
    }
    Ok(out)
}

/// Of each info metric the candidate with the newest sample at this step.
fn newest_at(found: &Found, candidates: &[usize], step: usize) -> Result<Vec<usize>, QueryError> {
    let mut newest: Vec<usize> = Vec::new();
    for &candidate in candidates {
        let t = found.times[candidate].floats[step];
        if is_absent(t) {
            continue;
        }
        let labels = &found.metas[candidate].labels;
        let same_metric = newest
            .iter_mut()
            .find(|other| found.metas[**other].labels.metric_name() == labels.metric_name());
        match same_metric {
            None => newest.push(candidate),
            Some(other) => {
                let other_t = found.times[*other].floats[step];
                if other_t == t {
                    return failed(format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        found.metas[*other].labels, other_t as i64, labels, t as i64
                    ));
                }
                if other_t < t {
                    *other = candidate;
                }
            }
        }
    }
    Ok(newest)
}

fn add_labels(
    base: &Labels,
    found: &Found,
    newest: &[usize],
    wanted: &HashSet<&str>,
) -> Result<Labels, QueryError> {
    let mut added = LabelsBuilder::new(Labels::empty());
    for info in newest {
        for (name, value) in &found.metas[*info].labels {
            if name == NAME || (!wanted.is_empty() && !wanted.contains(name)) {
                continue;
            }
            let before = added.get(name);
            if !before.is_empty() && before != value {
                return failed(format!("conflicting label: {name}"));
            }
            if !base.has(name) {
                added.set(name, value);
            }
        }
    }
    let mut builder = LabelsBuilder::new(base.clone());
    for (name, value) in &added.build() {
        builder.set(name, value);
    }
    Ok(builder.build())
}
