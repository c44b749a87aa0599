//! `tsdb create-blocks-from openmetrics`: blocks from a page of OpenMetrics with timestamps.

use std::path::Path;

use exposition::{Entry, LabelBuf, MediaType, ParseOptions, Parser};
use model::Labels;
use service::flags::Call;

use super::blocks::{Gathered, block_duration_ms};
use super::list::table;
use crate::FAILURE;
use crate::output::open_error;

/// `tsdb create-blocks-from openmetrics`.
pub fn run(call: &Call) -> u8 {
    crate::output::check(import(call)).min(FAILURE)
}

fn import(call: &Call) -> Result<(), String> {
    let path = call.word("input file");
    let text = std::fs::read(path).map_err(|e| open_error(path, &e))?;
    let mut extra = Vec::new();
    for pair in call.flags.list("label") {
        let (name, value) = pair.split_once(['=', ':']).unwrap_or((pair, ""));
        extra.push((name, value));
    }
    let (min_ms, max_ms) =
        times(&text).map_err(|e| format!("getting min and max timestamp: {e}"))?;
    let max_duration = call.flags.get("max-block-duration").map_or(0, |_| {
        i64::try_from(call.flags.duration("max-block-duration").as_millis()).unwrap_or(i64::MAX)
    });
    let width_ms = block_duration_ms(max_duration);
    let dir = Path::new(call.word("output directory"));
    let (quiet, human) = (call.flags.bool("quiet"), call.flags.bool("human-readable"));
    let mut header = true;
    let mut start_ms = min_ms.div_euclid(width_ms) * width_ms;
    while start_ms <= max_ms {
        let failed = |e: String| format!("block creation: process blocks: {e}");
        let block = gather(&text, start_ms, width_ms, &extra).map_err(failed)?;
        let written = block.gathered.write(dir).map_err(failed)?;
        if let Some(block) = written
            && !quiet
        {
            print!("{}", table(&[block], header, human));
            header = false;
        }
        // Gaps are passed over, however long.
        start_ms = match block.next_ms {
            Some(next_ms) => next_ms.div_euclid(width_ms) * width_ms,
            None => break,
        };
    }
    Ok(())
}

/// Goes through the samples of a page.
fn samples(
    text: &[u8],
    mut found: impl FnMut(&mut Parser<'_>, i64) -> Result<(), String>,
    no_time: impl Fn(Labels) -> String,
) -> Result<(), String> {
    let mut parser = Parser::new(text, MediaType::OpenMetrics, ParseOptions::default());
    while let Some(entry) = parser
        .next(&mut |_: &[u8]| false)
        .map_err(|e| e.to_string())?
    {
        if entry != Entry::Series {
            continue;
        }
        match parser.timestamp_ms() {
            Some(t_ms) => found(&mut parser, t_ms)?,
            None => {
                let mut labels = LabelBuf::new();
                parser.labels(&mut labels);
                return Err(no_time(labels.to_labels()));
            }
        }
    }
    Ok(())
}

/// The first and the last time; 0 where there is no sample.
fn times(text: &[u8]) -> Result<(i64, i64), String> {
    let mut times: Option<(i64, i64)> = None;
    samples(
        text,
        |_, t_ms| {
            let (min, max) = times.unwrap_or((t_ms, t_ms));
            times = Some((min.min(t_ms), max.max(t_ms)));
            Ok(())
        },
        |_| "expected timestamp for series got none".to_owned(),
    )
    .map_err(|e| match e.starts_with("expected") {
        true => e,
        false => format!("next: {e}"),
    })?;
    Ok(times.unwrap_or((0, 0)))
}

struct Part {
    gathered: Gathered,
    /// The earliest time after this part.
    next_ms: Option<i64>,
}

fn gather(
    text: &[u8],
    start_ms: i64,
    width_ms: i64,
    extra: &[(&str, &str)],
) -> Result<Part, String> {
    let end_ms = start_ms.saturating_add(width_ms);
    let mut part = Part {
        gathered: Gathered::default(),
        next_ms: None,
    };
    let mut labels = LabelBuf::new();
    samples(
        text,
        |parser, t_ms| {
            if t_ms >= end_ms {
                part.next_ms = Some(part.next_ms.map_or(t_ms, |next| next.min(t_ms)));
            }
            if t_ms < start_ms || t_ms >= end_ms {
                return Ok(());
            }
            labels.clear();
            parser.labels(&mut labels);
            let mut builder = labels.to_labels().builder();
            for (name, value) in extra {
                builder.set(name, value);
            }
            part.gathered.add(builder.build(), t_ms, parser.value());
            Ok(())
        },
        |labels| format!("expected timestamp for series {labels}, got none"),
    )?;
    Ok(part)
}
