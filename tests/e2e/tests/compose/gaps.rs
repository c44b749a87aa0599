//! Who was away when, and whether the samples say the same.

use e2e::get_json;
use serde_json::Value;

/// Scrapes of a busy machine may come late by so much, in seconds.
const LATE: f64 = 20.0;

/// What was killed, and until when it was missed.
#[derive(Default)]
pub(crate) struct Absences {
    all: Vec<Absence>,
}

struct Absence {
    service: String,
    /// A selector of the `up` that is gone meanwhile.
    series: &'static str,
    from: f64,
    to: f64,
}

fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}

impl Absences {
    /// The time at which something is about to be killed.
    pub(crate) fn begin(&self) -> f64 {
        now()
    }

    /// It was killed at `from` and is back now.
    pub(crate) fn end(&mut self, service: &str, series: &'static str, from: f64) {
        eprintln!("        {service} was away for {:.1} s", now() - from);
        self.all.push(Absence {
            service: service.to_owned(),
            series,
            from,
            to: now(),
        });
    }

    /// Each series of `up`: between two scrapes that succeeded lies no more than an absence of the one
    /// who was asked, or of the one who asks.
    ///
    /// # Panics
    /// With what lies between, otherwise.
    pub(crate) fn check(&self, store: &str) {
        let series = range(store, "up");
        assert!(series.len() >= 11, "{series:?}");
        for one in &series {
            let scraped: Vec<f64> = samples(one)
                .filter(|(_, value)| *value == 1.0)
                .map(|(time, _)| time)
                .collect();
            self.check_times(&one["metric"], &scraped, |absence| {
                absence.service == "scraper-store" || matches(absence.series, &one["metric"])
            });
        }
        // What rules record goes on as long as rule-evaluator and the store are there.
        for one in range(store, "instance:node_memory_used:ratio{instance='app-1'}") {
            let times: Vec<f64> = samples(&one).map(|(time, _)| time).collect();
            self.check_times(&one["metric"], &times, |absence| {
                ["scraper-store", "rule-evaluator"].contains(&absence.service.as_str())
            });
        }
    }

    fn check_times(&self, who: &Value, times: &[f64], excuses: impl Fn(&Absence) -> bool) {
        assert!(times.len() > 5, "{who}: only {} samples", times.len());
        for pair in times.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let excused: f64 = self
                .all
                .iter()
                .filter(|absence| excuses(absence) && absence.from < to && absence.to > from)
                .map(|absence| absence.to - absence.from)
                .sum();
            assert!(
                to - from <= excused + LATE,
                "{who}: nothing between {from} and {to}, and nobody was away for more than {excused:.1} s"
            );
        }
    }
}

/// Whether a selector of the form `up{a='b', c='d'}` selects a series.
fn matches(selector: &str, metric: &Value) -> bool {
    let inner = selector.trim_start_matches("up{").trim_end_matches('}');
    inner.split(", ").all(|matcher| {
        let (name, value) = matcher.split_once('=').expect("it is of that form");
        metric[name].as_str() == Some(value.trim_matches('\''))
    })
}

/// Raw samples of the last minutes.
fn range(store: &str, selector: &str) -> Vec<Value> {
    let encoded: String = format!("{selector}[30m]")
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let answer = get_json(&format!("{store}/api/v1/query?query={encoded}"));
    let answer = answer.expect("the store answers");
    answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn samples(series: &Value) -> impl Iterator<Item = (f64, f64)> {
    let values = series["values"].as_array().cloned().unwrap_or_default();
    values.into_iter().filter_map(|pair| {
        let value = pair[1].as_str()?.parse().ok()?;
        Some((pair[0].as_f64()?, value))
    })
}
