//! The metrics that dashboards and alerts about Alertmanager use, under the same names.

use std::sync::Arc;

use telemetry::{Counter, CounterVec, Gauge, HistogramVec, Registry, Summary, SummaryOptions};

use crate::metrics_state::Kept;

/// Upstream's names of integrations: their series exist from the start.
pub const INTEGRATIONS: [&str; 18] = [
    "email",
    "pagerduty",
    "wechat",
    "pushover",
    "slack",
    "opsgenie",
    "webhook",
    "victorops",
    "sns",
    "telegram",
    "discord",
    "webex",
    "msteams",
    "msteamsv2",
    "incidentio",
    "jira",
    "rocketchat",
    "mattermost",
];

/// What the router counts as it goes; the rest is asked for at scrapes.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `alertmanager_alerts_received_total{status="firing"}`.
    pub received_firing: Counter,
    /// `alertmanager_alerts_received_total{status="resolved"}`.
    pub received_resolved: Counter,
    /// `alertmanager_alerts_invalid_total`.
    pub invalid: Counter,
    /// `alertmanager_alerts_limited_total`.
    pub limited: Counter,
    /// By `integration` (and `receiver_name`).
    pub notifications: CounterVec,
    /// By `integration`, (`receiver_name`,) `reason`.
    pub notifications_failed: CounterVec,
    /// By `integration` (and `receiver_name`).
    pub requests: CounterVec,
    /// By `integration` (and `receiver_name`).
    pub requests_failed: CounterVec,
    /// By `integration` (and `receiver_name`).
    pub latency: HistogramVec,
    /// By `reason`.
    pub suppressed: CounterVec,
    /// `alertmanager_dispatcher_alert_processing_duration_seconds`.
    pub processing: Summary,
    /// `alertmanager_integrations`.
    pub integrations: Gauge,
    /// `alertmanager_receivers`.
    pub receivers: Gauge,
    /// `alertmanager_config_hash`.
    pub config_hash: Gauge,
    /// How often the state log could not be written.
    pub log_failures: Counter,
    /// Requests beyond `--web.get-concurrency`.
    pub concurrency_exceeded: Counter,
    /// Requests under way, of those that count.
    pub requests_in_flight: Gauge,
    /// `alertmanager_silences_*`.
    pub silences: Kept,
    /// `alertmanager_nflog_*`.
    pub nflog: Kept,
    with_receiver: bool,
}

/// Reasons of failed notifications.
pub const FAILURE_REASONS: [&str; 8] = [
    "other",
    "clientError",
    "serverError",
    "contextCanceled",
    "contextDeadlineExceeded",
    "authError",
    "rateLimited",
    "templateError",
];

impl Metrics {
    /// Registers them. `with_receiver`: feature `receiver-name-in-metrics`.
    pub fn new(registry: &Registry, with_receiver: bool) -> Metrics {
        let received = registry.counter_vec(
            "alertmanager_alerts_received_total",
            "The total number of received alerts.",
            &["status", "version"],
        );
        let invalid = registry.counter_vec(
            "alertmanager_alerts_invalid_total",
            "The total number of received alerts that were invalid.",
            &["version"],
        );
        let labels: &[&str] = if with_receiver {
            &["integration", "receiver_name"]
        } else {
            &["integration"]
        };
        let failed_labels: Vec<&str> = labels.iter().copied().chain(["reason"]).collect();
        let metrics = Metrics {
            received_firing: received.with(&["firing", "v2"]),
            received_resolved: received.with(&["resolved", "v2"]),
            invalid: invalid.with(&["v2"]),
            limited: registry.counter(
                "alertmanager_alerts_limited_total",
                "Total number of alerts that were dropped due to per alert name limit",
            ),
            notifications: registry.counter_vec(
                "alertmanager_notifications_total",
                "The total number of attempted notifications.",
                labels,
            ),
            notifications_failed: registry.counter_vec(
                "alertmanager_notifications_failed_total",
                "The total number of failed notifications.",
                &failed_labels,
            ),
            requests: registry.counter_vec(
                "alertmanager_notification_requests_total",
                "The total number of attempted notification requests.",
                labels,
            ),
            requests_failed: registry.counter_vec(
                "alertmanager_notification_requests_failed_total",
                "The total number of failed notification requests.",
                labels,
            ),
            latency: registry.histogram_vec(
                "alertmanager_notification_latency_seconds",
                "The latency of notifications in seconds.",
                labels,
                &[1.0, 5.0, 10.0, 15.0, 20.0],
            ),
            suppressed: registry.counter_vec(
                "alertmanager_notifications_suppressed_total",
                "The total number of notifications suppressed for being silenced, inhibited, outside of active time intervals or within muted time intervals.",
                &["reason"],
            ),
            processing: registry.summary(
                "alertmanager_dispatcher_alert_processing_duration_seconds",
                "Summary of latencies for the processing of alerts.",
                SummaryOptions::default(),
            ),
            integrations: registry.gauge(
                "alertmanager_integrations",
                "Number of configured integrations.",
            ),
            receivers: registry.gauge(
                "alertmanager_receivers",
                "Number of configured receivers.",
            ),
            config_hash: registry.gauge(
                "alertmanager_config_hash",
                "Hash of the currently loaded alertmanager configuration. Note that this is not a cryptographically strong hash.",
            ),
            log_failures: registry.counter(
                "alertmanager_state_log_failures_total",
                "How often changes of the state could not be written to disk.",
            ),
            concurrency_exceeded: registry
                .counter_vec(
                    "alertmanager_http_concurrency_limit_exceeded_total",
                    "Total number of times an HTTP request failed because the concurrency limit was reached.",
                    &["method"],
                )
                .with(&["get"]),
            requests_in_flight: registry
                .gauge_vec(
                    "alertmanager_http_requests_in_flight",
                    "Current number of HTTP requests being processed.",
                    &["method"],
                )
                .with(&["get"]),
            silences: Kept::silences(registry),
            nflog: Kept::nflog(registry),
            with_receiver,
        };
        // What cannot happen here is there for those who watch it: silences are matched by compiled
        // matchers only, groups are made under one lock and without a limit.
        for (name, help) in [
            (
                "alertmanager_silences_gc_errors_total",
                "How many silence GC errors were encountered.",
            ),
            (
                "alertmanager_silences_matcher_compile_errors_total",
                "How many silence matcher compilations failed.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_creation_given_up_total",
                "Number of alerts dropped because aggregation group creation exceeded the retry limit.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_creation_retries_total",
                "Number of CAS retries while creating aggregation groups under contention.",
            ),
            (
                "alertmanager_dispatcher_aggregation_group_limit_reached_total",
                "Number of times when dispatcher failed to create new aggregation group due to limit.",
            ),
        ] {
            registry.counter(name, help);
        }
        for reason in [
            "silence",
            "inhibition",
            "mute_time_interval",
            "active_time_interval",
        ] {
            metrics.suppressed.with(&[reason]);
        }
        metrics
    }

    /// The label values of an integration of a receiver.
    pub fn labels<'a>(&self, integration: &'a str, receiver: &'a str) -> Vec<&'a str> {
        if self.with_receiver {
            vec![integration, receiver]
        } else {
            vec![integration]
        }
    }

    /// Makes the series of the integrations appear before anything is sent.
    pub fn expect(&self, integrations: impl IntoIterator<Item = (&'static str, Arc<str>)>) {
        let configured: Vec<(&str, Arc<str>)> = integrations.into_iter().collect();
        let stock = INTEGRATIONS.map(|name| (name, Arc::from("")));
        let all: &[(&str, Arc<str>)] = if self.with_receiver {
            &configured
        } else {
            &stock
        };
        for (integration, receiver) in all {
            let labels = self.labels(integration, receiver);
            self.notifications.with(&labels);
            self.requests.with(&labels);
            self.requests_failed.with(&labels);
            self.latency.with(&labels);
            for reason in FAILURE_REASONS {
                let labels: Vec<&str> = labels.iter().copied().chain([reason]).collect();
                self.notifications_failed.with(&labels);
            }
        }
    }
}
