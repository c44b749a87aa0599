//! `/api/v1/write`: remote write, versions 1.0 and 2.0; and the endpoints that are off.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use remote::{WriteError, Written};

use super::{Api, plain_text as refuse};

/// Which message a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    V1,
    V2,
}

impl Message {
    const fn name(self) -> &'static str {
        match self {
            Message::V1 => "prometheus.WriteRequest",
            Message::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

pub(super) async fn handle(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !api.enable_remote_write {
        let text =
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return refuse(StatusCode::NOT_FOUND, text);
    }
    let message = match message_of(&headers) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    if !api
        .accepted_messages
        .iter()
        .any(|name| name == message.name())
    {
        let accepted = api.accepted_messages.join(", ");
        let text = format!(
            "{} protobuf message is not accepted by this server; only accepts {accepted}",
            message.name()
        );
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let work = Arc::clone(&api);
    let written = tokio::task::spawn_blocking(move || {
        let request = work.receiver.decompress(&body)?;
        match message {
            Message::V1 => work.receiver.write_v1(&request, &*work.appendable),
            Message::V2 => work.receiver.write_v2(&request, &*work.appendable),
        }
    })
    .await;
    match written {
        Ok(Ok(written)) => {
            api.received.write(&written);
            answer(message, &written)
        }
        Ok(Err(error @ WriteError::Store(_))) => refuse(StatusCode::SERVICE_UNAVAILABLE, error),
        Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, error),
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "writing panicked; see the log",
        ),
    }
}

/// What was stored is said in headers (version 2.0); what was refused makes the status 400.
fn answer(message: Message, written: &Written) -> Response {
    let mut response = match &written.first_refusal {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(reason) => refuse(StatusCode::BAD_REQUEST, reason),
    };
    if message == Message::V2 {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            (
                "x-prometheus-remote-write-histograms-written",
                written.histograms,
            ),
            (
                "x-prometheus-remote-write-exemplars-written",
                written.exemplars,
            ),
        ] {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

fn message_of(headers: &HeaderMap) -> Result<Message, Box<Response>> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
    };
    let unsupported = |text: String| Box::new(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    let content_type = text(header::CONTENT_TYPE);
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or("");
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(unsupported(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        )));
    }
    let mut message = Message::V1;
    for part in parts {
        if let Some(name) = part.strip_prefix("proto=") {
            message = match name {
                "prometheus.WriteRequest" => Message::V1,
                "io.prometheus.write.v2.Request" => Message::V2,
                other => {
                    return Err(unsupported(format!(
                        "got {content_type} content type; unknown type for remote write protobuf message {other}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
                    )));
                }
            };
        }
    }
    match text(header::CONTENT_ENCODING) {
        "" | "snappy" => Ok(message),
        other => Err(unsupported(format!(
            "{other} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ))),
    }
}
