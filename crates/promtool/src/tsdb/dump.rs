//! `tsdb dump` and `tsdb dump-openmetrics`: the samples of a data folder, its log included.

use std::io::{BufWriter, Write};
use std::path::Path;

use golang::strconv::{format_float, quote};
use model::{Labels, is_stale};
use service::flags::Call;
use storage::{Columns, Queryable, SelectHints, Series};
use tsdb::ReadOnlyDb;

use super::exists;
use crate::output::line;

/// How samples are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Labels, value and milliseconds.
    Samples,
    /// Lines that `create-blocks-from openmetrics` reads.
    OpenMetrics,
}

/// Writes the samples that the flags select.
///
/// # Errors
/// Upstream's text.
pub fn run(call: &Call, format: Format) -> Result<(), String> {
    let dir = call.word("db path");
    exists(dir)?;
    if !Path::new(dir).join("wal").exists() {
        let wal = Path::new(dir).join("wal");
        return Err(format!(
            "read WAL: find last checkpoint: open {}: no such file or directory",
            wal.display()
        ));
    }
    let mut selectors = Vec::new();
    for text in call.flags.list("match") {
        selectors.push(promql::parse::parse_metric_selector(text).map_err(|e| e.to_string())?);
    }
    let (min_ms, max_ms) = (call.flags.int("min-time"), call.flags.int("max-time"));
    let sandbox = call.flags.get("sandbox-dir-root").unwrap_or(dir);
    let db = ReadOnlyDb::open(Path::new(dir), Path::new(sandbox)).map_err(|e| e.to_string())?;
    let querier = db.querier(min_ms, max_ms).map_err(|e| e.to_string())?;
    let mut series: Vec<std::sync::Arc<dyn Series>> = Vec::new();
    for matchers in &selectors {
        let set = querier
            .select(true, &SelectHints::default(), matchers)
            .map_err(|e| e.to_string())?;
        series.extend(set.series);
    }
    series.sort_by(|a, b| a.labels().cmp(b.labels()));
    series.dedup_by(|a, b| a.labels() == b.labels());
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut columns = Columns::default();
    for series in series {
        columns.clear();
        series
            .decode(min_ms, max_ms, &mut columns)
            .map_err(|e| e.to_string())?;
        write_series(&mut out, series.labels(), &columns, format);
    }
    if format == Format::OpenMetrics {
        line(&mut out, format_args!("# EOF"));
    }
    out.flush().map_err(|e| e.to_string())
}

fn write_series(out: &mut impl Write, labels: &Labels, columns: &Columns, format: Format) {
    let general = |v: f64| format_float(v, 'g', -1, 64);
    let floats = columns.float_ms.iter().zip(&columns.floats);
    if format == Format::OpenMetrics {
        let name = labels.metric_name();
        let rest = condensed(&labels.without_metric_name());
        // Neither markers of staleness nor native histograms have a place in this format.
        for (t_ms, v) in floats.filter(|(_, v)| !is_stale(**v)) {
            let seconds = *t_ms as f64 / 1000.0;
            line(
                out,
                format_args!("{name}{rest} {} {seconds:.3}", general(*v)),
            );
        }
        return;
    }
    let mut histograms = columns
        .histogram_ms
        .iter()
        .zip(&columns.histograms)
        .peekable();
    for (t_ms, v) in floats {
        while let Some((at_ms, h)) = histograms.next_if(|(at_ms, _)| *at_ms < t_ms) {
            line(out, format_args!("{labels} {h} {at_ms}"));
        }
        line(out, format_args!("{labels} {} {t_ms}", general(*v)));
    }
    for (at_ms, h) in histograms {
        line(out, format_args!("{labels} {h} {at_ms}"));
    }
}

/// Labels without blanks.
fn condensed(labels: &Labels) -> String {
    if labels.is_empty() {
        return "{}".to_owned();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(n, v)| format!("{n}={}", quote(v)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
