//! `query analyze`: how many buckets histograms have, and how many of them are in use.

use std::collections::{BTreeMap, HashSet};

use http_api::answer::{AnswerSeries, AnswerValue};
use model::Labels;
use service::flags::Call;

use super::print::{LabelSet, metric};
use super::{Api, go_duration};
use crate::time;

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).";
const FOOTER: &str = "Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

/// `query analyze`.
///
/// # Errors
/// Upstream's text.
pub fn run(call: &Call) -> Result<(), String> {
    let kind = call.flags.str("type");
    if kind != "histogram" {
        return Err(format!("analyze type is {kind}, must be 'histogram'"));
    }
    let end_ms = match call.flags.get("time") {
        Some(text) => time::parse(text).map_err(|e| format!("error parsing time '{text}': {e}"))?,
        None => time::now_ms(),
    };
    let api = Api::of_flags(call, call.flags.str("server"))?;
    let range = go_duration(call.flags.duration("duration"));
    println!("{HEADER}\n");
    let (mut native, mut classic) = (Totals::default(), Totals::default());
    for selector in call.flags.list("match") {
        let answer = api
            .instant(&format!("{selector}[{range}]"), end_ms)
            .map_err(|e| e.plain())?;
        let AnswerValue::Matrix(series) = answer.data else {
            return Err("query of buckets resulted in non-Matrix".to_owned());
        };
        let mut families: BTreeMap<String, Vec<AnswerSeries>> = BTreeMap::new();
        for series in series {
            // Series with floats are taken for buckets of classic histograms.
            if series.floats.is_empty() {
                if let Some(stats) = native_stats(&series) {
                    println!("- {} (native): {}", metric(&series.labels), stats.text());
                    native.add(&stats);
                }
            } else if let Some(key) = family(&series.labels) {
                families.entry(key).or_default().push(series);
            }
        }
        for (key, buckets) in families {
            if let Some(stats) = classic_stats(buckets)? {
                println!("- {key} (classic): {}", stats.text());
                classic.add(&stats);
            }
        }
    }
    println!("\n{FOOTER}");
    for (what, totals) in [("Native", native), ("Classic", classic)] {
        if totals.minimum.count > 0 {
            println!("\n{what} {}", totals.text());
        }
    }
    Ok(())
}

/// What the buckets of a classic histogram have in common; `None` for other series.
fn family(labels: &Labels) -> Option<String> {
    let name = labels.metric_name();
    if !name.ends_with("_bucket") || !labels.has("le") {
        return None;
    }
    let rest = labels.without(|n| n == "le" || n == model::labels::METRIC_NAME);
    Some(format!("{name}{}", LabelSet(rest)))
}

/// Populated buckets over time, and all buckets.
struct Stats {
    minimum: usize,
    average: f64,
    maximum: usize,
    total: usize,
}

impl Stats {
    fn of(populated: &[usize], total: usize) -> Stats {
        Stats {
            minimum: populated.iter().copied().min().unwrap_or(0),
            average: populated.iter().sum::<usize>() as f64 / populated.len() as f64,
            maximum: populated.iter().copied().max().unwrap_or(0),
            total,
        }
    }

    fn text(&self) -> String {
        let text = format!("{}/{:.3}/{}", self.minimum, self.average, self.maximum);
        match self.maximum == self.total {
            true => text,
            false => format!("{text}/{}", self.total),
        }
    }
}

/// `None`: not enough data.
fn native_stats(series: &AnswerSeries) -> Option<Stats> {
    if series.histograms.len() < 2 {
        return None;
    }
    let populated: Vec<usize> = series
        .histograms
        .iter()
        .map(|(_, h)| h.buckets.len())
        .collect();
    let buckets = series.histograms.iter().flat_map(|(_, h)| &h.buckets);
    let distinct: HashSet<(u8, u64, u64)> = buckets
        .map(|b| (b.boundaries, b.lower.to_bits(), b.upper.to_bits()))
        .collect();
    Some(Stats::of(&populated, distinct.len()))
}

/// `None`: not enough data.
fn classic_stats(mut buckets: Vec<AnswerSeries>) -> Result<Option<Stats>, String> {
    let bound = |series: &AnswerSeries| {
        golang::strconv::parse_float(series.labels.get("le")).unwrap_or(0.0)
    };
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let times = buckets.first().map_or(0, |first| first.floats.len());
    if times < 2 {
        return Ok(None);
    }
    let mut populated = Vec::with_capacity(times);
    for i in 0..times {
        let mut count = 0;
        let mut before: Option<(i64, f64)> = None;
        for bucket in &buckets {
            // A bucket that came later: what is known so far counts.
            let Some((t_ms, v)) = bucket.floats.get(i).copied() else {
                break;
            };
            if before.is_some_and(|(t, _)| t != t_ms) {
                return Err("matrix result is not time aligned".to_owned());
            }
            // Whole observations, as upstream counts them.
            let own = (v - before.map_or(0.0, |(_, v)| v)) as i64;
            count += usize::from(own != 0);
            before = Some((t_ms, v));
        }
        populated.push(count);
    }
    Ok(Some(Stats::of(&populated, buckets.len())))
}

#[derive(Default, PartialEq)]
struct Distribution {
    minimum: usize,
    average: f64,
    maximum: usize,
    count: usize,
}

impl Distribution {
    fn add(&mut self, value: usize) {
        self.minimum = match self.count {
            0 => value,
            _ => self.minimum.min(value),
        };
        self.maximum = self.maximum.max(value);
        self.count += 1;
        let count = self.count as f64;
        self.average += value as f64 / count - self.average / count;
    }

    fn text(&self) -> String {
        format!("{}/{:.3}/{}", self.minimum, self.average, self.maximum)
    }
}

#[derive(Default)]
struct Totals {
    minimum: Distribution,
    average: Distribution,
    maximum: Distribution,
    total: Distribution,
}

impl Totals {
    fn add(&mut self, stats: &Stats) {
        self.minimum.add(stats.minimum);
        self.average.add(stats.average as usize);
        self.maximum.add(stats.maximum);
        self.total.add(stats.total);
    }

    fn text(&self) -> String {
        let mut text = format!(
            "histogram series ({} in total):\n- min populated: {}\n- avg populated: {}\n- max populated: {}",
            self.minimum.count,
            self.minimum.text(),
            self.average.text(),
            self.maximum.text()
        );
        if self.maximum != self.total {
            text.push_str(&format!("\n- total: {}", self.total.text()));
        }
        text
    }
}
