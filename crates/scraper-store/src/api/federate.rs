//! `/federate`: the newest samples of selected series as exposition text.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_api::Params;
use model::{Labels, is_stale};
use storage::{Columns, Queryable, SelectHints};

use super::Api;

pub(super) async fn handle(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let mut params = Params::default();
    params.add_encoded(query.as_deref().unwrap_or(""));
    let page = tokio::task::spawn_blocking(move || page(&api, &params)).await;
    match page {
        Ok(Ok(text)) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Ok(Err(error)) => {
            let status = StatusCode::from_u16(error.kind.status());
            let text = format!("{}\n", error.message);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn page(api: &Api, params: &Params) -> Result<Vec<u8>, http_api::ApiError> {
    let sets = http_api::parse_match_params(params.all("match[]"))?;
    let now_ms = api.now_ms();
    let start_ms = now_ms - api.lookback_delta_ms;
    let querier = api
        .db
        .querier(start_ms, now_ms)
        .map_err(super::storage_error)?;
    let hints = SelectHints {
        start_ms,
        end_ms: now_ms,
        ..SelectHints::default()
    };
    let mut samples: Vec<(Labels, i64, f64)> = Vec::new();
    let mut columns = Columns::default();
    for matchers in &sets {
        let set = querier
            .select(true, &hints, matchers)
            .map_err(super::storage_error)?;
        for series in set.series {
            columns.clear();
            series
                .decode(start_ms + 1, now_ms, &mut columns)
                .map_err(super::storage_error)?;
            if let (Some(&t), Some(&v)) = (columns.float_ms.last(), columns.floats.last())
                && !is_stale(v)
                && columns.histogram_ms.last().is_none_or(|h| *h < t)
            {
                samples.push((series.labels().clone(), t, v));
            }
        }
    }
    samples.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    samples.dedup_by(|a, b| a.0 == b.0);
    let external = api.config.load().external_labels.clone();
    let mut out = Vec::new();
    let mut family = String::new();
    for (labels, t_ms, v) in &samples {
        let name = labels.metric_name();
        if name != family {
            family = name.to_owned();
            out.extend_from_slice(format!("# TYPE {name} untyped\n").as_bytes());
        }
        line(&mut out, labels, &external, *t_ms, *v);
    }
    Ok(out)
}

/// One sample line. An `instance` label is always there, so that the scraping side does not put its
/// own in; external labels fill in where the series has none.
fn line(out: &mut Vec<u8>, labels: &Labels, external: &Labels, t_ms: i64, v: f64) {
    let mut all = labels.without_metric_name().builder();
    for (name, value) in external {
        if all.get(name).is_empty() {
            all.set(name, value);
        }
    }
    let all = all.build();
    out.extend_from_slice(labels.metric_name().as_bytes());
    out.push(b'{');
    let instance = (!all.has("instance")).then_some(("instance", ""));
    for (i, (name, value)) in all.iter().chain(instance).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{name}=\"").as_bytes());
        for c in value.chars() {
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '"' => out.extend_from_slice(b"\\\""),
                '\n' => out.extend_from_slice(b"\\n"),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
    }
    out.extend_from_slice(b"} ");
    golang::strconv::append_float(out, v, 'g', -1, 64);
    out.extend_from_slice(format!(" {t_ms}\n").as_bytes());
}
