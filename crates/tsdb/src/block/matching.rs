//! From matchers to series of an index.
//!
//! Conditions that need a label to be there are intersected, the cheapest first; then what the
//! others exclude is taken away. Where few series are left and a condition has many values to look
//! at, the series' own labels are looked at instead.

use model::{MatchKind, Matcher};
use tsdb_format::FormatError;
use tsdb_format::index::postings::{Postings, SortedList as _, drop_common, retain_common, union};
use tsdb_format::index::{IndexReader, SeriesEntry};

/// Reading a series' labels costs about as much as this many values.
const VALUES_A_SERIES: usize = 8;

/// References of the series that satisfy all matchers, sorted.
pub(super) fn postings<D: AsRef<[u8]>>(
    index: &IndexReader<D>,
    matchers: &[Matcher],
) -> Result<Vec<u32>, FormatError> {
    let (mut need, mut exclude): (Vec<&Matcher>, Vec<&Matcher>) = matchers
        .iter()
        .partition(|matcher| !matcher.matches_empty());
    // A label without values satisfies nothing that needs it, and excludes nothing.
    if need.iter().any(|m| index.value_count(&m.name) == 0) {
        return Ok(Vec::new());
    }
    exclude.retain(|m| index.value_count(&m.name) > 0);
    need.sort_by_key(|matcher| cost(index, matcher));
    exclude.sort_by_key(|matcher| cost(index, matcher));
    let mut need = need.into_iter();
    let mut series = match need.next() {
        Some(first) => union(&lists(index, first, true)?),
        None => index.all_postings()?.to_vec(),
    };
    for matcher in need {
        if series.is_empty() {
            return Ok(series);
        }
        if series.len() * VALUES_A_SERIES < cost(index, matcher).1 {
            retain_by_labels(index, &mut series, matcher)?;
            continue;
        }
        match &lists(index, matcher, true)?[..] {
            [one] => retain_common(&mut series, one),
            many => retain_common(&mut series, union(many).as_slice()),
        }
    }
    for matcher in exclude {
        if series.is_empty() {
            return Ok(series);
        }
        if series.len() * VALUES_A_SERIES < cost(index, matcher).1 {
            retain_by_labels(index, &mut series, matcher)?;
            continue;
        }
        match &lists(index, matcher, false)?[..] {
            [one] => drop_common(&mut series, one),
            many => drop_common(&mut series, union(many).as_slice()),
        }
    }
    Ok(series)
}

/// What it costs to find a matcher's posting lists: its class, and how many values are looked at.
fn cost<D: AsRef<[u8]>>(index: &IndexReader<D>, matcher: &Matcher) -> (u8, usize) {
    match (matcher.kind, matcher.regexp()) {
        (MatchKind::Equal | MatchKind::NotEqual, _) if !matcher.value.is_empty() => (0, 1),
        (_, Some(regexp)) => match regexp.set_matches() {
            Some(set) => (1, set.len()),
            None => (2, index.value_count(&matcher.name)),
        },
        _ => (2, index.value_count(&matcher.name)),
    }
}

/// Posting lists of the label's values that satisfy the matcher, or of those that do not.
fn lists<'a, D: AsRef<[u8]>>(
    index: &'a IndexReader<D>,
    matcher: &Matcher,
    satisfied: bool,
) -> Result<Vec<Postings<'a>>, FormatError> {
    let name = &*matcher.name;
    // Whether it is the values named by the pattern that are looked for, not all others.
    let named = match matcher.kind {
        MatchKind::Equal | MatchKind::Regexp => satisfied,
        MatchKind::NotEqual | MatchKind::NotRegexp => !satisfied,
    };
    let mut places = Vec::new();
    if named && matcher.regexp().is_none() && !matcher.value.is_empty() {
        return Ok(vec![index.postings(name, &matcher.value)?]);
    }
    if named && let Some(set) = matcher.regexp().and_then(|regexp| regexp.set_matches()) {
        let present = set.iter().filter(|value| !value.is_empty());
        let lists: Result<Vec<_>, _> = present.map(|v| index.postings(name, v)).collect();
        return Ok(lists?.into_iter().filter(|list| !list.is_empty()).collect());
    }
    let prefix = match matcher.regexp().and_then(|regexp| regexp.prefix()) {
        Some(prefix) if named => prefix,
        _ => "",
    };
    index.values_from(name, prefix, |value, place| {
        if !value.starts_with(prefix) {
            return false;
        }
        if matcher.matches(value) == satisfied {
            places.push(place);
        }
        true
    })?;
    places
        .into_iter()
        .map(|place| index.postings_at(place))
        .collect()
}

/// Keeps the series whose label satisfies the matcher.
fn retain_by_labels<D: AsRef<[u8]>>(
    index: &IndexReader<D>,
    series: &mut Vec<u32>,
    matcher: &Matcher,
) -> Result<(), FormatError> {
    let mut entry = SeriesEntry::default();
    let mut failed = None;
    series.retain(|&reference| {
        let value = index
            .series_labels(reference, &mut entry)
            .and_then(|()| index.label_value(&entry, &matcher.name));
        match value {
            Ok(value) => matcher.matches(value.unwrap_or("")),
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        }
    });
    failed.map_or(Ok(()), Err)
}

/// The values of label `name` among all series (`series` is `None`) or the given ones, sorted and
/// distinct, at most `limit` (0 for all).
pub(super) fn label_values<D: AsRef<[u8]>>(
    index: &IndexReader<D>,
    name: &str,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, FormatError> {
    let most = if limit == 0 { usize::MAX } else { limit };
    // Conditions on the label itself choose among its values; they need no series.
    let (own, others): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| *matcher.name == *name);
    let fits = |value: &str| own.iter().all(|matcher| matcher.matches(value));
    let mut values: Vec<String> = Vec::new();
    if others.is_empty() {
        index.values_from(name, "", |value, _| {
            if fits(value) {
                values.push(value.to_owned());
            }
            values.len() < most
        })?;
        return Ok(values);
    }
    let others: Vec<Matcher> = others.into_iter().cloned().collect();
    let series = postings(index, &others)?;
    if series.len() < index.value_count(name) * 4 {
        // Few series: read their labels.
        let mut found = std::collections::BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for reference in series {
            index.series_labels(reference, &mut entry)?;
            if let Some(value) = index.label_value(&entry, name)?.filter(|v| fits(v)) {
                found.insert(value);
            }
        }
        values.extend(found.into_iter().take(most).map(str::to_owned));
        return Ok(values);
    }
    // Few values: see which of them has one of the series.
    let mut candidates = Vec::new();
    index.values_from(name, "", |value, place| {
        if fits(value) {
            candidates.push((value, place));
        }
        true
    })?;
    for (value, place) in candidates {
        if values.len() == most {
            break;
        }
        if have_common(&series, &index.postings_at(place)?) {
            values.push(value.to_owned());
        }
    }
    Ok(values)
}

fn have_common(series: &[u32], list: &Postings<'_>) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < series.len() && j < list.len() {
        let (a, b) = (series[i], list.get(j));
        if a == b {
            return true;
        }
        if a < b {
            i = series.seek(i, b);
        } else {
            j = list.seek(j, a);
        }
    }
    false
}

/// The label names of the series that satisfy the matchers, sorted, at most `limit` (0 for all).
pub(super) fn label_names<D: AsRef<[u8]>>(
    index: &IndexReader<D>,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, FormatError> {
    let most = if limit == 0 { usize::MAX } else { limit };
    if matchers.is_empty() {
        let names = index.label_names().take(most);
        return Ok(names.map(str::to_owned).collect());
    }
    let mut symbols = std::collections::BTreeSet::new();
    let mut entry = SeriesEntry::default();
    for reference in postings(index, matchers)? {
        index.series_labels(reference, &mut entry)?;
        symbols.extend(entry.labels.iter().map(|(name, _)| *name));
    }
    let names: Result<std::collections::BTreeSet<&str>, _> =
        symbols.into_iter().map(|s| index.symbol(s)).collect();
    Ok(names?.into_iter().take(most).map(str::to_owned).collect())
}
