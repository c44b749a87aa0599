//! The log of failed scrapes, `scrape_failure_log_file`: a JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

/// A log file that is open.
#[derive(Debug)]
pub(crate) struct FailureLog {
    path: PathBuf,
    file: Mutex<File>,
}

/// A line, as upstream writes it.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
}

impl FailureLog {
    /// Opens the file to append to it.
    ///
    /// # Errors
    /// Names the file and what the system says.
    pub(crate) fn open(path: &Path) -> Result<FailureLog, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file
            .map_err(|error| format!("can't create json log file {}: {error}", path.display()))?;
        Ok(FailureLog {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&self, job: &str, target: &str, message: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time =
            golang::time::Time::from_unix(now.as_secs() as i64, i64::from(now.subsec_nanos()));
        let line = Line {
            time: time.format("2006-01-02T15:04:05.999999999Z07:00"),
            level: "ERROR",
            msg: message,
            job_name: job,
            target,
        };
        let Ok(mut text) = serde_json::to_vec(&line) else {
            return;
        };
        text.push(b'\n');
        if let Err(error) = self.file.lock().write_all(&text) {
            tracing::warn!(path = %self.path.display(), err = %error, "Cannot write the log of failed scrapes");
        }
    }
}
