//! `tsdb create-blocks-from rules`: the history of recording rules, asked of a server.

use std::path::Path;
use std::time::Duration;

use golang::time::Time;
use http_api::answer::AnswerValue;
use model::labels::METRIC_NAME;
use rules::{CheckOptions, Group, GroupDefaults, RecordingRule, Rule, RuleFile};
use service::flags::Call;

use super::blocks::{Gathered, block_duration_ms};
use crate::output::open_error;
use crate::query::Api;
use crate::{Features, time};

/// `tsdb create-blocks-from rules`.
///
/// # Errors
/// Upstream's text.
pub fn run(call: &Call, features: Features) -> Result<(), String> {
    let end_ms = match call.flags.get("end") {
        Some(text) => time::parse(text).map_err(|e| format!("error parsing end time: {e}"))?,
        None => time::now_ms() - 3 * 3_600_000,
    };
    let start = call.flags.get("start").unwrap_or_default();
    let start_ms = time::parse(start).map_err(|e| format!("error parsing start time: {e}"))?;
    if start_ms >= end_ms {
        return Err("start time is not before end time".to_owned());
    }
    let shown = |t_ms: i64| Time::from_unix_milli(t_ms).format("02 Jan 06 15:04 MST");
    log(&format!(
        "msg=\"new rule importer\" component=backfiller start=\"{}\" end=\"{}\"",
        shown(start_ms),
        shown(end_ms)
    ));
    let groups = load(call, features)?;
    let importer = Importer {
        api: Api::of_flags(call, call.flags.str("url"))?,
        start_s: start_ms.div_euclid(1000),
        end_s: end_ms.div_euclid(1000),
        width_ms: block_duration_ms(call.flags.get("max-block-duration").map_or(0, |_| {
            i64::try_from(call.flags.duration("max-block-duration").as_millis()).unwrap_or(i64::MAX)
        })),
        dir: Path::new(call.flags.str("output-dir")),
    };
    let mut failed = false;
    for group in &groups {
        log(&format!(
            "msg=\"processing group\" component=backfiller name=\"{};{}\"",
            group.file, group.name
        ));
        for (i, entry) in group.entries.iter().enumerate() {
            let Rule::Recording(rule) = &entry.rule else {
                continue;
            };
            log(&format!(
                "msg=\"processing rule\" component=backfiller id={i} name={}",
                rule.name
            ));
            if let Err(error) = importer.rule(group, rule) {
                eprintln!("rule importer error: {error}");
                failed = true;
            }
        }
    }
    match failed {
        true => Err("error importing rules".to_owned()),
        false => Ok(()),
    }
}

fn log(text: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    eprintln!("time={now} level=INFO {text}");
}

fn load(call: &Call, features: Features) -> Result<Vec<Group>, String> {
    let options = CheckOptions {
        features: features.promql,
        ..CheckOptions::default()
    };
    let interval = call.flags.duration("eval-interval").as_millis();
    let defaults = GroupDefaults {
        interval_ms: i64::try_from(interval).unwrap_or(i64::MAX).max(1),
        query_offset_ms: 0,
    };
    let mut groups = Vec::new();
    for path in call.words("rule-files") {
        let failed = |e: String| format!("rule importer parse error: {path}: {e}");
        let text = std::fs::read_to_string(path).map_err(|e| failed(open_error(path, &e)))?;
        let file = RuleFile::parse(&text, &options).map_err(|e| failed(e.join("\n")))?;
        for spec in &file.groups {
            let group = Group::build(spec, path, defaults, features.promql).map_err(failed)?;
            groups.push(group);
        }
    }
    Ok(groups)
}

struct Importer<'a> {
    api: Api,
    start_s: i64,
    end_s: i64,
    width_ms: i64,
    dir: &'a Path,
}

impl Importer<'_> {
    /// Asks for a rule's values, block by block, at the times at which the server would evaluate it.
    fn rule(&self, group: &Group, rule: &RecordingRule) -> Result<(), String> {
        let interval_ms = group.interval_ms.max(1);
        let mut block_ms = (self.start_s * 1000).div_euclid(self.width_ms) * self.width_ms;
        while block_ms <= self.end_s * 1000 {
            let from_ms = block_ms.max(self.start_s * 1000);
            let due_ms = group.due_at_or_before(from_ms);
            let start_ms = match due_ms < from_ms {
                true => due_ms + interval_ms,
                false => due_ms,
            };
            let end_ms = (block_ms + self.width_ms - 1).min(self.end_s * 1000) / 1000 * 1000;
            block_ms += self.width_ms;
            if end_ms < start_ms {
                break;
            }
            let step = Duration::from_millis(interval_ms as u64);
            let answer = self
                .api
                .range(&rule.expr, start_ms, end_ms, step)
                .map_err(|e| format!("query range: {}", e.plain()))?;
            for warning in &answer.warnings {
                eprintln!("Range query returned a warning: {warning}");
            }
            let AnswerValue::Matrix(series) = answer.data else {
                return Err("rule result is wrong type".to_owned());
            };
            let mut block = Gathered::default();
            for series in series {
                if !series.histograms.is_empty() {
                    return Err(format!(
                        "rule {} gives native histograms, which the API shows by their bounds only: they cannot be backfilled",
                        rule.name
                    ));
                }
                let mut labels = series.labels.builder();
                for (name, value) in &rule.labels {
                    labels.set(name, value);
                }
                labels.set(METRIC_NAME, &rule.name);
                let labels = labels.build();
                for (t_ms, v) in series.floats {
                    block.add(labels.clone(), t_ms, v);
                }
            }
            block.write(self.dir)?;
        }
        Ok(())
    }
}
