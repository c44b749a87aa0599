//! `/api/v1/status/*`: configuration, flags, build, runtime, storage.

use std::sync::atomic::{AtomicU64, Ordering};

use http_api::{ApiError, Envelope};
use serde_json::{Map, Value, json};
use tsdb::db::{Count, Progress};

use super::{Answer, Api, Call};

/// The version whose API this is. Grafana and Thanos choose what to ask for by it.
pub const API_VERSION: &str = "3.14.0";

/// What the runtime page tells of the process.
#[derive(Clone, Debug, Default)]
pub struct ServerStatus {
    pub start_ms: i64,
    pub working_dir: String,
    pub hostname: String,
    /// As configured: `15d`, `10GiB or 15d`.
    pub storage_retention: String,
    /// Port of the first listener, for links to ourselves.
    pub listen_port: String,
    pub external_scheme: String,
    /// With port.
    pub external_host: String,
}

pub(super) fn config(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&json!({ "yaml": api.config.load().yaml })))
}

pub(super) fn flags(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&api.flags))
}

pub(super) fn buildinfo(_: &Api, _: &Call) -> Answer {
    let mut data = Map::new();
    data.insert("version".into(), API_VERSION.into());
    for (key, value) in [
        ("revision", concat!("firewatch-", env!("CARGO_PKG_VERSION"))),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ] {
        data.insert(key.into(), value.into());
    }
    Ok(Envelope::data(&Value::Object(data)))
}

pub(super) fn runtimeinfo(api: &Api, _: &Call) -> Answer {
    let status = &api.status;
    let config = api.config.load();
    Ok(Envelope::data(&json!({
        "startTime": rfc3339(status.start_ms),
        "CWD": status.working_dir,
        "hostname": status.hostname,
        "serverTime": rfc3339(api.now_ms()),
        "reloadConfigSuccess": config.reload_success,
        "lastConfigTime": rfc3339(config.loaded_at_ms),
        "corruptionCount": corruptions(api),
        "goroutineCount": thread_count(),
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": status.storage_retention,
    })))
}

pub(super) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|t| t.to_string())
        .unwrap_or_default()
}

/// Damaged logs found so far, as the store counts them.
fn corruptions(api: &Api) -> f64 {
    let families = api.metrics.gather().into_iter();
    let mut counted = families.filter(|f| f.name == "prometheus_tsdb_wal_corruptions_total");
    match counted
        .next()
        .and_then(|f| f.metrics.into_iter().next())
        .map(|m| m.value)
    {
        Some(exposition::Value::Counter(count)) => count,
        _ => 0.0,
    }
}

/// Threads of this process, where the system tells.
fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The most entries that a list of `/status/tsdb` may have.
const MAX_TSDB_LIMIT: usize = 10_000;

pub(super) fn tsdb(api: &Api, call: &Call) -> Answer {
    let limit = match call.params.get("limit") {
        "" => 10,
        text => match text.parse::<usize>() {
            Ok(0) | Err(_) => return Err(ApiError::bad_data("limit must be a positive number")),
            Ok(limit) if limit > MAX_TSDB_LIMIT => {
                let text = format!("limit must not exceed {MAX_TSDB_LIMIT}");
                return Err(ApiError::bad_data(text));
            }
            Ok(limit) => limit,
        },
    };
    let stats = api.db.head_stats(limit);
    let list = |counts: Vec<Count>| -> Vec<Value> {
        counts
            .into_iter()
            .map(|c| json!({ "name": c.name, "value": c.value }))
            .collect()
    };
    Ok(Envelope::data(&json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": stats.label_pairs,
            "chunkCount": stats.chunks,
            "minTime": stats.min_ms,
            "maxTime": stats.max_ms,
        },
        "seriesCountByMetricName": list(stats.series_by_metric_name),
        "labelValueCountByLabelName": list(stats.values_by_label_name),
        "memoryInBytesByLabelName": list(stats.memory_by_label_name),
        "seriesCountByLabelValuePair": list(stats.series_by_label_pair),
    })))
}

/// Of a server that serves: the log has been read. While it is being read `crate::gate` answers.
pub(super) fn walreplay(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&walreplay_json(&api.replay)))
}

/// The data of an answer about the replay.
pub(crate) fn walreplay_json(progress: &Progress) -> Value {
    let number = |n: &AtomicU64| n.load(Ordering::Relaxed);
    json!({
        "min": number(&progress.min),
        "max": number(&progress.max),
        "current": number(&progress.current),
        "state": if progress.done.load(Ordering::Relaxed) { "done" } else { "in progress" },
    })
}
