//! The bridge's metrics about itself: upstream's `statsd_exporter_*`, and ours.

use std::collections::HashSet;

use parking_lot::Mutex;
use telemetry::{Counter, CounterVec, Gauge, Registry};

use crate::line::Reason;

/// Metric names that counters by metric name tell apart; what is more goes to [`OTHERS`].
const MAX_NAMES: usize = 1000;
const OTHERS: &str = "(other)";

/// Counters of the bridge; all handles are cheap.
pub(crate) struct Own {
    pub(crate) events: [Counter; 4],
    pub(crate) batches: Counter,
    pub(crate) unmapped: Counter,
    pub(crate) udp_packets: Counter,
    pub(crate) tcp_connections: Counter,
    pub(crate) tcp_errors: Counter,
    pub(crate) tcp_too_long: Counter,
    pub(crate) unixgram_packets: Counter,
    pub(crate) lines: Counter,
    pub(crate) samples: Counter,
    pub(crate) sample_errors: CounterVec,
    pub(crate) tags: Counter,
    pub(crate) tag_errors: Counter,
    pub(crate) reloads: CounterVec,
    pub(crate) mappings: Gauge,
    pub(crate) errors: CounterVec,
    pub(crate) mapped: CounterVec,
    pub(crate) cache_gets: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_length: Gauge,
    pub(crate) dogstatsd_events: Counter,
    pub(crate) dogstatsd_checks: Counter,
    conflicts: ByName,
    limited: ByName,
}

/// The values of label `type`, in the order of [`Own::events`].
pub(crate) const EVENT_TYPES: [&str; 4] = ["counter", "gauge", "observer", "set"];

/// Counters by metric name, and which names the log has told.
struct ByName {
    counters: CounterVec,
    told: Mutex<HashSet<Box<str>>>,
}

impl ByName {
    fn new(counters: CounterVec) -> ByName {
        ByName {
            counters,
            told: Mutex::default(),
        }
    }

    /// The name to count under, and whether it is the first time.
    fn name<'a>(&self, name: &'a str) -> (&'a str, bool) {
        let mut told = self.told.lock();
        if told.contains(name) {
            return (name, false);
        }
        if told.len() >= MAX_NAMES {
            return (OTHERS, false);
        }
        (name, told.insert(name.into()))
    }
}

impl Own {
    pub(crate) fn register(registry: &Registry) -> Own {
        let own = registry.with_prefix("statsd_exporter_");
        let events = own.counter_vec(
            "events_total",
            "The total number of StatsD events seen.",
            &["type"],
        );
        let cache = registry.with_prefix("statsd_metric_mapper_cache_");
        Own {
            events: EVENT_TYPES.map(|name| events.with(&[name])),
            batches: own.counter(
                "event_queue_flushed_total",
                "Number of times events were flushed to exporter",
            ),
            unmapped: own.counter(
                "events_unmapped_total",
                "The total number of StatsD events no mapping was found for.",
            ),
            udp_packets: own.counter(
                "udp_packets_total",
                "The total number of StatsD packets received over UDP.",
            ),
            tcp_connections: own.counter(
                "tcp_connections_total",
                "The total number of TCP connections handled.",
            ),
            tcp_errors: own.counter(
                "tcp_connection_errors_total",
                "The number of errors encountered reading from TCP.",
            ),
            tcp_too_long: own.counter(
                "tcp_too_long_lines_total",
                "The number of lines discarded due to being too long.",
            ),
            unixgram_packets: own.counter(
                "unixgram_packets_total",
                "The total number of StatsD packets received over Unixgram.",
            ),
            lines: own.counter("lines_total", "The total number of StatsD lines received."),
            samples: own.counter("samples_total", "The total number of StatsD samples received."),
            sample_errors: own.counter_vec(
                "sample_errors_total",
                "The total number of errors parsing StatsD samples.",
                &["reason"],
            ),
            tags: own.counter("tags_total", "The total number of DogStatsD tags processed."),
            tag_errors: own.counter(
                "tag_errors_total",
                "The number of errors parsing DogStatsD tags.",
            ),
            reloads: own.counter_vec(
                "config_reloads_total",
                "The number of configuration reloads.",
                &["outcome"],
            ),
            mappings: own.gauge(
                "loaded_mappings",
                "The current number of configured metric mappings.",
            ),
            errors: own.counter_vec(
                "events_error_total",
                "The total number of StatsD events discarded due to errors.",
                &["reason"],
            ),
            mapped: own.counter_vec(
                "events_actions_total",
                "The total number of StatsD events by action.",
                &["action"],
            ),
            cache_gets: cache.counter("gets_total", "The count of total metric cache gets."),
            cache_hits: cache.counter("hits_total", "The count of total metric cache hits."),
            cache_length: cache.gauge("length", "The count of unique metrics currently cached."),
            dogstatsd_events: own.counter(
                "dogstatsd_events_total",
                "DogStatsD events received; they are counted and go no further.",
            ),
            dogstatsd_checks: own.counter(
                "dogstatsd_service_checks_total",
                "DogStatsD service checks received; they are counted and go no further.",
            ),
            conflicts: ByName::new(own.counter_vec(
                "events_conflict_total",
                "The total number of StatsD events with conflicting names.",
                &["type", "metric_name"],
            )),
            limited: ByName::new(own.counter_vec(
                "events_limited_total",
                "StatsD events left out because their metric, or all together, would have too many series.",
                &["metric_name"],
            )),
        }
    }

    pub(crate) fn sample_error(&self, reason: Reason, count: u64) {
        self.sample_errors.with(&[reason.as_str()]).add(count);
    }

    pub(crate) fn conflict(&self, event_type: &str, name: &str) {
        let (name, first) = self.conflicts.name(name);
        if first {
            tracing::warn!(
                metric = name,
                r#type = event_type,
                "a metric of this name has another type or a forbidden label; its events of this type are left out and counted"
            );
        }
        self.conflicts.counters.with(&[event_type, name]).inc();
    }

    pub(crate) fn limit(&self, name: &str) {
        let (name, first) = self.limited.name(name);
        if first {
            tracing::warn!(
                metric = name,
                "too many series; new ones of this metric are left out and counted"
            );
        }
        self.limited.counters.with(&[name]).inc();
    }
}
