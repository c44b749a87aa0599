//! The query log: a line of JSON for every query, in the file that `global.query_log_file` names
//! (prometheus/prometheus `promql/engine.go`, `util/logging/file.go`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use promql::QueryError;
use promql::value::QueryStats;
use telemetry::{Counter, Gauge};

use super::{Asked, write_stats};

/// The log, or none.
pub struct QueryLog {
    open: Mutex<Option<Open>>,
    enabled: Gauge,
    failures: Counter,
}

struct Open {
    path: PathBuf,
    file: File,
}

impl QueryLog {
    pub(super) fn new(metrics: &telemetry::Registry) -> QueryLog {
        QueryLog {
            open: Mutex::default(),
            enabled: metrics.gauge("query_log_enabled", "State of the query log."),
            failures: metrics.counter(
                "query_log_failures_total",
                "The number of query log failures.",
            ),
        }
    }

    /// Logs to the file from now on; to none where the path is empty. A file that has been moved away
    /// is made anew, so that a reload rotates the log.
    ///
    /// # Errors
    /// A file that cannot be opened; the log stays as it was.
    pub fn set_file(&self, path: &Path) -> Result<(), String> {
        let mut open = self.open.lock();
        *open = if path.as_os_str().is_empty() {
            None
        } else {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|e| format!("can't create json log file: open {}: {e}", path.display()))?;
            Some(Open {
                path: path.to_owned(),
                file,
            })
        };
        self.enabled.set(f64::from(u8::from(open.is_some())));
        Ok(())
    }

    pub(super) fn write(&self, asked: &Asked<'_>, stats: &QueryStats, error: Option<&QueryError>) {
        let mut open = self.open.lock();
        let Some(log) = &mut *open else { return };
        let line = line(jiff::Timestamp::now(), asked, stats, error);
        // One write a line, so that lines of several servers in one file stay whole.
        if let Err(error) = log.file.write_all(&line) {
            self.failures.inc();
            tracing::error!(file = %log.path.display(), err = %error, "can't log query");
        }
    }
}

fn line(
    now: jiff::Timestamp,
    asked: &Asked<'_>,
    stats: &QueryStats,
    error: Option<&QueryError>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + asked.query.len());
    let mut field = |name: &str, text: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        http_api::write_string(&mut out, name);
        out.push(b':');
        http_api::write_string(&mut out, text);
    };
    field("time", &now.to_string());
    field("level", "INFO");
    field("msg", "promql query logged");
    out.extend_from_slice(b",\"params\":{\"end\":");
    http_api::write_string(&mut out, &date(asked.end_ms));
    out.extend_from_slice(b",\"query\":");
    http_api::write_string(&mut out, asked.query);
    out.extend_from_slice(b",\"start\":");
    http_api::write_string(&mut out, &date(asked.start_ms));
    out.extend_from_slice(format!(",\"step\":{}}}", asked.step_ms / 1000).as_bytes());
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":");
        http_api::write_string(&mut out, &error.to_string());
    }
    out.extend_from_slice(b",\"stats\":");
    write_stats(&mut out, stats, asked.queued);
    // Without tracing there is no span.
    out.extend_from_slice(b",\"spanID\":\"0000000000000000\"");
    if let Some(origin) = asked.origin {
        out.extend_from_slice(b",\"httpRequest\":{\"clientIP\":");
        let client = origin.client.map_or_else(String::new, |ip| ip.to_string());
        http_api::write_string(&mut out, &client);
        out.extend_from_slice(b",\"method\":");
        http_api::write_string(&mut out, &origin.method);
        out.extend_from_slice(b",\"path\":");
        http_api::write_string(&mut out, &origin.path);
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
    out
}

/// UTC with milliseconds.
fn date(t_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(t_ms) {
        Ok(t) => format!("{t:.3}"),
        // Further away than dates go.
        Err(_) => t_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queries::Origin;

    fn asked(origin: Option<&Origin>) -> Asked<'_> {
        Asked {
            query: "up > \"1\"",
            start_ms: 1_700_000_000_500,
            end_ms: 1_700_000_030_000,
            step_ms: 15_000,
            queued: Duration::ZERO,
            origin,
        }
    }

    #[test]
    fn has_upstreams_fields() {
        let origin = Origin {
            client: Some([127, 0, 0, 1].into()),
            method: "GET".to_owned(),
            path: "/api/v1/query_range".to_owned(),
        };
        let error = QueryError::TooManySamples;
        let now = jiff::Timestamp::from_millisecond(1_700_000_100_125).unwrap();
        let line = line(
            now,
            &asked(Some(&origin)),
            &QueryStats::default(),
            Some(&error),
        );
        let parsed: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line.last(), Some(&b'\n'));
        assert_eq!(parsed["time"], "2023-11-14T22:15:00.125Z");
        assert_eq!(parsed["msg"], "promql query logged");
        assert_eq!(
            parsed["params"],
            serde_json::json!({
                "start": "2023-11-14T22:13:20.500Z",
                "end": "2023-11-14T22:13:50.000Z",
                "query": "up > \"1\"",
                "step": 15,
            })
        );
        assert_eq!(parsed["error"], error.to_string());
        assert_eq!(parsed["stats"]["samples"]["peakSamples"], 0);
        assert_eq!(
            parsed["httpRequest"],
            serde_json::json!({
                "clientIP": "127.0.0.1",
                "method": "GET",
                "path": "/api/v1/query_range",
            })
        );
    }

    #[test]
    fn goes_to_the_file_of_the_last_reload() {
        let dir = tempfile::tempdir().unwrap();
        let log = QueryLog::new(&telemetry::Registry::new());
        let write = || log.write(&asked(None), &QueryStats::default(), None);
        let lines =
            |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
        write();
        let [first, second] = ["a.log", "b.log"].map(|name| dir.path().join(name));
        log.set_file(&first).unwrap();
        write();
        write();
        // As log rotation does.
        std::fs::rename(&first, &second).unwrap();
        log.set_file(&first).unwrap();
        write();
        log.set_file(Path::new("")).unwrap();
        write();
        assert_eq!((lines(&first), lines(&second)), (1, 2));
        let refused = log.set_file(&dir.path().join("nosuch/file"));
        assert!(refused.unwrap_err().contains("can't create json log file"));
    }
}
