//! `/api/v1/query`: one query at one moment.

use http_api::Envelope;
use promql::Value;

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let limit = http_api::parse_limit(&call.params)?;
    let t_ms = http_api::parse_time_or(&call.params, "time", api.now_ms())?;
    let mut result = api.evaluate(call, (t_ms, t_ms, 0))?;
    if limit > 0 && cut(&mut result.value, limit) {
        super::truncated(&mut result.annotations);
    }
    let stats = stats_json(call, &result.stats);
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
pub(super) fn stats_json(call: &Call, stats: &promql::value::QueryStats) -> Option<Vec<u8>> {
    if call.params.get("stats").is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(256);
    crate::queries::write_stats(&mut out, stats, call.queued);
    Some(out)
}
