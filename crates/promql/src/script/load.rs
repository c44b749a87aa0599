//! `load`: series with their samples, and the start timestamps of `@st` lines.

use model::{Labels, parse_duration};
use storage::{AppendError, Appendable};

use super::command::ScriptError;
use super::{Store, nhcb};
use crate::parse::series::MAX_SERIES_VALUES;
use crate::parse::{SequenceValue, parse_series_desc};

/// A sample that a load stores.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub t_ms: i64,
    /// 0: unknown.
    pub start_ms: i64,
    pub value: SequenceValue,
}

/// A `load` command: what it adds to a store.
#[derive(Clone, Debug)]
pub struct Load {
    step_ms: i64,
    /// Whether classic histograms are added as native ones too.
    with_nhcb: bool,
    series: Vec<(Labels, Vec<Sample>)>,
}

/// The start timestamps of an `@st` line, waiting for their samples.
struct PendingStarts {
    line: usize,
    labels: Labels,
    offsets_ms: Vec<Option<i64>>,
}

impl Load {
    /// An empty load whose values are `step_ms` apart, the first one at time zero.
    pub fn new(step_ms: i64, with_nhcb: bool) -> Load {
        Load {
            step_ms,
            with_nhcb,
            series: Vec::new(),
        }
    }

    /// Reads the lines after the command; each comes with its number.
    pub(super) fn read<'a>(
        &mut self,
        lines: impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(), ScriptError> {
        let mut pending: Option<PendingStarts> = None;
        for (line, text) in lines {
            if let Some((metric, offsets)) = split_start_line(text) {
                if let Some(pending) = pending {
                    return Err(no_sample_line(&pending));
                }
                let (labels, _) = series(line, &format!("{metric} _"))?;
                let offsets_ms = parse_offsets(offsets).map_err(|message| {
                    ScriptError::new(line, format!("invalid @st sequence: {message}"))
                })?;
                pending = Some(PendingStarts {
                    line,
                    labels,
                    offsets_ms,
                });
                continue;
            }
            let (labels, values) = series(line, text)?;
            let mut offsets_ms = None;
            if let Some(starts) = pending.take() {
                if starts.labels != labels {
                    return Err(ScriptError::new(
                        starts.line,
                        "@st metric does not match the following sample line metric",
                    ));
                }
                if starts.offsets_ms.len() != values.len() {
                    let message = format!(
                        "@st line has {} values but sample line has {}",
                        starts.offsets_ms.len(),
                        values.len()
                    );
                    return Err(ScriptError::new(starts.line, message));
                }
                offsets_ms = Some(starts.offsets_ms);
            }
            self.add(labels, values, offsets_ms.as_deref());
        }
        match pending {
            Some(pending) => Err(no_sample_line(&pending)),
            None => Ok(()),
        }
    }

    /// Adds a series; one of the same labels is replaced. `starts_ms` are relative to each sample.
    pub fn add(
        &mut self,
        labels: Labels,
        values: Vec<SequenceValue>,
        starts_ms: Option<&[Option<i64>]>,
    ) {
        let samples = values
            .into_iter()
            .enumerate()
            .filter(|(_, value)| *value != SequenceValue::Omitted)
            .map(|(i, value)| {
                let t_ms = (i as i64).saturating_mul(self.step_ms);
                let offset_ms = starts_ms.and_then(|starts| *starts.get(i)?);
                Sample {
                    t_ms,
                    start_ms: offset_ms.map_or(0, |offset_ms| t_ms.saturating_add(offset_ms)),
                    value,
                }
            })
            .collect();
        self.series.retain(|(present, _)| *present != labels);
        self.series.push((labels, samples));
    }

    /// Appends everything to a store.
    ///
    /// # Errors
    /// What the store refuses, and classic histograms that are none; nothing is stored then.
    pub fn store(&self, store: &Store) -> Result<(), String> {
        let mut appender = store.appender();
        let text = |e: AppendError| e.to_string();
        for (labels, samples) in &self.series {
            for sample in samples {
                let (start_ms, t_ms) = (sample.start_ms, sample.t_ms);
                match &sample.value {
                    SequenceValue::Omitted => {}
                    SequenceValue::Float(value) => {
                        appender
                            .append(0, labels, start_ms, t_ms, *value)
                            .map_err(text)?;
                    }
                    SequenceValue::Histogram { histogram, .. } => {
                        appender
                            .append_float_histogram(0, labels, start_ms, t_ms, histogram)
                            .map_err(text)?;
                    }
                }
            }
        }
        if self.with_nhcb {
            for (labels, histograms) in nhcb::convert(&self.series)? {
                for (t_ms, histogram) in histograms {
                    appender
                        .append_float_histogram(0, &labels, 0, t_ms, &histogram)
                        .map_err(text)?;
                }
            }
        }
        appender.commit().map_err(text)
    }
}

fn no_sample_line(pending: &PendingStarts) -> ScriptError {
    ScriptError::new(pending.line, "@st line has no following sample line")
}

pub(super) fn series(line: usize, text: &str) -> Result<(Labels, Vec<SequenceValue>), ScriptError> {
    parse_series_desc(text).map_err(|e| ScriptError::new(line, e.to_string()))
}

/// Splits `metric{...}@st offsets`.
fn split_start_line(text: &str) -> Option<(&str, &str)> {
    let (metric, offsets) = text.split_once([' ', '\t'])?;
    Some((metric.strip_suffix("@st")?, offsets))
}

/// The offsets of an `@st` line in milliseconds: `_`, `_xN`, `-1m`, `-1mxN`, `-1m-30sxN`.
fn parse_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        push_offsets(item, &mut offsets).map_err(|e| format!("invalid ST item {item:?}: {e}"))?;
    }
    Ok(offsets)
}

fn push_offsets(item: &str, offsets: &mut Vec<Option<i64>>) -> Result<(), String> {
    if item == "_" {
        offsets.push(None);
        return Ok(());
    }
    if let Some(count) = item.strip_prefix("_x") {
        let count = repetitions(count, offsets.len())?;
        if count == 0 {
            return Err("invalid repeat count".to_owned());
        }
        offsets.extend((0..count).map(|_| None));
        return Ok(());
    }
    let (mut offset_ms, rest) = duration_prefix(item)?;
    if rest.is_empty() {
        offsets.push(Some(offset_ms));
        return Ok(());
    }
    let (step_ms, rest) = match rest.split_at(1) {
        ("x", _) => (0, rest),
        ("+", rest) => duration_prefix(rest)?,
        ("-", rest) => {
            let (step_ms, rest) = duration_prefix(rest)?;
            (-step_ms, rest)
        }
        (other, _) => return Err(format!("unexpected character {other:?} after duration")),
    };
    let count = rest
        .strip_prefix('x')
        .ok_or("expected 'x<count>' after step duration")?;
    for _ in 0..=repetitions(count, offsets.len())? {
        offsets.push(Some(offset_ms));
        offset_ms = offset_ms.saturating_add(step_ms);
    }
    Ok(())
}

fn repetitions(count: &str, before: usize) -> Result<u64, String> {
    let count: u64 = count.parse().map_err(|_| "invalid repeat count")?;
    if count.saturating_add(before as u64) > MAX_SERIES_VALUES {
        return Err(format!("more than {MAX_SERIES_VALUES} values"));
    }
    Ok(count)
}

/// A duration with a sign at the start of `text`, in milliseconds, and the rest.
fn duration_prefix(text: &str) -> Result<(i64, &str), String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(format!("expected digits in duration {text:?}"));
    }
    let unit = unsigned[digits..]
        .bytes()
        .take_while(|b| b.is_ascii_alphabetic() && *b != b'x')
        .count();
    let (duration, rest) = unsigned.split_at(digits + unit);
    let parsed = parse_duration(duration).map_err(|e| e.to_string())?;
    let ms = parsed.as_millis() as i64;
    Ok((if text.starts_with('-') { -ms } else { ms }, rest))
}
