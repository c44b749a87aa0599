//! `/api/v1/rules`, `/api/v1/alerts` and `/api/v1/alertmanagers`: what rule-evaluator knows.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures::future::BoxFuture;
use http_api::rules::{ActiveAlert, RuleGroup, RulesQuery, alerts_of};
use http_api::{ApiError, Envelope, Params};

use super::{Api, failed, json};

/// Where rule groups come from.
pub trait RulesSource: Send + Sync {
    /// All groups in order of file and name, with their alerts.
    fn groups(&self) -> BoxFuture<'_, Result<Vec<RuleGroup>, ApiError>>;
}

async fn groups(api: &Api) -> Result<Vec<RuleGroup>, ApiError> {
    match &api.rules {
        Some(source) => source.groups().await,
        None => Ok(Vec::new()),
    }
}

fn respond(answer: Result<Vec<u8>, ApiError>) -> Response {
    match answer {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => failed(&error),
    }
}

pub(super) async fn rules(State(api): State<Arc<Api>>, request: Request) -> Response {
    let mut params = Params::default();
    params.add_encoded(request.uri().query().unwrap_or(""));
    let answer = async {
        let query = RulesQuery::parse(&params)?;
        let page = query.apply(groups(&api).await?)?;
        Ok(Envelope::data(&page))
    };
    respond(answer.await)
}

/// The data of an answer about alerts.
#[derive(serde::Serialize)]
struct Alerts {
    alerts: Vec<ActiveAlert>,
}

pub(super) async fn alerts(State(api): State<Arc<Api>>) -> Response {
    let answer = async {
        let alerts = alerts_of(groups(&api).await?);
        Ok(Envelope::data(&Alerts { alerts }))
    };
    respond(answer.await)
}

/// scraper-store itself sends no alerts: rule-evaluator does, and lists its receivers.
pub(super) async fn alertmanagers() -> Response {
    let none: [(); 0] = [];
    let data = serde_json::json!({ "activeAlertmanagers": none, "droppedAlertmanagers": none });
    json(StatusCode::OK, Envelope::data(&data))
}
