//! The series that tell how a scrape went: `up` and its like.

use model::labels::METRIC_NAME;
use model::{Labels, STALE_NAN};
use storage::{AppendError, Appender, SeriesRef};

/// How a scrape went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) up: bool,
    pub(crate) duration_seconds: f64,
    pub(crate) scraped: usize,
    pub(crate) post_relabel: usize,
    pub(crate) series_added: usize,
    /// With `extra_scrape_metrics`.
    pub(crate) extra: Option<Extra>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Extra {
    pub(crate) timeout_seconds: f64,
    pub(crate) sample_limit: u64,
    /// -1 if the body was too large.
    pub(crate) body_size_bytes: i64,
}

const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// What a target's reports are called in the store.
#[derive(Debug, Default)]
pub(crate) struct ReportSeries {
    references: [SeriesRef; NAMES.len()],
    /// How many of them the last report wrote.
    written: usize,
}

impl ReportSeries {
    /// Appends a report.
    ///
    /// # Errors
    /// What the store says, unless it is that the sample comes late.
    pub(crate) fn append(
        &mut self,
        target: &Labels,
        appender: &mut dyn Appender,
        t_ms: i64,
        report: &Report,
    ) -> Result<(), String> {
        let mut values = vec![
            f64::from(u8::from(report.up)),
            report.duration_seconds,
            report.scraped as f64,
            report.post_relabel as f64,
            report.series_added as f64,
        ];
        if let Some(extra) = &report.extra {
            values.extend([
                extra.timeout_seconds,
                extra.sample_limit as f64,
                extra.body_size_bytes as f64,
            ]);
        }
        self.append_all(target, appender, t_ms, &values)
    }

    /// Ends the series of all reports so far.
    ///
    /// # Errors
    /// As [`ReportSeries::append`].
    pub(crate) fn append_stale(
        &mut self,
        target: &Labels,
        appender: &mut dyn Appender,
        t_ms: i64,
    ) -> Result<(), String> {
        let values = vec![STALE_NAN; self.written];
        self.append_all(target, appender, t_ms, &values)
    }

    fn append_all(
        &mut self,
        target: &Labels,
        appender: &mut dyn Appender,
        t_ms: i64,
        values: &[f64],
    ) -> Result<(), String> {
        let none = Labels::empty();
        for ((name, reference), value) in NAMES.iter().zip(&mut self.references).zip(values) {
            let mut result = Err(AppendError::InvalidLabels(String::new()));
            if *reference != 0 {
                result = appender.append(*reference, &none, 0, t_ms, *value);
            }
            if let Err(AppendError::InvalidLabels(_)) = result {
                let labels = report_labels(target, name);
                result = appender.append(0, &labels, 0, t_ms, *value);
            }
            match result {
                Ok(now) => *reference = now,
                Err(
                    AppendError::OutOfOrder
                    | AppendError::Duplicate(_)
                    | AppendError::OutOfBounds
                    | AppendError::TooOld,
                ) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.written = self.written.max(values.len());
        Ok(())
    }
}

fn report_labels(target: &Labels, name: &str) -> Labels {
    Labels::from_pairs(target.iter().chain([(METRIC_NAME, name)]))
}
