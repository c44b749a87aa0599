//! `/api/v1/status/*`: configuration, flags, build, runtime, storage.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_api::{ApiError, Envelope, ErrorType};
use serde::Serialize;
use serde_json::json;
use tsdb::db::{Count, Progress};
use tsdb_format::meta::BlockMeta;

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

/// What was built; members in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

const BUILD_INFO: BuildInfo = BuildInfo {
    version: API_VERSION,
    revision: concat!("firewatch-", env!("CARGO_PKG_VERSION")),
    branch: "",
    build_user: "",
    build_date: "",
    go_version: "",
};

pub(super) fn buildinfo(_: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&BUILD_INFO))
}

/// `/version`: the same without an envelope.
pub(super) async fn version() -> Response {
    let kind = "text/plain; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        http_api::to_json(&BUILD_INFO),
    )
        .into_response()
}

/// The data of `/status/runtimeinfo`; members in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo<'a> {
    start_time: String,
    #[serde(rename = "CWD")]
    working_dir: &'a str,
    hostname: &'a str,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    corruption_count: f64,
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    processors: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'a str,
    #[serde(rename = "GODEBUG")]
    godebug: &'a str,
    storage_retention: &'a str,
}

pub(super) fn runtimeinfo(api: &Api, _: &Call) -> Answer {
    let status = &api.status;
    let config = api.config.load();
    Ok(Envelope::data(&RuntimeInfo {
        start_time: rfc3339(status.start_ms),
        working_dir: &status.working_dir,
        hostname: &status.hostname,
        server_time: rfc3339(api.now_ms()),
        reload_config_success: config.reload_success,
        // Upstream reads it from a metric in seconds.
        last_config_time: rfc3339(config.loaded_at_ms / 1000 * 1000),
        corruption_count: corruptions(api),
        goroutine_count: thread_count(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_limit: i64::MAX,
        gogc: "",
        godebug: "",
        storage_retention: &status.storage_retention,
    }))
}

pub(crate) fn rfc3339(ms: i64) -> String {
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
    let stats = api.db().head_stats(limit);
    Ok(Envelope::data(&TsdbStatus {
        head_stats: HeadStats {
            num_series: stats.series,
            num_label_pairs: stats.label_pairs,
            chunk_count: stats.chunks,
            min_time: stats.min_ms,
            max_time: stats.max_ms,
        },
        series_count_by_metric_name: list(stats.series_by_metric_name),
        label_value_count_by_label_name: list(stats.values_by_label_name),
        memory_in_bytes_by_label_name: list(stats.memory_by_label_name),
        series_count_by_label_value_pair: list(stats.series_by_label_pair),
    }))
}

/// The data of `/status/tsdb`; members in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Named>,
    label_value_count_by_label_name: Vec<Named>,
    memory_in_bytes_by_label_name: Vec<Named>,
    series_count_by_label_value_pair: Vec<Named>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
struct Named {
    name: String,
    value: u64,
}

fn list(counts: Vec<Count>) -> Vec<Named> {
    let named = |Count { name, value }| Named { name, value };
    counts.into_iter().map(named).collect()
}

/// The blocks on disk, as their `meta.json` describes them.
pub(super) fn blocks(api: &Api, _: &Call) -> Answer {
    let mut blocks = Vec::new();
    for block in api.db().blocks() {
        // One that compaction has just replaced is gone.
        let Ok(text) = std::fs::read(block.dir.join(tsdb_format::meta::FILE_NAME)) else {
            continue;
        };
        let meta = BlockMeta::decode(&text).map_err(|e| {
            let text = format!("error getting block metadata: {}: {e}", block.dir.display());
            ApiError::new(ErrorType::Internal, text)
        })?;
        blocks.push(meta);
    }
    Ok(Envelope::data(&Blocks { blocks }))
}

#[derive(Serialize)]
struct Blocks {
    blocks: Vec<BlockMeta>,
}

/// The search API is an experiment of upstream's that is not there; so it is switched off.
pub(super) fn no_search(_: &Api, _: &Call) -> Answer {
    Err(ApiError::new(ErrorType::Unavailable, "search API disabled"))
}

/// Of a server that serves: the log has been read. While it is being read `crate::gate` answers.
pub(super) fn walreplay(api: &Api, _: &Call) -> Answer {
    Ok(Envelope::data(&WalReplay::of(&api.replay)))
}

/// The data of an answer about the replay.
#[derive(Serialize)]
pub(crate) struct WalReplay {
    min: u64,
    max: u64,
    current: u64,
    /// Only there while the log is read: our pages wait for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

impl WalReplay {
    pub(crate) fn of(progress: &Progress) -> WalReplay {
        let number = |n: &AtomicU64| n.load(Ordering::Relaxed);
        WalReplay {
            min: number(&progress.min),
            max: number(&progress.max),
            current: number(&progress.current),
            state: (!progress.done.load(Ordering::Relaxed)).then_some("in progress"),
        }
    }
}
