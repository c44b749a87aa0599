//! `alertmanager_cluster_*` and what belongs to it.

use telemetry::{Counter, CounterVec, DEFAULT_BUCKETS, Gauge, GaugeVec, HistogramVec, Registry};

/// What the cluster counts; numbers of members are asked for at scrapes.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// By `msg_type`: `update` or `full_state`.
    pub received: CounterVec,
    /// Bytes, by `msg_type`.
    pub received_bytes: CounterVec,
    /// By `msg_type`.
    pub sent: CounterVec,
    /// Bytes, by `msg_type`.
    pub sent_bytes: CounterVec,
    /// Messages that were dropped because a member does not keep up.
    pub pruned: Counter,
    /// Messages that wait for being gossiped.
    pub queued: Gauge,
    /// Members that came.
    pub joined: Counter,
    /// Members that went.
    pub left: Counter,
    /// Members that came back as somebody else at the same address.
    pub updated: Counter,
    /// By `peer`: how often it was heard to be alive.
    pub alive: CounterVec,
    /// By `peer`.
    pub peer_info: GaugeVec,
    /// Members with the same name.
    pub name_conflicts: Counter,
    /// Attempts to find lost members again.
    pub reconnections: Counter,
    /// Those that failed.
    pub reconnections_failed: Counter,
    /// Attempts to find configured members that never were there.
    pub refresh_joins: Counter,
    /// Those that failed.
    pub refresh_joins_failed: Counter,
    /// By `key`: records too long for gossip.
    pub oversized_sent: CounterVec,
    /// By `key`.
    pub oversized_dropped: CounterVec,
    /// By `key`.
    pub oversized_failure: CounterVec,
    /// By `key`: how long such a record takes to be handed over.
    pub oversized_duration: HistogramVec,
    /// `alertmanager_silences_gossip_messages_propagated_total`.
    pub silences_propagated: Counter,
    /// `alertmanager_nflog_gossip_messages_propagated_total`.
    pub nflog_propagated: Counter,
}

/// Upstream's names of what is gossiped: silences and the notification log.
pub const KEYS: [&str; 2] = ["sil", "nfl"];

impl Metrics {
    /// Registers them, but for what is counted of silences and of the notification log in any case.
    pub fn new(
        registry: &Registry,
        silences_propagated: Counter,
        nflog_propagated: Counter,
    ) -> Metrics {
        let by_type = |name: &str, help: &str| {
            let family = registry.counter_vec(name, help, &["msg_type"]);
            family.with(&["update"]);
            family.with(&["full_state"]);
            family
        };
        let by_key = |name: &str, help: &str| {
            let family = registry.counter_vec(name, help, &["key"]);
            for key in KEYS {
                family.with(&[key]);
            }
            family
        };
        let oversized_duration = registry.histogram_vec(
            "alertmanager_oversize_gossip_message_duration_seconds",
            "Duration of oversized gossip message requests.",
            &["key"],
            DEFAULT_BUCKETS,
        );
        for key in KEYS {
            oversized_duration.with(&[key]);
        }
        Metrics {
            received: by_type(
                "alertmanager_cluster_messages_received_total",
                "Total number of cluster messages received.",
            ),
            received_bytes: by_type(
                "alertmanager_cluster_messages_received_size_total",
                "Total size of cluster messages received.",
            ),
            sent: by_type(
                "alertmanager_cluster_messages_sent_total",
                "Total number of cluster messages sent.",
            ),
            sent_bytes: by_type(
                "alertmanager_cluster_messages_sent_size_total",
                "Total size of cluster messages sent.",
            ),
            pruned: registry.counter(
                "alertmanager_cluster_messages_pruned_total",
                "Total number of cluster messages pruned.",
            ),
            queued: registry.gauge(
                "alertmanager_cluster_messages_queued",
                "Number of cluster messages which are queued.",
            ),
            joined: registry.counter(
                "alertmanager_cluster_peers_joined_total",
                "A counter of the number of peers that have joined.",
            ),
            left: registry.counter(
                "alertmanager_cluster_peers_left_total",
                "A counter of the number of peers that have left.",
            ),
            updated: registry.counter(
                "alertmanager_cluster_peers_update_total",
                "A counter of the number of peers that have updated metadata.",
            ),
            alive: registry.counter_vec(
                "alertmanager_cluster_alive_messages_total",
                "Total number of received alive messages.",
                &["peer"],
            ),
            peer_info: registry.gauge_vec(
                "alertmanager_cluster_peer_info",
                "A metric with a constant '1' value labeled by peer name.",
                &["peer"],
            ),
            name_conflicts: registry.counter(
                "alertmanager_cluster_peer_name_conflicts_total",
                "Total number of times memberlist has noticed conflicting peer names",
            ),
            reconnections: registry.counter(
                "alertmanager_cluster_reconnections_total",
                "A counter of the number of reconnections.",
            ),
            reconnections_failed: registry.counter(
                "alertmanager_cluster_reconnections_failed_total",
                "A counter of the number of failed cluster peer reconnection attempts.",
            ),
            refresh_joins: registry.counter(
                "alertmanager_cluster_refresh_join_total",
                "A counter of the number of cluster peer joined via refresh.",
            ),
            refresh_joins_failed: registry.counter(
                "alertmanager_cluster_refresh_join_failed_total",
                "A counter of the number of failed cluster peer joined attempts via refresh.",
            ),
            oversized_sent: by_key(
                "alertmanager_oversized_gossip_message_sent_total",
                "Number of oversized gossip message sent.",
            ),
            oversized_dropped: by_key(
                "alertmanager_oversized_gossip_message_dropped_total",
                "Number of oversized gossip messages that were dropped due to a full message queue.",
            ),
            oversized_failure: by_key(
                "alertmanager_oversized_gossip_message_failure_total",
                "Number of oversized gossip message sends that failed.",
            ),
            oversized_duration,
            silences_propagated,
            nflog_propagated,
        }
    }

    /// Counts a message that came.
    pub fn count_received(&self, kind: &str, bytes: usize) {
        self.received.with(&[kind]).inc();
        self.received_bytes.with(&[kind]).add(bytes as u64);
    }

    /// Counts a message that went.
    pub fn count_sent(&self, kind: &str, bytes: usize) {
        self.sent.with(&[kind]).inc();
        self.sent_bytes.with(&[kind]).add(bytes as u64);
    }
}
