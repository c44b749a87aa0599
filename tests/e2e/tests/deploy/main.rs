//! What lies in `deploy/` besides the Compose files: examples by the tools of both sides, backup and
//! restore, systemd's units, dashboards against Grafana's schema and against real exporters.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod backup;
mod boards;
mod examples;
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(90);

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Both streams of a command as text.
fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What a command that succeeds says.
fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = text(&output);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}
