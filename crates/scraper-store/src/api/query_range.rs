//! `/api/v1/query_range`: one query at many moments.

use http_api::{ApiError, Envelope};

use super::{Answer, Api, Call};

/// Points a series may have, so that a typo in the step does not cost a server.
const MAX_POINTS: i64 = 11_000;

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let limit = http_api::parse_limit(&call.params)?;
    let time = |name: &str| {
        http_api::parse_time_ms(call.params.get(name)).map_err(|e| ApiError::parameter(name, e))
    };
    let start_ms = time("start")?;
    let end_ms = time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ms = http_api::parse_duration_ms(call.params.get("step"))
        .map_err(|e| ApiError::parameter("step", e))?;
    if step_ms <= 0 {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", text));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > MAX_POINTS {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(ApiError::bad_data(text));
    }
    let mut result = api.evaluate(call, (start_ms, end_ms, step_ms))?;
    if limit > 0 && super::query::cut(&mut result.value, limit) {
        super::truncated(&mut result.annotations);
    }
    let stats = super::query::stats_json(call, &result.stats);
    Ok(Envelope::success(&result.annotations, |out| {
        http_api::write_value(out, &result.value, stats.as_deref());
    }))
}
