//! A target's loop (prometheus/prometheus `scrape/scrape.go`, `scrapeLoop.run`).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exposition::{MediaType, ParseOptions, choose_parser};
use http_client::Client;
use parking_lot::{Mutex, RwLock};
use storage::{Appendable, SeriesRef};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::append::{Counts, SampleRules, Source, append_failure, append_page, append_vanished};
use crate::cache::SeriesCache;
use crate::failure_log::FailureLog;
use crate::fetch::{FetchError, Request, fetch};
use crate::metadata::Descriptions;
use crate::metrics::Metrics;
use crate::report::{Extra, Report, ReportSeries};
use crate::target::Target;

/// Pages from this size on are parsed where they do not keep other loops waiting.
const LARGE_PAGE_BYTES: usize = 256 << 10;

/// Buffers that are kept for the next page, and the largest that is.
const KEPT_BUFFERS: usize = 16;
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// What all loops of a server share.
pub(crate) struct Shared {
    pub(crate) appendable: Arc<dyn Appendable>,
    pub(crate) metrics: Metrics,
    pub(crate) user_agent: String,
    pub(crate) seed: u64,
    /// Whether loops begin at once instead of at their turn.
    pub(crate) at_once: bool,
    pub(crate) timestamp_tolerance: Duration,
    pub(crate) descriptions: Arc<Descriptions>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    pub(crate) fn new(
        appendable: Arc<dyn Appendable>,
        metrics: Metrics,
        user_agent: String,
        seed: u64,
    ) -> Shared {
        Shared {
            appendable,
            metrics,
            user_agent,
            seed,
            at_once: false,
            timestamp_tolerance: Duration::from_millis(2),
            descriptions: Arc::default(),
            buffers: Mutex::default(),
        }
    }

    fn take_buffer(&self) -> Vec<u8> {
        self.buffers.lock().pop().unwrap_or_default()
    }

    fn put_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock();
        if buffers.len() < KEPT_BUFFERS && buffer.capacity() <= KEPT_BUFFER_BYTES {
            buffers.push(buffer);
        }
    }
}

/// What a job's configuration says to its loops. A reload swaps it; loops take it at their next turn.
pub(crate) struct JobSettings {
    pub(crate) client: Client,
    pub(crate) accept: String,
    pub(crate) compression: bool,
    pub(crate) body_limit: u64,
    pub(crate) fallback: Option<MediaType>,
    pub(crate) rules: SampleRules,
    pub(crate) extra_metrics: bool,
    pub(crate) failure_log: Option<Arc<FailureLog>>,
    /// Counts up when series of old pages may have other labels now: caches do not hold any more.
    pub(crate) cache_version: u64,
}

/// What a pool tells its loops.
pub(crate) struct JobState {
    pub(crate) name: String,
    pub(crate) settings: RwLock<Arc<JobSettings>>,
    /// Every scrape fails with this.
    pub(crate) forced_error: RwLock<Option<String>>,
}

/// How a loop is told to end.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// The target is gone: its series end with stale markers, a while later.
    pub(crate) stop: CancellationToken,
    /// The server stops: nothing is written any more.
    pub(crate) shutdown: CancellationToken,
    /// The target's series go on under another loop, which gets what this one knows of them.
    pub(crate) handover: CancellationToken,
}

/// A loop that was started; it ends with its series if they are handed over.
pub(crate) type Task = JoinHandle<Option<Box<LoopSeries>>>;

/// One target's loop.
pub(crate) struct Loop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) job: Arc<JobState>,
    pub(crate) target: Arc<Target>,
    pub(crate) control: Control,
    series: Box<LoopSeries>,
}

/// What a loop knows of its series; moves to another thread for large pages.
#[derive(Default)]
pub(crate) struct LoopSeries {
    cache: SeriesCache,
    reports: ReportSeries,
    cache_version: u64,
    /// Series of a cache that does not hold any more; those that do not come back get stale markers.
    orphans: Vec<SeriesRef>,
}

impl Loop {
    pub(crate) fn new(
        shared: Arc<Shared>,
        job: Arc<JobState>,
        target: Arc<Target>,
        control: Control,
    ) -> Loop {
        let cache_version = job.settings.read().cache_version;
        Loop {
            shared,
            job,
            target,
            control,
            series: Box::new(LoopSeries {
                cache_version,
                ..LoopSeries::default()
            }),
        }
    }

    /// Scrapes until told to end. Begins once `before`, a loop for the same series, has ended.
    pub(crate) async fn run(mut self, before: Option<Task>) -> Option<Box<LoopSeries>> {
        let interval = self.target.interval;
        let Control { stop, shutdown, .. } = self.control.clone();
        let mut inherited = false;
        if let Some(before) = before
            && let Ok(Some(series)) = before.await
        {
            self.series = series;
            inherited = true;
        }
        if !self.shared.at_once {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let offset = self.target.offset(interval, self.shared.seed, now);
            tokio::select! {
                () = tokio::time::sleep(offset) => {}
                () = stop.cancelled() => return self.end_early(inherited).await,
                () = shutdown.cancelled() => return None,
            }
        }
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut aligned = SystemTime::now();
        let mut last: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let mut at = SystemTime::now();
            let tolerance = self.shared.timestamp_tolerance;
            if !tolerance.is_zero() {
                at = align(at, &mut aligned, interval, tolerance);
            }
            let begin = Instant::now();
            if let Some(last) = last.replace(begin) {
                let label = golang::time::format_duration(interval.as_nanos() as i64);
                let length = begin.duration_since(last);
                let metrics = &self.shared.metrics;
                metrics
                    .interval_length
                    .with(&[&label])
                    .observe_duration(length);
                metrics
                    .interval_length_histogram
                    .with(&[&label])
                    .observe_duration(length);
            }
            self.scrape(at, begin).await;
        }
        if last.is_none() {
            return self.end_early(inherited).await;
        }
        self.end_series(ticks, interval).await
    }

    /// The end of a loop that has not scraped yet: there is something to end only if it inherited it.
    async fn end_early(self, inherited: bool) -> Option<Box<LoopSeries>> {
        if !inherited {
            return self.control.handover.is_cancelled().then_some(self.series);
        }
        let interval = self.target.interval;
        let mut ticks = tokio::time::interval(interval);
        ticks.tick().await;
        self.end_series(ticks, interval).await
    }

    async fn scrape(&mut self, at: SystemTime, begin: Instant) {
        let settings = self.job.settings.read().clone();
        let forced = self.job.forced_error.read().clone();
        let mut page = self.shared.take_buffer();
        let fetched = match forced {
            Some(error) => Err(FetchError::Request(error)),
            None => {
                let request = Request {
                    url: &self.target.url,
                    accept: &settings.accept,
                    user_agent: &self.shared.user_agent,
                    compression: settings.compression,
                    timeout: self.target.timeout,
                    body_limit: settings.body_limit,
                    line_limit: self.line_limit(&settings.rules),
                };
                let fetching = self.fetch(&settings, &request, &mut page);
                let shutdown = self.control.shutdown.clone();
                tokio::select! {
                    result = fetching => result,
                    () = shutdown.cancelled() => return,
                }
            }
        };
        self.shared
            .metrics
            .scrape_duration
            .observe_duration(begin.elapsed());
        if let (Err(error), Some(log)) = (&fetched, &settings.failure_log) {
            log.write(&self.job.name, &self.target.url, &error.to_string());
        }
        if fetched.is_err() {
            page.clear();
        }
        let start = SystemTime::now() - begin.elapsed();
        let mut turn = Turn {
            series: std::mem::take(&mut self.series),
            shared: self.shared.clone(),
            settings,
            target: self.target.clone(),
            page,
            fetched,
            at_ms: unix_ms(at),
            begin,
        };
        let (turn, outcome) = if turn.page.len() < LARGE_PAGE_BYTES {
            let outcome = turn.append();
            (turn, outcome)
        } else {
            let work = move || {
                let outcome = turn.append();
                (turn, outcome)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                // The runtime is going down, or the store panicked: begin with an empty cache.
                Err(_) => return,
            }
        };
        self.series = turn.series;
        self.shared.put_buffer(turn.page);
        self.target
            .report(start, begin.elapsed(), outcome.err().as_deref());
    }

    /// How many sample lines a page may have, if that can be told from the lines.
    fn line_limit(&self, rules: &SampleRules) -> u64 {
        let each_counts = rules.metric_relabel.is_empty()
            && !rules.start_timestamps
            && !self.target.convert_classic_histograms_to_nhcb;
        if each_counts { rules.sample_limit } else { 0 }
    }

    async fn fetch(
        &self,
        settings: &JobSettings,
        request: &Request<'_>,
        page: &mut Vec<u8>,
    ) -> Result<String, FetchError> {
        let metrics = &self.shared.metrics;
        let Some(path) = &self.target.unix_socket else {
            return fetch(&settings.client, request, metrics, page).await;
        };
        let client = settings
            .client
            .with_unix_socket(path.as_ref())
            .map_err(|error| FetchError::Request(error.to_string()))?;
        fetch(&client, request, metrics, page).await
    }

    /// Writes the stale markers of a target that is gone. It may come back, so this waits for two turns
    /// and a bit; the markers get the time of the first.
    async fn end_series(
        mut self,
        mut ticks: tokio::time::Interval,
        interval: Duration,
    ) -> Option<Box<LoopSeries>> {
        let Control {
            shutdown, handover, ..
        } = self.control.clone();
        let wait = async {
            ticks.tick().await;
            let stale_at = SystemTime::now();
            ticks.tick().await;
            tokio::time::sleep(interval / 10).await;
            stale_at
        };
        let stale_at = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            () = handover.cancelled() => return Some(self.series),
            stale_at = wait => stale_at,
        };
        let t_ms = unix_ms(stale_at);
        let mut appender = self.shared.appendable.appender();
        let mut gone = self.series.cache.last_tracked();
        gone.append(&mut self.series.orphans);
        let reports = &mut self.series.reports;
        let result = append_vanished(gone, appender.as_mut(), t_ms)
            .and_then(|()| reports.append_stale(&self.target.public, appender.as_mut(), t_ms))
            .and_then(|()| appender.commit().map_err(|error| error.to_string()));
        if let Err(error) = result {
            tracing::warn!(target_url = self.target.url, err = %error, "Stale append failed");
        }
        None
    }
}

/// One scrape on its way to the store.
struct Turn {
    series: Box<LoopSeries>,
    shared: Arc<Shared>,
    settings: Arc<JobSettings>,
    target: Arc<Target>,
    page: Vec<u8>,
    fetched: Result<String, FetchError>,
    at_ms: i64,
    begin: Instant,
}

impl Turn {
    /// Appends the page, or stale markers where there is none, and the report. The result is the
    /// scrape's.
    fn append(&mut self) -> Result<(), String> {
        let series = &mut *self.series;
        if series.cache_version != self.settings.cache_version {
            series.cache_version = self.settings.cache_version;
            series.orphans.extend(series.cache.last_tracked());
            series.cache = SeriesCache::default();
        }
        let mut appender = self.shared.appendable.appender();
        let mut counts = Counts::default();
        let mut outcome = Ok(());
        match &self.fetched {
            Ok(content_type) if !self.page.is_empty() => {
                let (page_counts, result) =
                    self.append_body(content_type.clone(), appender.as_mut());
                (counts, outcome) = (page_counts, result);
                if outcome.is_err() {
                    appender.rollback();
                    appender = self.shared.appendable.appender();
                }
            }
            Ok(_) => {}
            Err(error) => {
                if let FetchError::TooManySamples(count) = error {
                    (counts.total, counts.added) = (*count, *count);
                }
                outcome = Err(error.to_string());
            }
        }
        let series = &mut *self.series;
        if outcome.is_err() || self.page.is_empty() || self.fetched.is_err() {
            let metrics = &self.shared.metrics;
            let marked = append_failure(&mut series.cache, metrics, appender.as_mut(), self.at_ms);
            if let Err(error) = marked {
                appender.rollback();
                appender = self.shared.appendable.appender();
                tracing::warn!(target_url = self.target.url, err = %error, "Append failed");
            }
        }
        if !series.orphans.is_empty() {
            let alive = series.cache.last_tracked();
            let mut orphans = std::mem::take(&mut series.orphans);
            orphans.retain(|orphan| alive.binary_search(orphan).is_err());
            if let Err(error) = append_vanished(orphans, appender.as_mut(), self.at_ms) {
                tracing::warn!(target_url = self.target.url, err = %error, "Append failed");
            }
        }
        let report = self.report(counts, outcome.is_ok());
        let reports = &mut self.series.reports;
        let public = &self.target.public;
        if let Err(error) = reports.append(public, appender.as_mut(), self.at_ms, &report) {
            tracing::warn!(target_url = self.target.url, err = %error, "Appending scrape report failed");
        }
        if let Err(error) = appender.commit() {
            tracing::error!(target_url = self.target.url, err = %error, "Scrape commit failed");
        }
        outcome
    }

    fn append_body(
        &mut self,
        content_type: String,
        appender: &mut dyn storage::Appender,
    ) -> (Counts, Result<(), String>) {
        let target = &self.target;
        let (media_type, warning) = match choose_parser(&content_type, self.settings.fallback) {
            Ok(choice) => choice,
            Err(error) => {
                tracing::error!(
                    target_url = target.url,
                    content_type,
                    err = error,
                    "Failed to determine correct type of scrape target."
                );
                return (Counts::default(), Err(error));
            }
        };
        if let Some(warning) = warning {
            tracing::debug!(
                target_url = target.url,
                err = warning,
                "Invalid content type on scrape, using fallback setting."
            );
        }
        let rules = &self.settings.rules;
        let source = Source {
            rules,
            target: &target.public,
            metadata: &target.metadata,
            metrics: &self.shared.metrics,
            options: ParseOptions {
                type_and_unit_labels: rules.type_and_unit_labels,
                start_timestamps: rules.start_timestamps,
                convert_classic_histograms_to_nhcb: target.convert_classic_histograms_to_nhcb,
                always_scrape_classic_histograms: target.always_scrape_classic_histograms,
                ignore_native_histograms: !target.scrape_native_histograms,
            },
        };
        let times = (self.at_ms, unix_ms(SystemTime::now()));
        let page = (&self.page[..], media_type);
        append_page(&mut self.series.cache, &source, appender, page, times)
    }

    fn report(&self, counts: Counts, up: bool) -> Report {
        let body_size_bytes = match &self.fetched {
            Ok(_) => self.page.len() as i64,
            Err(FetchError::TooLarge) => -1,
            Err(_) => 0,
        };
        Report {
            up,
            duration_seconds: self.begin.elapsed().as_secs_f64(),
            scraped: counts.total,
            post_relabel: counts.added,
            series_added: counts.new_series,
            extra: self.settings.extra_metrics.then(|| Extra {
                timeout_seconds: self.target.timeout.as_secs_f64(),
                sample_limit: self.settings.rules.sample_limit,
                body_size_bytes,
            }),
        }
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The turn that `at` is close enough to, or `at` itself.
fn align(
    at: SystemTime,
    aligned: &mut SystemTime,
    interval: Duration,
    tolerance: Duration,
) -> SystemTime {
    let tolerance = tolerance.min(interval / 100);
    let Ok(mut late) = at.duration_since(*aligned) else {
        // The clock was set back.
        *aligned = at;
        return at;
    };
    let turns = (late.as_nanos() / interval.as_nanos().max(1)) as u32;
    *aligned += interval * turns;
    late -= interval * turns;
    if late <= tolerance { *aligned } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrape_times_are_aligned() {
        let interval = Duration::from_secs(10);
        let start = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ms = Duration::from_millis;
        let mut aligned = start;
        assert_eq!(align(start + ms(1), &mut aligned, interval, ms(2)), start);
        assert_eq!(
            align(start + ms(10_002), &mut aligned, interval, ms(2)),
            start + ms(10_000)
        );
        assert_eq!(
            align(start + ms(20_003), &mut aligned, interval, ms(2)),
            start + ms(20_003)
        );
        assert_eq!(
            align(start + ms(50_001), &mut aligned, interval, ms(2)),
            start + ms(50_000)
        );
        assert_eq!(align(start, &mut aligned, interval, ms(2)), start);
    }
}
