//! `/api/v1/admin/tsdb/*`: deletion, clean-up and snapshots, behind `--web.enable-admin-api`.

use http_api::rules::parse_bool;
use http_api::{ApiError, Envelope, ErrorType};

use super::{Answer, Api, Call};

fn enabled(api: &Api) -> Result<(), ApiError> {
    if api.enable_admin {
        return Ok(());
    }
    Err(ApiError::new(ErrorType::Unavailable, "admin APIs disabled"))
}

fn internal(error: tsdb::Error) -> ApiError {
    ApiError::new(ErrorType::Internal, error.to_string())
}

pub(super) fn delete_series(api: &Api, call: &Call) -> Answer {
    enabled(api)?;
    if !call.params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start_ms, end_ms) = super::series::range(call)?;
    let sets = http_api::parse_selectors(call.params.all("match[]"))
        .map_err(|e| ApiError::parameter("match[]", e))?;
    // A selector without matchers selects nothing.
    for matchers in sets.iter().filter(|set| !set.is_empty()) {
        api.db()
            .delete_series(start_ms, end_ms, matchers)
            .map_err(internal)?;
    }
    Ok(Vec::new())
}

pub(super) fn clean_tombstones(api: &Api, _: &Call) -> Answer {
    enabled(api)?;
    api.db().clean_tombstones().map_err(internal)?;
    Ok(Vec::new())
}

pub(super) fn snapshot(api: &Api, call: &Call) -> Answer {
    enabled(api)?;
    let skip_head = match call.params.get("skip_head") {
        "" => false,
        text => parse_bool(text).ok_or_else(|| {
            let text = format!(
                "unable to parse boolean: strconv.ParseBool: parsing {}: invalid syntax",
                golang::strconv::quote(text)
            );
            ApiError::parameter("skip_head", text)
        })?,
    };
    let now = jiff::Timestamp::from_millisecond(api.now_ms())
        .map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    // The clock says when, the nanoseconds of the real one tell two snapshots of a second apart.
    let unique = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::from(since.subsec_nanos()) ^ since.as_secs());
    let name = format!("{}-{unique:016x}", now.strftime("%Y%m%dT%H%M%SZ"));
    let dir = api.db().options().dir.join("snapshots").join(&name);
    api.db().snapshot(&dir, !skip_head).map_err(internal)?;
    Ok(Envelope::data(&serde_json::json!({ "name": name })))
}
