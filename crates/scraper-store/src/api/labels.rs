//! `/api/v1/labels`: label names.

use std::collections::BTreeSet;

use http_api::{ApiError, Envelope};
use model::{Annotations, Matcher};
use storage::{LabelHints, Queryable};

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let limit = http_api::parse_limit(&call.params)?;
    let (start_ms, end_ms) = super::series::range(call)?;
    let sets = http_api::parse_match_params(call.params.all("match[]"))?;
    let querier = api
        .store
        .querier(start_ms, end_ms)
        .map_err(super::storage_error)?;
    let (names, annotations) = union(limit, &sets, |hints, matchers| {
        querier.label_names(hints, matchers)
    })?;
    Ok(answer(names, annotations))
}

/// Asks once a matcher set (once without matchers where there is none), and joins the answers:
/// sorted, each text once, at most `limit` (0: all).
pub(super) fn union(
    limit: usize,
    sets: &[Vec<Matcher>],
    ask: impl Fn(&LabelHints, &[Matcher]) -> Result<(Vec<String>, Annotations), storage::StorageError>,
) -> Result<(Vec<String>, Annotations), ApiError> {
    // One more than wanted tells whether something was cut.
    let hints = LabelHints {
        limit: if limit > 0 { limit + 1 } else { 0 },
    };
    let mut all = BTreeSet::new();
    let mut annotations = Annotations::default();
    let none = [Vec::new()];
    for matchers in if sets.is_empty() { &none[..] } else { sets } {
        let (texts, found) = ask(&hints, matchers).map_err(super::storage_error)?;
        annotations.merge(found);
        all.extend(texts);
    }
    let mut texts: Vec<String> = all.into_iter().collect();
    if limit > 0 && texts.len() > limit {
        texts.truncate(limit);
        super::truncated(&mut annotations);
    }
    Ok((texts, annotations))
}

/// An answer that is a list of texts.
pub(super) fn answer(texts: Vec<String>, annotations: Annotations) -> Vec<u8> {
    Envelope::success(&annotations, |out| {
        out.extend_from_slice(&http_api::to_json(&texts))
    })
}
