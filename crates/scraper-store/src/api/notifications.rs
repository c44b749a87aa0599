//! `/api/v1/notifications` and `/api/v1/notifications/live`, server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http_api::Envelope;

use super::{Answer, Api, Call};
use crate::notifications::Notification;

pub(super) fn list(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&api.notifications.active()))
}

/// One event each for what is the matter now and for what changes; 204 where too many listen already.
pub(super) async fn live(State(api): State<Arc<Api>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let Some((now, subscription)) = api.notifications.subscribe() else {
        return (StatusCode::NO_CONTENT, headers).into_response();
    };
    let later = stream::unfold(subscription, |mut subscription| async {
        let change = subscription.next().await?;
        Some((change, subscription))
    });
    let events = stream::iter(now)
        .chain(later)
        .map(|change| Ok::<_, Infallible>(event(&change)))
        .fuse();
    (headers, Body::from_stream(events)).into_response()
}

fn event(change: &Notification) -> Bytes {
    let mut text = b"data: ".to_vec();
    text.extend_from_slice(&http_api::to_json(change));
    text.extend_from_slice(b"\n\n");
    text.into()
}
