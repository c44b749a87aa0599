//! What scraping says about itself, under upstream's names.

use telemetry::{
    Counter, CounterVec, GaugeVec, Histogram, HistogramVec, Registry, SummaryOptions, SummaryVec,
};

/// All metrics of scraping; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) pools: Counter,
    pub(crate) pools_failed: Counter,
    pub(crate) reload_length: SummaryVec,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_reloads_failed: Counter,
    pub(crate) sync_length: SummaryVec,
    pub(crate) sync_length_histogram: HistogramVec,
    pub(crate) syncs: CounterVec,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) target_limit: GaugeVec,
    pub(crate) pool_targets: GaugeVec,
    pub(crate) sync_failed: CounterVec,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) cache_flush_forced: Counter,
    pub(crate) interval_length: SummaryVec,
    pub(crate) interval_length_histogram: HistogramVec,
    pub(crate) exceeded_sample_limit: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exemplar_out_of_order: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_bucket_limit: Counter,
    pub(crate) scrape_duration: Histogram,
    pub(crate) metadata_entries: GaugeVec,
    pub(crate) metadata_bytes: GaugeVec,
}

const COARSE: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Metrics {
        let spread = || {
            SummaryOptions::quantiles(&[
                (0.01, 0.001),
                (0.05, 0.005),
                (0.5, 0.05),
                (0.9, 0.01),
                (0.99, 0.001),
            ])
        };
        Metrics {
            pools: registry.counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            ),
            pools_failed: registry.counter(
                "prometheus_target_scrape_pools_failed_total",
                "Total number of scrape pool creations that failed.",
            ),
            reload_length: registry.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &["interval"],
                spread(),
            ),
            pool_reloads: registry.counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            pool_reloads_failed: registry.counter(
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Total number of failed scrape pool reloads.",
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                spread(),
            ),
            sync_length_histogram: registry.histogram_vec(
                "prometheus_target_sync_length_histogram_seconds",
                "Actual interval to sync the scrape pool as a histogram.",
                &["scrape_job"],
                &COARSE,
            ),
            syncs: registry.counter_vec(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
                &["scrape_job"],
            ),
            exceeded_target_limit: registry.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit.",
            ),
            target_limit: registry.gauge_vec(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &["scrape_job"],
            ),
            pool_targets: registry.gauge_vec(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &["scrape_job"],
            ),
            sync_failed: registry.counter_vec(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                &["scrape_job"],
            ),
            exceeded_body_size: registry.counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit.",
            ),
            cache_flush_forced: registry.counter(
                "prometheus_target_scrapes_cache_flush_forced_total",
                "Total number of scrapes that forced a complete label cache flush.",
            ),
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                spread(),
            ),
            interval_length_histogram: registry.histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes as a histogram.",
                &["interval"],
                &COARSE,
            ),
            exceeded_sample_limit: registry.counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit.",
            ),
            duplicate: registry.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: registry.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            out_of_bounds: registry.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            exemplar_out_of_order: registry.counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            exceeded_label_limits: registry.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits.",
            ),
            exceeded_bucket_limit: registry.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit.",
            ),
            scrape_duration: registry.histogram(
                "prometheus_target_scrape_duration_seconds",
                "Scrape request latency histogram.",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            ),
            metadata_entries: registry.gauge_vec(
                "prometheus_target_metadata_cache_entries",
                "Total number of metric metadata entries in the cache",
                &["scrape_job"],
            ),
            metadata_bytes: registry.gauge_vec(
                "prometheus_target_metadata_cache_bytes",
                "The number of bytes that are currently used for storing metric metadata in the cache",
                &["scrape_job"],
            ),
        }
    }

    /// Forgets a job that went away.
    pub(crate) fn remove_job(&self, job: &str) {
        let labels = [job];
        self.sync_length.remove(&labels);
        self.sync_length_histogram.remove(&labels);
        self.syncs.remove(&labels);
        self.target_limit.remove(&labels);
        self.pool_targets.remove(&labels);
        self.sync_failed.remove(&labels);
        self.metadata_entries.remove(&labels);
        self.metadata_bytes.remove(&labels);
    }
}
