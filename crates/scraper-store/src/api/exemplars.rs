//! `/api/v1/query_exemplars`: the exemplars of the series that a query reads.

use http_api::{ApiError, Envelope, write_float, write_labels, write_timestamp};
use model::{Annotations, Matcher};

use super::{Answer, Api, Call};

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let start_ms = http_api::parse_time_or(&call.params, "start", i64::MIN)?;
    let end_ms = http_api::parse_time_or(&call.params, "end", i64::MAX)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let expr = promql::parse_expr(call.params.get("query"), api.engine.options().features)
        .map_err(|e| ApiError::bad_data(e.to_string()))?;
    let selectors: Vec<Vec<Matcher>> = expr
        .selectors()
        .into_iter()
        .map(|s| s.matchers.clone())
        .collect();
    if selectors.is_empty() {
        // No content.
        return Ok(Vec::new());
    }
    let found = api.db().exemplars(start_ms, end_ms, &selectors);
    Ok(Envelope::success(&Annotations::default(), |out| {
        out.push(b'[');
        for (i, series) in found.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"seriesLabels\":");
            write_labels(out, &series.series);
            out.extend_from_slice(b",\"exemplars\":[");
            for (j, exemplar) in series.exemplars.iter().enumerate() {
                if j > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"labels\":");
                write_labels(out, &exemplar.labels);
                out.extend_from_slice(b",\"value\":");
                write_float(out, exemplar.value);
                out.extend_from_slice(b",\"timestamp\":");
                write_timestamp(out, exemplar.timestamp_ms.unwrap_or(0));
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b']');
    }))
}
