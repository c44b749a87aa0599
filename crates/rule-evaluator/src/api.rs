//! `/api/v1/rules` and `/api/v1/alerts` of rule-evaluator's own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_api::rules::{RulesQuery, alerts_of};
use http_api::{ApiError, Envelope, Params};
use serde_json::json;

use crate::manager::Manager;

/// What the endpoints read.
pub struct ApiState {
    pub manager: Arc<Manager>,
    pub receivers: Arc<crate::notify::Notifier>,
}

/// The routes.
pub fn router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alertmanagers", get(alertmanagers))
        .with_state(state)
}

fn respond(answer: Result<Vec<u8>, ApiError>) -> Response {
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(error) => (error.kind.status(), Envelope::error(&error)),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn rules(State(state): State<Arc<ApiState>>, RawQuery(query): RawQuery) -> Response {
    let mut params = Params::default();
    params.add_encoded(query.as_deref().unwrap_or(""));
    let page = RulesQuery::parse(&params).and_then(|query| query.apply(state.manager.groups()));
    respond(page.map(|page| Envelope::data(&page)))
}

async fn alerts(State(state): State<Arc<ApiState>>) -> Response {
    let alerts = alerts_of(state.manager.groups());
    respond(Ok(Envelope::data(&json!({ "alerts": alerts }))))
}

async fn alertmanagers(State(state): State<Arc<ApiState>>) -> Response {
    let active = state
        .receivers
        .receivers()
        .into_iter()
        .map(|url| json!({ "url": url }));
    let active: Vec<_> = active.collect();
    let dropped: [(); 0] = [];
    let data = json!({ "activeAlertmanagers": active, "droppedAlertmanagers": dropped });
    respond(Ok(Envelope::data(&data)))
}
