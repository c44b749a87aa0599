//! What each command does.

mod alert;
mod check_config;
mod config;
mod routes;
mod silence;
mod template;

use std::process::ExitCode;

use alert_router::matcher::{Matcher, Mode};
use golang::time::{RFC3339, Time};
use model::MatchKind;

use crate::cli::Invocation;
use crate::models::LabelSet;

/// Does what was asked.
///
/// # Errors
/// What to say before the end with exit code 1.
pub async fn run(invocation: &Invocation) -> Result<ExitCode, String> {
    let mode = mode(invocation)?;
    let done = |()| ExitCode::SUCCESS;
    match invocation.path.as_slice() {
        ["alert", "query"] => alert::query(invocation, mode).await.map(done),
        ["alert", "add"] => alert::add(invocation, mode).await.map(done),
        ["silence", "query"] => silence::query(invocation, mode).await.map(done),
        ["silence", "add"] => silence::add(invocation, mode).await.map(done),
        ["silence", "expire"] => silence::expire(invocation).await.map(done),
        ["silence", "update"] => silence::update(invocation).await.map(done),
        ["silence", "import"] => silence::import(invocation).await.map(done),
        ["check-config"] => check_config::run(&invocation.words, mode).map(done),
        ["cluster", "show"] => config::cluster(invocation).await.map(done),
        ["config", "show"] => config::show(invocation).await.map(done),
        ["config", "routes", "show"] => routes::show(invocation, mode).await.map(done),
        ["config", "routes", "test"] => routes::test(invocation, mode).await,
        ["template", "render"] => template::render(invocation).map(done),
        other => Err(format!("no such command: {}", other.join(" "))),
    }
}

/// How matchers are read (`--enable-feature`).
fn mode(invocation: &Invocation) -> Result<Mode, String> {
    let mut mode = Mode::Fallback;
    let known = alert_router::flags::FEATURES;
    for name in invocation.text("enable-feature").split(',') {
        mode = match (name.trim(), mode) {
            ("classic-mode", Mode::Utf8) | ("utf8-strict-mode", Mode::Classic) => {
                return Err("error parsing the feature flag list: cannot have both classic and UTF-8 modes enabled".to_owned());
            }
            ("classic-mode", _) => Mode::Classic,
            ("utf8-strict-mode", _) => Mode::Utf8,
            ("" | "event-recorder", mode) => mode,
            (name, mode) if known.contains(&name) => mode,
            (name, _) => {
                return Err(format!(
                    "error parsing the feature flag list: Unknown option '{name}' for --enable-feature"
                ));
            }
        };
    }
    Ok(mode)
}

/// Words as matchers, the first of them an alert name if it is none.
fn with_alert_name(words: &[String], mode: Mode) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut()
        && mode.parse_one(first).is_err()
    {
        *first = format!("alertname={}", golang::strconv::quote(first));
    }
    words
}

fn matchers(words: &[String], mode: Mode) -> Result<Vec<Matcher>, String> {
    let parsed = words.iter().map(|word| mode.parse_one(word));
    parsed.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

/// `name=value` words; `what` they are called in the complaint.
fn label_set(words: &[String], mode: Mode, what: &str) -> Result<LabelSet, String> {
    let mut labels = LabelSet::new();
    for matcher in matchers(words, mode)? {
        if matcher.kind != MatchKind::Equal {
            return Err(format!("{what} must be specified as key=value pairs"));
        }
        labels.insert(matcher.name.to_string(), matcher.value.to_string());
    }
    Ok(labels)
}

/// A time of a flag.
fn time(text: &str) -> Result<Time, String> {
    Time::parse(RFC3339, text).map_err(|e| e.to_string())
}

/// As the API writes times.
fn api_time(time: &Time) -> String {
    time.in_zone(golang::time::Zone::Utc)
        .format("2006-01-02T15:04:05.000Z07:00")
}
