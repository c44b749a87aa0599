//! `query ...`: questions to a server's API.

pub mod analyze;
mod api;
mod print;

use std::time::Duration;

use golang::time::format_duration;
use http_api::answer::{Answer, AnswerValue};
use serde_json::Value as Json;
use service::flags::Call;

pub use api::{Api, client, parse_header, runtime};
use print::LabelSet;

use crate::{FAILURE, time};

/// How far back and ahead series and labels are looked for by default: upstream's 9999 hours.
const FAR_MS: i64 = 9_999 * 3_600_000;

/// `query instant`.
pub fn instant(call: &Call) -> u8 {
    let asked = || {
        let t_ms = match call.flags.get("time") {
            Some(text) => time::parse(text)
                .map_err(|e| format!("query error: error parsing time {text:?}: {e}"))?,
            None => time::now_ms(),
        };
        let api = Api::of_flags(call, call.word("server"))?;
        api.instant(call.word("expr"), t_ms)
            .map_err(|e| e.to_string())
    };
    print_value(call, asked())
}

/// `query range`.
pub fn range(call: &Call) -> u8 {
    print_value(call, ask_range(call))
}

fn ask_range(call: &Call) -> Result<Answer<AnswerValue>, String> {
    let end_ms = match call.flags.get("end") {
        Some(text) => time::parse(text).map_err(|e| format!("error parsing end time: {e}"))?,
        None => time::now_ms(),
    };
    let start_ms = match call.flags.get("start") {
        Some(text) => time::parse(text).map_err(|e| format!("error parsing start time: {e}"))?,
        None => end_ms - 5 * 60_000,
    };
    if start_ms >= end_ms {
        return Err("start time is not before end time".to_owned());
    }
    let step = match call.flags.get("step") {
        Some(_) => call.flags.duration("step"),
        None => Duration::from_secs(((end_ms - start_ms) / 1000 / 250).max(1) as u64),
    };
    let mut api = Api::of_flags(call, call.word("server"))?;
    for header in call.flags.list("header") {
        api.add_header(header)?;
    }
    api.range(call.word("expr"), start_ms, end_ms, step)
        .map_err(|e| e.to_string())
}

fn print_value(call: &Call, asked: Result<Answer<AnswerValue>, String>) -> u8 {
    match asked {
        Ok(answer) if call.flags.str("format") == "json" => {
            println!("{}", print::value_json(&answer.data));
            0
        }
        Ok(answer) => {
            println!("{}", print::value(&answer.data));
            0
        }
        Err(error) => {
            eprintln!("{error}");
            FAILURE
        }
    }
}

/// Start and end of a search, from the flags.
fn bounds(call: &Call) -> Result<(i64, i64), String> {
    let now_ms = time::now_ms();
    let of = |name: &str, default_ms: i64| match call.flags.get(name) {
        Some(text) => time::parse(text).map_err(|e| format!("error parsing {name} time: {e}")),
        None => Ok(default_ms),
    };
    Ok((of("start", now_ms - FAR_MS)?, of("end", now_ms + FAR_MS)?))
}

/// `query series`.
pub fn series(call: &Call) -> u8 {
    let asked = || {
        let (start_ms, end_ms) = bounds(call)?;
        let api = Api::of_flags(call, call.word("server"))?;
        api.series(call.flags.list("match"), start_ms, end_ms)
            .map_err(|e| e.to_string())
    };
    print_list(call, asked(), LabelSet::to_string)
}

/// `query labels`.
pub fn labels(call: &Call) -> u8 {
    let asked = || {
        let (start_ms, end_ms) = bounds(call)?;
        let api = Api::of_flags(call, call.word("server"))?;
        api.label_values(
            call.word("name"),
            call.flags.list("match"),
            start_ms,
            end_ms,
        )
        .map_err(|e| e.to_string())
    };
    print_list(call, asked(), String::clone)
}

fn print_list<T: Into<Json> + Clone>(
    call: &Call,
    asked: Result<Answer<Vec<T>>, String>,
    text: impl Fn(&T) -> String,
) -> u8 {
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{error}");
            return FAILURE;
        }
    };
    for warning in &answer.warnings {
        eprintln!("query warning: {warning}");
    }
    if call.flags.str("format") == "json" {
        let list: Vec<Json> = answer.data.into_iter().map(Into::into).collect();
        println!("{}", Json::Array(list));
    } else {
        for item in &answer.data {
            println!("{}", text(item));
        }
    }
    0
}

/// A duration as the query language and Go write it.
fn go_duration(duration: Duration) -> String {
    format_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
