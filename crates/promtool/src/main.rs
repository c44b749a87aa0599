//! promtool: checks, tests and looks into what Prometheus' servers read and keep.
//!
//! Thin over the libraries: [`app`] is the table of commands, each has a module that reads its flags,
//! calls a library and prints in upstream's words. Exit codes are upstream's: 0, 1 for failures, 3 for
//! lint.

mod app;
mod check;
mod output;
mod push;
mod query;
mod test_rules;
mod time;
mod tsdb;

use std::process::ExitCode;

use service::flags::{AppStop, Call, parse_app};

use crate::app::APP;

/// Something failed.
const FAILURE: u8 = 1;
/// Something is not as it should be, and works nevertheless.
const LINT: u8 = 3;

fn main() -> ExitCode {
    // The first one that is installed stays; nobody else does it here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse_app(&APP, &args) {
        Ok(call) => match run(&call) {
            Ok(code) => ExitCode::from(code),
            Err(stop) => stop.print(&APP),
        },
        Err(stop) => stop.print(&APP),
    }
}

/// Runs a command; its exit code.
fn run(call: &Call) -> Result<u8, AppStop> {
    let features = features(call);
    Ok(match call.command.as_str() {
        "check config" => check::config::run(call, features),
        "check rules" => check::rules::run(call, features),
        "check metrics" => check::metrics::run(call),
        "check web-config" => check::web_config(call),
        "check healthy" => check::server(call, "/-/healthy"),
        "check ready" => check::server(call, "/-/ready"),
        "test rules" => test_rules::run(call, features)?,
        "push metrics" => push::run(call),
        "query instant" => query::instant(call),
        "query range" => query::range(call),
        "query series" => query::series(call),
        "query labels" => query::labels(call),
        "query analyze" => output::check(query::analyze::run(call)),
        "tsdb list" => output::check(tsdb::list::run(call)),
        "tsdb analyze" => output::check(tsdb::analyze::run(call)),
        "tsdb dump" => output::check(tsdb::dump::run(call, tsdb::dump::Format::Samples)),
        "tsdb dump-openmetrics" => {
            output::check(tsdb::dump::run(call, tsdb::dump::Format::OpenMetrics))
        }
        "tsdb create-blocks-from openmetrics" => tsdb::import::run(call),
        "tsdb create-blocks-from rules" => output::check(tsdb::backfill::run(call, features)),
        other => {
            let message = format!("{other} is in the table and nowhere else");
            return Err(AppStop::Error(message));
        }
    })
}

/// The PromQL features of `--enable-feature`; those that are unknown are named and passed over.
fn features(call: &Call) -> Features {
    let words = call.flags.list("enable-feature").iter();
    let words: Vec<&str> = words
        .flat_map(|list| list.split(','))
        .filter(|w| !w.is_empty())
        .collect();
    let (promql, others) = promql::Features::of_server(words.iter().copied());
    let mut delayed_name_removal = false;
    for word in others {
        if word == "promql-delayed-name-removal" {
            delayed_name_removal = true;
        } else {
            println!(
                "  WARNING: --enable-feature has unknown option {}",
                golang::strconv::quote(word)
            );
        }
    }
    Features {
        promql,
        delayed_name_removal,
    }
}

/// What `--enable-feature` turns on.
#[derive(Clone, Copy)]
struct Features {
    promql: promql::Features,
    delayed_name_removal: bool,
}
