//! `tsdb analyze`: what a block is made of.

use std::collections::{BTreeMap, BTreeSet};

use golang::time::format_duration;
use model::Labels;
use service::flags::Call;
use tsdb::block::Block;
use tsdb_format::Ulid;
use tsdb_format::chunk::{self, Encoding};
use tsdb_format::index::{ChunkMeta, SeriesEntry};

use super::open_blocks;

/// `tsdb analyze`.
///
/// # Errors
/// Upstream's text.
pub fn run(call: &Call) -> Result<(), String> {
    let text = |e: tsdb::Error| e.to_string();
    let matchers = match call.flags.get("match") {
        Some(selector) => {
            promql::parse::parse_metric_selector(selector).map_err(|e| e.to_string())?
        }
        None => Vec::new(),
    };
    let db = open_blocks(call.word("db path"))?;
    let id = call.word("block id");
    let block = match id {
        "" => db.blocks().last().ok_or("no blocks found")?,
        id => {
            let wanted = id.parse::<Ulid>().ok();
            let found = db
                .blocks()
                .iter()
                .find(|block| Some(block.ulid()) == wanted);
            found.ok_or_else(|| format!("invalid block ID {id}"))?
        }
    };
    let limit = call.flags.count("limit");
    let meta = block.meta();
    let span_ms = meta.max_time.saturating_sub(meta.min_time);
    println!("Block ID: {}", meta.ulid);
    println!(
        "Duration: {}",
        format_duration(span_ms.saturating_mul(1_000_000))
    );
    println!("Total Series: {}", meta.stats.num_series);
    let references = match matchers.is_empty() {
        true => block.all_postings(),
        false => block.postings(&matchers),
    };
    let references = references.map_err(text)?;
    let matched = call
        .flags
        .get("match")
        .map(|selector| (selector, references.len()));
    let mut statistics = Statistics::new(span_ms);
    let mut entry = SeriesEntry::default();
    let mut chunks = Vec::new();
    for reference in references {
        let series = block.series(reference, &mut entry).map_err(text)?;
        statistics.add(&series.labels, &series.chunks);
        if call.flags.bool("extended") {
            chunks.extend(series.chunks);
        }
    }
    statistics.print(limit, matched);
    if call.flags.bool("extended") {
        fullness(block, &chunks)?;
    }
    Ok(())
}

/// What is counted over the series.
struct Statistics {
    span_ms: i64,
    /// By label name and by pair: the time that series do not cover.
    uncovered_names: BTreeMap<String, u64>,
    uncovered_pairs: BTreeMap<String, u64>,
    pairs: BTreeMap<String, u64>,
    values: BTreeMap<String, BTreeSet<String>>,
    metrics: BTreeMap<String, u64>,
    entries: usize,
}

impl Statistics {
    fn new(span_ms: i64) -> Statistics {
        Statistics {
            span_ms,
            uncovered_names: BTreeMap::new(),
            uncovered_pairs: BTreeMap::new(),
            pairs: BTreeMap::new(),
            values: BTreeMap::new(),
            metrics: BTreeMap::new(),
            entries: 0,
        }
    }

    fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) {
        let covered = match (chunks.first(), chunks.last()) {
            (Some(first), Some(last)) => last.max_ms.saturating_sub(first.min_ms),
            _ => 0,
        };
        let uncovered = self.span_ms.saturating_sub(covered).max(0) as u64;
        for (name, value) in labels {
            let pair = format!("{name}={value}");
            *self.uncovered_names.entry(name.to_owned()).or_default() += uncovered;
            *self.uncovered_pairs.entry(pair.clone()).or_default() += uncovered;
            *self.pairs.entry(pair).or_default() += 1;
            self.values
                .entry(name.to_owned())
                .or_default()
                .insert(value.to_owned());
            self.entries += 1;
        }
        *self
            .metrics
            .entry(labels.metric_name().to_owned())
            .or_default() += 1;
    }

    /// `matched`: the selector, and how many series it selects.
    fn print(&self, limit: usize, matched: Option<(&str, usize)>) {
        if let Some((selector, _)) = matched {
            println!("Matcher: {selector}");
        }
        println!("Label names: {}", self.values.len());
        if let Some((_, count)) = matched {
            println!("Matched series: {count}");
        }
        println!("Postings (unique label pairs): {}", self.pairs.len());
        println!("Postings entries (total label pairs): {}", self.entries);
        // In series: how many would have to come and go for so much time not to be covered.
        let span = self.span_ms.max(1) as f64;
        let churn = |map: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
            map.iter()
                .map(|(key, ms)| (key.clone(), (*ms as f64 / span) as u64))
                .collect()
        };
        let counts = |map: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
            map.iter()
                .map(|(key, count)| (key.clone(), *count))
                .collect()
        };
        let of_values = |measure: fn(&BTreeSet<String>) -> usize| -> Vec<(String, u64)> {
            self.values
                .iter()
                .map(|(name, values)| (name.clone(), measure(values) as u64))
                .collect()
        };
        for (title, items) in [
            (
                "Label pairs most involved in churning:",
                churn(&self.uncovered_pairs),
            ),
            (
                "Label names most involved in churning:",
                churn(&self.uncovered_names),
            ),
            ("Most common label pairs:", counts(&self.pairs)),
            (
                "Label names with highest cumulative label value length:",
                of_values(|values| values.iter().map(String::len).sum()),
            ),
            ("Highest cardinality labels:", of_values(BTreeSet::len)),
            ("Highest cardinality metric names:", counts(&self.metrics)),
        ] {
            println!("\n{title}");
            let mut items = items;
            items.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            for (key, count) in items.iter().take(limit) {
                println!("{count} {key}");
            }
        }
    }
}

/// How full chunks are: samples and bytes each.
fn fullness(block: &Block, chunks: &[ChunkMeta]) -> Result<(), String> {
    let mut floats = (Vec::new(), Vec::new());
    let mut histograms = (Vec::new(), Vec::new());
    let mut buckets = Vec::new();
    for meta in chunks {
        let (encoding, data) = block.chunk(meta.reference).map_err(|e| e.to_string())?;
        let samples = chunk::samples(encoding, data).map_err(|e| e.to_string())?;
        // With the number of samples before the payload, as upstream counts a chunk's bytes.
        let counts = if encoding.is_float() {
            &mut floats
        } else {
            &mut histograms
        };
        counts.0.push(u64::from(samples));
        counts.1.push(data.len() as u64);
        if !encoding.is_float() {
            buckets.push(bucket_count(encoding, data)?);
        }
    }
    println!("\nCompaction analysis:\n");
    let total = chunks.len();
    histogram("samples per float chunk", floats.0, total);
    histogram("bytes per float chunk", floats.1, total);
    histogram("samples per histogram chunk", histograms.0, total);
    histogram("bytes per histogram chunk", histograms.1, total);
    histogram("buckets per histogram chunk", buckets, total);
    Ok(())
}

/// Buckets of the first histogram of a chunk, of both sides.
fn bucket_count(encoding: Encoding, data: &[u8]) -> Result<u64, String> {
    let mut columns = storage::Columns::default();
    tsdb::block::encode::decode_columns(encoding, data, (i64::MIN, i64::MAX), &[], &mut columns)
        .map_err(|e| e.to_string())?;
    let first = columns.histograms.first();
    Ok(first.map_or(0, |h| {
        (h.positive_buckets.len() + h.negative_buckets.len()) as u64
    }))
}

/// How values are distributed, drawn with `#`.
fn histogram(what: &str, mut values: Vec<u64>, total: usize) {
    values.sort_unstable();
    let (Some(min), Some(max)) = (values.first().copied(), values.last().copied()) else {
        println!("{what}: N/A\n");
        return;
    };
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut counts = vec![0usize; ((end - start) / step + 1) as usize];
    for value in &values {
        counts[((value - start) / step) as usize] += 1;
    }
    let average = values.iter().sum::<u64>() / values.len() as u64;
    println!("{what} (min/avg/max): {min}/{average}/{max}");
    let left = end.to_string().len();
    let right = (end + step).to_string().len();
    let most = counts.iter().max().map_or(1, |most| most.to_string().len());
    for (i, count) in counts.iter().enumerate() {
        let from = i as u64 * step + start;
        let bar = "#".repeat(100 * count / total.max(1));
        println!(
            "[{:left$}, {:right$}]: {count:most$} {bar}",
            from + 1,
            from + step
        );
    }
    println!();
}
