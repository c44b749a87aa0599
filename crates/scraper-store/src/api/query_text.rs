//! `/api/v1/format_query` and `/api/v1/parse_query`: a query's text and its tree.

use http_api::{ApiError, Envelope};

use super::{Answer, Api, Call};

fn parsed(api: &Api, call: &Call) -> Result<promql::ast::Expr, ApiError> {
    promql::parse_expr(call.params.get("query"), api.engine.options().features)
        .map_err(|e| ApiError::parameter("query", e))
}

pub(super) fn format(api: &Api, call: &Call) -> Answer {
    let expr = parsed(api, call)?;
    Ok(Envelope::data(&promql::print::pretty(
        &expr,
        promql::print::PRETTY_COLUMNS,
    )))
}

pub(super) fn parse(api: &Api, call: &Call) -> Answer {
    let expr = parsed(api, call)?;
    Ok(Envelope::data(&http_api::ast_json::ast_json(&expr)))
}
