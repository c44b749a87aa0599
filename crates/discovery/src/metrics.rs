//! What discovery says about itself, under upstream's names.

use telemetry::{
    Counter, CounterVec, GaugeVec, HistogramVec, Registry, Summary, SummaryOptions, SummaryVec,
};

/// All metrics of discovery; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) discovered_targets: GaugeVec,
    pub(crate) failed_configs: GaugeVec,
    pub(crate) received_updates: CounterVec,
    pub(crate) delayed_updates: CounterVec,
    pub(crate) sent_updates: CounterVec,
    pub(crate) refresh_failures: CounterVec,
    pub(crate) refresh_duration: SummaryVec,
    pub(crate) refresh_duration_histogram: HistogramVec,
    pub(crate) file_read_errors: Counter,
    pub(crate) file_watcher_errors: Counter,
    pub(crate) file_scan_duration: Summary,
    pub(crate) file_mtime: GaugeVec,
    pub(crate) dns_lookups: Counter,
    pub(crate) dns_failures: Counter,
    pub(crate) http_failures: Counter,
    pub(crate) consul_rpc_failures: Counter,
    pub(crate) consul_rpc_duration: SummaryVec,
    pub(crate) kubernetes_events: CounterVec,
    pub(crate) kubernetes_failures: Counter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Metrics {
        let quantiles = || SummaryOptions::quantiles(&[(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)]);
        Metrics {
            discovered_targets: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            failed_configs: registry.gauge_vec(
                "prometheus_sd_failed_configs",
                "Current number of service discovery configurations that failed to load.",
                &["name"],
            ),
            received_updates: registry.counter_vec(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
                &["name"],
            ),
            delayed_updates: registry.counter_vec(
                "prometheus_sd_updates_delayed_total",
                "Total number of update events that couldn't be sent immediately.",
                &["name"],
            ),
            sent_updates: registry.counter_vec(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
                &["name"],
            ),
            refresh_failures: registry.counter_vec(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            ),
            refresh_duration: registry.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "The duration of a refresh in seconds for the given SD mechanism.",
                &["mechanism", "config"],
                SummaryOptions::quantiles(&[(0.5, 0.05), (0.99, 0.001)]),
            ),
            refresh_duration_histogram: registry.histogram_vec(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "The duration of a refresh for the given SD mechanism.",
                &["mechanism"],
                &[0.01, 0.1, 1.0, 10.0],
            ),
            file_read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "The number of File-SD read errors.",
            ),
            file_watcher_errors: registry.counter(
                "prometheus_sd_file_watcher_errors_total",
                "The number of File-SD errors caused by filesystem watch failures.",
            ),
            file_scan_duration: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                quantiles(),
            ),
            file_mtime: registry.gauge_vec(
                "prometheus_sd_file_mtime_seconds",
                "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.",
                &["filename"],
            ),
            dns_lookups: registry.counter(
                "prometheus_sd_dns_lookups_total",
                "The number of DNS-SD lookups.",
            ),
            dns_failures: registry.counter(
                "prometheus_sd_dns_lookup_failures_total",
                "The number of DNS-SD lookup failures.",
            ),
            http_failures: registry.counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            ),
            consul_rpc_failures: registry.counter(
                "prometheus_sd_consul_rpc_failures_total",
                "The number of Consul RPC call failures.",
            ),
            consul_rpc_duration: registry.summary_vec(
                "prometheus_sd_consul_rpc_duration_seconds",
                "The duration of a Consul RPC call in seconds.",
                &["endpoint", "call"],
                quantiles(),
            ),
            kubernetes_events: registry.counter_vec(
                "prometheus_sd_kubernetes_events_total",
                "The number of Kubernetes events handled.",
                &["role", "event"],
            ),
            kubernetes_failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "The number of failed WATCH/LIST requests.",
            ),
        }
    }
}
