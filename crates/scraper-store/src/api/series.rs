//! `/api/v1/series`: label sets by selectors.

use http_api::{ApiError, Envelope};
use model::{Annotations, Labels, Matcher};
use storage::{Querier, Queryable, SelectHints};

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let limit = http_api::parse_limit(&call.params)?;
    if !call.params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start_ms, end_ms) = range(call)?;
    // Unlike at other endpoints the message names the parameter.
    let sets = http_api::parse_match_params(call.params.all("match[]"))
        .map_err(|e| ApiError::parameter("match[]", e))?;
    let querier = api
        .store
        .querier(start_ms, end_ms)
        .map_err(super::storage_error)?;
    let hints = SelectHints {
        start_ms,
        end_ms,
        func: "series".into(),
        series_only: true,
        ..SelectHints::default()
    };
    let (mut series, mut annotations) = select_all(&*querier, &hints, &sets)?;
    if limit > 0 && series.len() > limit {
        series.truncate(limit);
        super::truncated(&mut annotations);
    }
    Ok(Envelope::success(&annotations, |out| {
        out.push(b'[');
        for (i, labels) in series.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            http_api::write_labels(out, labels);
        }
        out.push(b']');
    }))
}

/// The time range of a request about labels: all time unless it says otherwise.
pub(super) fn range(call: &Call) -> Result<(i64, i64), ApiError> {
    let start_ms = http_api::parse_time_or(&call.params, "start", i64::MIN)?;
    let end_ms = http_api::parse_time_or(&call.params, "end", i64::MAX)?;
    Ok((start_ms, end_ms))
}

/// The label sets of all series that satisfy one of the matcher sets, each once, sorted.
pub(super) fn select_all(
    querier: &dyn Querier,
    hints: &SelectHints,
    sets: &[Vec<Matcher>],
) -> Result<(Vec<Labels>, Annotations), ApiError> {
    let mut labels = Vec::new();
    let mut annotations = Annotations::default();
    for matchers in sets {
        let set = querier
            .select(true, hints, matchers)
            .map_err(super::storage_error)?;
        annotations.merge(set.annotations);
        labels.extend(set.series.iter().map(|series| series.labels().clone()));
    }
    if sets.len() > 1 {
        labels.sort();
        labels.dedup();
    }
    Ok((labels, annotations))
}
