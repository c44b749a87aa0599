//! Metrics of what is kept: silences and the notification log, by the same names with another prefix.

use telemetry::{Counter, DEFAULT_BUCKETS, Gauge, Histogram, Registry, Summary, SummaryOptions};

/// Of silences or of the notification log.
#[derive(Clone, Debug)]
pub struct Kept {
    /// How long forgetting what has expired took.
    pub gc_duration: Summary,
    /// How often it was tidied up and written anew.
    pub maintenance: Counter,
    /// How often that failed.
    pub maintenance_errors: Counter,
    /// How often it was asked.
    pub queries: Counter,
    /// How long the answers took.
    pub query_duration: Histogram,
    /// How long writing it anew took.
    pub snapshot_duration: Summary,
    /// How large it then was.
    pub snapshot_size: Gauge,
    /// News of other routers that were passed on.
    pub propagated: Counter,
}

impl Kept {
    /// Those of the notification log.
    pub fn nflog(registry: &Registry) -> Kept {
        Kept::new(registry, "nflog", "notification log")
    }

    /// Those of silences.
    pub fn silences(registry: &Registry) -> Kept {
        Kept::new(registry, "silences", "silence")
    }

    fn new(registry: &Registry, prefix: &str, what: &str) -> Kept {
        let name = |suffix: &str| format!("alertmanager_{prefix}_{suffix}");
        let counter = |suffix: &str, help: String| registry.counter(&name(suffix), &help);
        let summary = |suffix: &str, help: String| {
            registry.summary(&name(suffix), &help, SummaryOptions::default())
        };
        // Nothing is asked that could fail; the series are there for those who watch them.
        counter(
            "query_errors_total",
            format!("Number of {what} queries that failed."),
        );
        Kept {
            gc_duration: summary(
                "gc_duration_seconds",
                format!("Duration of the last {what} garbage collection cycle."),
            ),
            maintenance: counter(
                "maintenance_total",
                format!("How many maintenances were executed for the {what}."),
            ),
            maintenance_errors: counter(
                "maintenance_errors_total",
                format!("How many maintenances were executed for the {what} that failed."),
            ),
            queries: counter(
                "queries_total",
                format!("Number of {what} queries that were received."),
            ),
            query_duration: registry.histogram(
                &name("query_duration_seconds"),
                &format!("Duration of {what} query evaluation."),
                DEFAULT_BUCKETS,
            ),
            snapshot_duration: summary(
                "snapshot_duration_seconds",
                format!("Duration of the last {what} snapshot."),
            ),
            snapshot_size: registry.gauge(
                &name("snapshot_size_bytes"),
                &format!("Size of the last {what} snapshot in bytes."),
            ),
            propagated: counter(
                "gossip_messages_propagated_total",
                "Number of received gossip messages that have been further gossiped.".to_owned(),
            ),
        }
    }
}
