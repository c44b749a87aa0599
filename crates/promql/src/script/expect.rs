//! `eval`: a query and what it is to answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use golang::regexp::Regexp;
use model::Labels;

use super::command::{ScriptError, duration_ms};
use super::load::series;
use crate::parse::SequenceValue;

/// What a message has to be like.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Any,
    Message(String),
    Regexp(Arc<Regexp>, String),
}

impl Pattern {
    pub fn matches(&self, message: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Message(expected) => expected == message,
            Pattern::Regexp(regexp, _) => regexp.is_match(message),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pattern::Any => f.write_str("anything"),
            Pattern::Message(message) => write!(f, "message {message:?}"),
            Pattern::Regexp(_, pattern) => write!(f, "pattern {pattern:?}"),
        }
    }
}

/// What is expected of one kind of annotation.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotated {
    /// At least one, by the old `eval_warn` and `eval_info`.
    pub some: bool,
    /// Each must be matched by one annotation, and each annotation by one of these.
    pub patterns: Vec<Pattern>,
    pub none: bool,
}

/// When the query is evaluated; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Instant {
        t_ms: i64,
    },
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

/// The timestamps that the values of a matrix stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

/// A series of the expected answer.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// From 0, in the order of the lines.
    pub position: usize,
    pub values: Vec<SequenceValue>,
}

/// An `eval` command.
#[derive(Clone, Debug)]
pub struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) when: When,
    pub(super) ordered: bool,
    /// The query has to fail like this.
    pub(super) fail: Option<Pattern>,
    pub(super) warnings: Annotated,
    pub(super) infos: Annotated,
    pub(super) series: BTreeMap<Labels, Expected>,
    pub(super) scalar: Option<f64>,
    pub(super) string: Option<String>,
    /// `expect range vector`: an instant query that answers with a matrix.
    pub(super) range_vector: Option<Steps>,
}

impl Eval {
    /// The line of the script, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The query.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Parses an `eval` line and those after it, up to a blank one; returns how many of those
    /// belong to it.
    pub(super) fn parse<'a>(
        line: usize,
        text: &str,
        lines: impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(Eval, usize), ScriptError> {
        let mut eval = Eval::head(line, text)?;
        let mut used = 0;
        for (line, text) in lines {
            used += 1;
            if !eval.expectation(line, text)? {
                break;
            }
        }
        Ok((eval, used))
    }

    fn head(line: usize, text: &str) -> Result<Eval, ScriptError> {
        let invalid = || {
            ScriptError::new(
                line,
                "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered] instant [at <offset:duration>] <query>' or 'eval[_fail|_warn] range from <from> to <to> step <step> <query>'",
            )
        };
        let mut rest = text;
        let mut word = || {
            let (word, after) = rest.split_once([' ', '\t']).ok_or_else(invalid)?;
            rest = after.trim_start();
            Ok::<&str, ScriptError>(word)
        };
        let command = word()?;
        let is_range = match word()? {
            "instant" => false,
            "range" => true,
            _ => return Err(invalid()),
        };
        let mut keyed = |key: &str| {
            if word()? == key {
                word()
            } else {
                Err(invalid())
            }
        };
        let time = |what: &str, text: &str| {
            duration_ms(text).map_err(|e| {
                ScriptError::new(line, format!("invalid {what} definition {text:?}: {e}"))
            })
        };
        let when = if is_range {
            let start_ms = time("start timestamp", keyed("from")?)?;
            let end_ms = time("end timestamp", keyed("to")?)?;
            let step_ms = time("step", keyed("step")?)?;
            check_order(line, start_ms, end_ms)?;
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            }
        } else {
            When::Instant {
                t_ms: time("timestamp", keyed("at")?)?,
            }
        };
        let mut eval = Eval {
            line,
            query: rest.to_owned(),
            when,
            ordered: false,
            fail: None,
            warnings: Annotated::default(),
            infos: Annotated::default(),
            series: BTreeMap::new(),
            scalar: None,
            string: None,
            range_vector: None,
        };
        match command {
            "eval" => {}
            "eval_ordered" if !is_range => eval.ordered = true,
            "eval_fail" => eval.fail = Some(Pattern::Any),
            "eval_warn" => eval.warnings.some = true,
            "eval_info" => eval.infos.some = true,
            _ => return Err(invalid()),
        }
        Ok(eval)
    }

    /// Reads a line below the command. Returns whether more may follow.
    fn expectation(&mut self, line: usize, text: &str) -> Result<bool, ScriptError> {
        if self.fail.is_some() {
            if let Some(message) = text.strip_prefix("expected_fail_message") {
                self.fail = Some(Pattern::Message(message.trim().to_owned()));
                return Ok(false);
            }
            if let Some(pattern) = text.strip_prefix("expected_fail_regexp") {
                self.fail = Some(regexp(line, pattern.trim())?);
                return Ok(false);
            }
        }
        if let Some(steps) = text.strip_prefix("expect range vector") {
            self.range_vector = Some(range_vector(line, steps)?);
            return Ok(true);
        }
        if let Some(literal) = text.strip_prefix("expect string") {
            let string = golang::strconv::unquote_any(literal.trim()).map_err(|_| {
                ScriptError::new(
                    line,
                    "expected string literal not valid - check that the string is correctly quoted",
                )
            })?;
            self.string = Some(string);
            return Ok(true);
        }
        // A metric of the name `expect` can be written with braces.
        if text.split([' ', '\t']).next() == Some("expect") {
            self.annotation_or_failure(line, text["expect".len()..].trim_start())?;
            return Ok(true);
        }
        if let Some(number) = number(text) {
            self.scalar = Some(number);
            return Ok(false);
        }
        let (labels, values) = series(line, text)?;
        let is_instant = matches!(self.when, When::Instant { .. });
        if values.len() > 1 && is_instant && self.range_vector.is_none() {
            return Err(ScriptError::new(
                line,
                "expecting multiple values in instant evaluation not allowed. consider using 'expect range vector' directive to enable a range vector result for an instant query",
            ));
        }
        let position = self.series.len();
        self.series.insert(labels, Expected { position, values });
        Ok(true)
    }

    fn annotation_or_failure(&mut self, line: usize, text: &str) -> Result<(), ScriptError> {
        let invalid = || {
            ScriptError::new(
                line,
                "invalid expect statement, must match `expect <type> <match_type>: <string>` format",
            )
        };
        let (kind, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let pattern = match rest.trim_start() {
            "" => Pattern::Any,
            rest => match rest.split_once(':') {
                Some(("msg", message)) if !message.is_empty() => {
                    Pattern::Message(message.trim().to_owned())
                }
                Some(("regex", pattern)) if !pattern.is_empty() => regexp(line, pattern.trim())?,
                _ => return Err(invalid()),
            },
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" if matches!(self.fail, None | Some(Pattern::Any)) => self.fail = Some(pattern),
            "fail" => {
                return Err(ScriptError::new(
                    line,
                    "invalid expect lines, multiple expect fail lines are not allowed",
                ));
            }
            "warn" => self.warnings.patterns.push(pattern),
            "no_warn" => self.warnings.none = true,
            "info" => self.infos.patterns.push(pattern),
            "no_info" => self.infos.none = true,
            _ => return Err(invalid()),
        }
        for (name, annotated) in [("warn", &self.warnings), ("info", &self.infos)] {
            if annotated.none && !annotated.patterns.is_empty() {
                return Err(ScriptError::new(
                    line,
                    format!("invalid expect lines, {name} and no_{name} cannot be used together"),
                ));
            }
        }
        Ok(())
    }
}

fn check_order(line: usize, start_ms: i64, end_ms: i64) -> Result<(), ScriptError> {
    if end_ms < start_ms {
        return Err(ScriptError::new(
            line,
            "invalid test definition, end timestamp is before start timestamp",
        ));
    }
    Ok(())
}

fn regexp(line: usize, pattern: &str) -> Result<Pattern, ScriptError> {
    let regexp = Regexp::new(pattern)
        .map_err(|e| ScriptError::new(line, format!("invalid regex {pattern}: {e}")))?;
    Ok(Pattern::Regexp(Arc::new(regexp), pattern.to_owned()))
}

/// ` from <from> to <to> step <step>`.
fn range_vector(line: usize, text: &str) -> Result<Steps, ScriptError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["from", from, "to", to, "step", step] = words[..] else {
        return Err(ScriptError::new(
            line,
            format!("invalid range vector definition {text:?}"),
        ));
    };
    let time = |text: &str| {
        duration_ms(text).map_err(|e| {
            ScriptError::new(
                line,
                format!("invalid range vector definition {text:?}: {e}"),
            )
        })
    };
    let steps = Steps {
        start_ms: time(from)?,
        end_ms: time(to)?,
        step_ms: time(step)?,
    };
    check_order(line, steps.start_ms, steps.end_ms)?;
    Ok(steps)
}

fn number(text: &str) -> Option<f64> {
    if let Ok(integer) = golang::strconv::parse_int(text, 0, 64) {
        return Some(integer as f64);
    }
    golang::strconv::parse_float(text).ok()
}
