//! `/api/v1/query`: one query at one moment.

use http_api::{ApiError, Envelope};
use promql::Value;

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let limit = http_api::parse_limit(&call.params)?;
    let t_ms = http_api::parse_time_or(&call.params, "time", api.now_ms())?;
    let options = api.query_options(call)?;
    let query = call.params.get("query");
    let mut result = api
        .engine
        .instant(&*api.db, query, t_ms, &options)
        .map_err(super::query_error)?;
    if limit > 0 && cut(&mut result.value, limit) {
        super::truncated(&mut result.annotations);
    }
    let stats = stats_json(call, &result.stats)?;
    Ok(Envelope::success(&result.annotations, |out| {
        http_api::write_value(out, &result.value, stats.as_deref());
    }))
}

/// Cuts a vector or matrix to `limit` elements; says whether it did.
pub(super) fn cut(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Vector(vector) if vector.len() > limit => {
            vector.truncate(limit);
            true
        }
        Value::Matrix(matrix) if matrix.len() > limit => {
            matrix.truncate(limit);
            true
        }
        _ => false,
    }
}

/// The `stats` object of an answer, where the client asked for it.
pub(super) fn stats_json(
    call: &Call,
    stats: &promql::value::QueryStats,
) -> Result<Option<Vec<u8>>, ApiError> {
    if call.params.get("stats").is_empty() {
        return Ok(None);
    }
    let timings = &stats.timings;
    let total = timings.prepare + timings.inner_eval + timings.result_sort;
    let mut samples = serde_json::json!({
        "totalQueryableSamples": stats.samples.total_queryable_samples,
        "peakSamples": stats.samples.peak_samples,
    });
    if call.params.get("stats") == "all" && !stats.samples.per_step.is_empty() {
        let per_step: Vec<(f64, u64)> = stats
            .samples
            .per_step
            .iter()
            .map(|(t, n)| (*t as f64 / 1000.0, *n))
            .collect();
        samples["totalQueryableSamplesPerStep"] = serde_json::json!(per_step);
    }
    Ok(Some(http_api::to_json(&serde_json::json!({
        "timings": {
            "evalTotalTime": total,
            "resultSortTime": timings.result_sort,
            "queryPreparationTime": timings.prepare,
            "innerEvalTime": timings.inner_eval,
            "execQueueTime": 0.0,
            "execTotalTime": total,
        },
        "samples": samples,
    }))))
}
