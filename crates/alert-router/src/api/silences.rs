//! `GET` and `POST /silences`, `GET` and `DELETE /silence/{id}`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use model::Labels;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Refused, optional_time, serialize_time};
use super::filter::Query;
use super::{Api, answer};
use crate::matcher::{self, Matcher};
use crate::silence::{self, Silence, State as SilenceState};

#[derive(Serialize, Deserialize)]
struct ApiMatcher {
    #[serde(rename = "isEqual", default = "yes")]
    is_equal: bool,
    #[serde(rename = "isRegex")]
    is_regex: bool,
    name: String,
    value: String,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
struct GettableSilence {
    id: String,
    status: serde_json::Value,
    #[serde(rename = "updatedAt", serialize_with = "serialize_time")]
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    annotations: Labels,
    comment: String,
    #[serde(rename = "createdBy")]
    created_by: String,
    #[serde(rename = "endsAt", serialize_with = "serialize_time")]
    ends_at: Timestamp,
    matchers: Vec<ApiMatcher>,
    #[serde(rename = "startsAt", serialize_with = "serialize_time")]
    starts_at: Timestamp,
}

impl GettableSilence {
    fn new(silence: &Silence, now: Timestamp) -> GettableSilence {
        // API v2 knows one set; upstream too shows the first.
        let matchers = silence
            .matcher_sets
            .first()
            .map(Vec::as_slice)
            .unwrap_or_default();
        GettableSilence {
            id: silence.id.clone(),
            status: json!({"state": silence.state(now).as_str()}),
            updated_at: silence.updated_at,
            annotations: silence.annotations.clone(),
            comment: silence.comment.clone(),
            created_by: silence.created_by.clone(),
            ends_at: silence.ends_at,
            matchers: matchers
                .iter()
                .map(|matcher| {
                    let (is_regex, is_equal) = silence::api_flags(matcher.kind);
                    ApiMatcher {
                        is_equal,
                        is_regex,
                        name: matcher.name.to_string(),
                        value: matcher.value.to_string(),
                    }
                })
                .collect(),
            starts_at: silence.starts_at,
        }
    }
}

/// `GET /silences`. A filter names matchers that the silence has, word for word.
pub async fn list(State(api): State<Api>, uri: Uri) -> Response {
    let query = Query::parse(uri.query());
    let matchers = match query.matchers("filter", api.mode) {
        Ok(matchers) => matchers,
        Err(refused) => return refused.into_response(),
    };
    let wanted = |state| match state {
        SilenceState::Active => query.switch("active"),
        SilenceState::Pending => query.switch("pending"),
        SilenceState::Expired => query.switch("expired"),
    };
    let now = api.engine.now();
    let mut silences: Vec<Silence> = api.engine.with(|router| {
        let silences = router.silences().iter();
        silences
            .filter(|silence| wanted(silence.state(now)))
            .filter(|silence| {
                let mut sets = silence.matcher_sets.iter();
                sets.any(|set| matchers.iter().all(|wanted| set.contains(wanted)))
            })
            .cloned()
            .collect()
    });
    silences.sort_by(|a, b| silence::listing_order(a, b, now));
    let shown: Vec<GettableSilence> = silences
        .iter()
        .map(|silence| GettableSilence::new(silence, now))
        .collect();
    answer::json(&shown)
}

#[derive(Deserialize)]
struct PostableSilence {
    #[serde(default)]
    id: Option<String>,
    matchers: Option<Vec<PostableMatcher>>,
    #[serde(default, rename = "startsAt", deserialize_with = "optional_time")]
    starts_at: Option<Timestamp>,
    #[serde(default, rename = "endsAt", deserialize_with = "optional_time")]
    ends_at: Option<Timestamp>,
    #[serde(rename = "createdBy")]
    created_by: Option<String>,
    comment: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct PostableMatcher {
    name: Option<String>,
    value: Option<String>,
    #[serde(rename = "isRegex")]
    is_regex: Option<bool>,
    #[serde(rename = "isEqual")]
    is_equal: Option<bool>,
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Refused> {
    value.ok_or_else(|| {
        let message = format!("{field} in body is required");
        answer::problem(StatusCode::UNPROCESSABLE_ENTITY, 602, &message).into()
    })
}

/// `POST /silences`: 200 with the id once the silence is on disk.
pub async fn post(State(api): State<Api>, headers: HeaderMap, bytes: Bytes) -> Response {
    let silence = answer::body(&headers, &bytes, "silence").and_then(|body| read(body, &api));
    let silence = match silence {
        Ok(silence) => silence,
        Err(refused) => return refused.into_response(),
    };
    let (result, commit) = api
        .engine
        .change(|router, now, log| router.set_silence(silence, new_id, now, log));
    let id = match result {
        Ok(id) => id,
        Err(e @ silence::Error::NotFound) => {
            return answer::refusal(StatusCode::NOT_FOUND, &e.to_string());
        }
        Err(e) => return answer::refusal(StatusCode::BAD_REQUEST, &e.to_string()),
    };
    log(&api, &id, "silence set");
    match api.engine.durable(commit).await {
        Ok(()) => answer::json(&json!({"silenceID": id})),
        Err(error) => answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

fn read(body: PostableSilence, api: &Api) -> Result<Silence, Refused> {
    let comment = required("comment", body.comment)?;
    let created_by = required("createdBy", body.created_by)?;
    let ends_at = required("endsAt", body.ends_at)?;
    let matchers = required("matchers", body.matchers)?;
    if matchers.is_empty() {
        let message = "matchers in body should have at least 1 items";
        return Err(answer::problem(StatusCode::UNPROCESSABLE_ENTITY, 612, message).into());
    }
    let starts_at = required("startsAt", body.starts_at)?;
    let refuse = |text: &str| Refused::from(answer::refusal(StatusCode::BAD_REQUEST, text));
    let mut set = Vec::with_capacity(matchers.len());
    for (i, matcher) in matchers.into_iter().enumerate() {
        let name = required(&format!("matchers.{i}.name"), matcher.name)?;
        let value = required(&format!("matchers.{i}.value"), matcher.value)?;
        let is_regex = required(&format!("matchers.{i}.isRegex"), matcher.is_regex)?;
        if is_regex && let Err(e) = golang::regexp::Regexp::new(&value) {
            return Err(refuse(&format!(
                "invalid silence: invalid label matcher {i} in set 0: invalid regular expression {}: {e}",
                golang::strconv::quote(&value)
            )));
        }
        let kind = silence::kind_from_api_flags(is_regex, matcher.is_equal.unwrap_or(true));
        set.push(Matcher::new(kind, name, value).map_err(|e| refuse(&e.to_string()))?);
    }
    if starts_at >= ends_at {
        return Err(refuse(
            "Failed to create silence: start time must be before end time",
        ));
    }
    let now = api.engine.now();
    if ends_at < now {
        return Err(refuse(
            "Failed to create silence: end time can't be in the past",
        ));
    }
    Ok(Silence {
        id: body.id.unwrap_or_default(),
        matcher_sets: vec![set],
        starts_at,
        ends_at,
        updated_at: now,
        created_by,
        comment,
        annotations: Labels::from_pairs(body.annotations.unwrap_or_default()),
    })
}

/// `--log.silences`.
fn log(api: &Api, id: &str, what: &str) {
    if !api.log_silences {
        return;
    }
    if let Some(silence) = api.engine.with(|router| router.silences().get(id).cloned()) {
        let sets = silence.matcher_sets.iter();
        let matchers: Vec<String> = sets.map(|set| matcher::list_to_string(set)).collect();
        tracing::info!(
            component = "silences", id, matchers = matchers.join(" or "),
            created_by = %silence.created_by, comment = %silence.comment,
            starts_at = %silence.starts_at, ends_at = %silence.ends_at, "{what}"
        );
    }
}

/// A random UUID, version 4.
fn new_id() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

fn check_id(id: &str) -> Result<(), Refused> {
    let dashes = [8, 13, 18, 23];
    let valid = id.len() == 36
        && id.bytes().enumerate().all(|(i, b)| {
            if dashes.contains(&i) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        });
    if valid {
        return Ok(());
    }
    let message = format!(
        "silenceID in path must be of type uuid: {}",
        golang::strconv::quote(id)
    );
    Err(answer::problem(StatusCode::UNPROCESSABLE_ENTITY, 601, &message).into())
}

/// `GET /silence/{id}`.
pub async fn get(State(api): State<Api>, Path(id): Path<String>) -> Response {
    if let Err(refused) = check_id(&id) {
        return refused.into_response();
    }
    let now = api.engine.now();
    match api
        .engine
        .with(|router| router.silences().get(&id).cloned())
    {
        Some(silence) => answer::json(&GettableSilence::new(&silence, now)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `DELETE /silence/{id}`: ends it; 200 once that is on disk.
pub async fn delete(State(api): State<Api>, Path(id): Path<String>) -> Response {
    if let Err(refused) = check_id(&id) {
        return refused.into_response();
    }
    let (result, commit) = api
        .engine
        .change(|router, now, log| router.expire_silence(&id, now, log));
    if result.is_err() {
        return StatusCode::NOT_FOUND.into_response();
    }
    log(&api, &id, "silence expired");
    match api.engine.durable(commit).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids() {
        for _ in 0..100 {
            let id = new_id();
            assert!(check_id(&id).is_ok(), "{id}");
            assert_eq!(&id[14..15], "4", "{id}");
            assert!(["8", "9", "a", "b"].contains(&&id[19..20]), "{id}");
        }
        assert!(check_id("nouuid").is_err());
    }
}
