//! `/api/v1/otlp/v1/metrics`: metrics of OpenTelemetry.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use remote::otlp::{Format, Otlp, OtlpError};

use super::{Api, plain_text as refuse};

/// Largest body after decompression.
const MAX_BYTES: usize = 128 << 20;

pub(super) async fn handle(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !api.enable_otlp {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return refuse(StatusCode::NOT_FOUND, text);
    }
    let text = |name| {
        let value = headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok());
        value.unwrap_or("").to_owned()
    };
    let encoding = text(header::CONTENT_ENCODING);
    let format = match Format::of_content_type(&text(header::CONTENT_TYPE)) {
        Ok(format) => format,
        Err(error) => return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error),
    };
    let work = Arc::clone(&api);
    let taken = tokio::task::spawn_blocking(move || {
        let otlp = Otlp {
            settings: (**work.otlp.load()).clone(),
            max_bytes: MAX_BYTES,
            deltas: work.deltas.clone(),
            now_ms: work.now_ms(),
        };
        otlp.take(&body, &encoding, format, &*work.appendable)
    });
    match taken.await {
        Ok(Ok(taken)) => {
            api.received.otlp(&taken);
            if let Some(fault) = &taken.first_fault {
                tracing::warn!(
                    points = taken.untranslated,
                    err = fault,
                    "Error translating OTLP metrics to Prometheus write request"
                );
            }
            if let Some(reason) = taken.first_refusal {
                return refuse(StatusCode::BAD_REQUEST, reason);
            }
            let kind = HeaderValue::from_static(format.content_type());
            ([(header::CONTENT_TYPE, kind)], format.answer(&taken)).into_response()
        }
        Ok(Err(error @ OtlpError::Store(_))) => refuse(StatusCode::SERVICE_UNAVAILABLE, error),
        Ok(Err(error @ OtlpError::ContentType(_))) => {
            refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
        }
        Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, error),
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "writing panicked; see the log",
        ),
    }
}
