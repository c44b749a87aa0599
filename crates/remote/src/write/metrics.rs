//! `prometheus_remote_storage_*` and `prometheus_wal_watcher_*`, under upstream's names.

use telemetry::{
    Counter, CounterVec, DEFAULT_BUCKETS, Gauge, GaugeVec, Histogram, HistogramVec, Registry,
};

use super::batch::{Counts, Kind};

const LABELS: [&str; 2] = ["remote_name", "url"];
const WITH_REASON: [&str; 3] = ["remote_name", "url", "reason"];

/// A counter for each kind of entry.
#[derive(Clone)]
pub(crate) struct ByKind([Counter; 3]);

impl ByKind {
    pub fn add(&self, counts: Counts) {
        for (counter, count) in self.0.iter().zip(counts) {
            counter.add(count);
        }
    }
}

/// Why entries are not sent; upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    TooOld,
    DroppedSeries,
    UnknownSeries,
    CustomBuckets,
}

impl Reason {
    const ALL: [(Reason, &'static str); 4] = [
        (Reason::TooOld, "too_old"),
        (Reason::DroppedSeries, "dropped_series"),
        (Reason::UnknownSeries, "unintentionally_dropped_series"),
        (Reason::CustomBuckets, "nhcb_in_rw1_not_supported"),
    ];
}

/// The families; each queue has its own metrics of them.
pub(crate) struct Metrics {
    total: [CounterVec; 3],
    failed: [CounterVec; 3],
    retried: [CounterVec; 3],
    dropped: [CounterVec; 3],
    pending: [GaugeVec; 3],
    metadata: [CounterVec; 4],
    enqueue_retries: CounterVec,
    bytes: CounterVec,
    batch_seconds: HistogramVec,
    gauges: [GaugeVec; 8],
    records_read: CounterVec,
    decode_failures: CounterVec,
    segment: GaugeVec,
    segments_missed: CounterVec,
}

const GAUGES: [(&str, &str); 8] = [
    (
        "queue_highest_sent_timestamp_seconds",
        "Timestamp from a WAL sample, the highest timestamp successfully sent by this queue, in seconds since epoch.",
    ),
    (
        "queue_highest_timestamp_seconds",
        "Highest timestamp that was enqueued, in seconds since epoch.",
    ),
    (
        "shard_capacity",
        "The capacity of each shard of the queue used for parallel sending to the remote storage.",
    ),
    (
        "shards",
        "The number of shards used for parallel sending to the remote storage.",
    ),
    (
        "shards_max",
        "The maximum number of shards that the queue is allowed to run.",
    ),
    (
        "shards_min",
        "The minimum number of shards that the queue is allowed to run.",
    ),
    (
        "shards_desired",
        "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
    ),
    (
        "max_samples_per_send",
        "The maximum number of samples to be sent, in a single request, to the remote storage. Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limit.",
    ),
];

impl Metrics {
    pub fn new(registry: &Registry) -> Metrics {
        let remote = registry.with_prefix("prometheus_remote_storage_");
        let watcher = registry.with_prefix("prometheus_wal_watcher_");
        let kinds = ["samples", "histograms", "exemplars"];
        let family = |suffix: &str, help: &str, labels: &[&str]| {
            kinds.map(|kind| {
                let help = help.replace("{}", kind);
                remote.counter_vec(&format!("{kind}_{suffix}"), &help, labels)
            })
        };
        let plain = |name: &str, help: &str| remote.counter_vec(name, help, &LABELS);
        let mut buckets = DEFAULT_BUCKETS.to_vec();
        buckets.extend([25.0, 60.0, 120.0, 300.0]);
        Metrics {
            total: family("total", "Total number of {} sent to remote storage.", &LABELS),
            failed: family("failed_total", "Total number of {} which failed on send to remote storage, non-recoverable errors.", &LABELS),
            retried: family("retried_total", "Total number of {} which failed on send to remote storage but were retried because the send error was recoverable.", &LABELS),
            dropped: family("dropped_total", "Total number of {} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID.", &WITH_REASON),
            pending: kinds.map(|kind| {
                let help = format!("The number of {kind} pending in the queues shards to be sent to the remote storage.");
                remote.gauge_vec(&format!("{kind}_pending"), &help, &LABELS)
            }),
            metadata: [
                plain("metadata_total", "Total number of metadata entries sent to remote storage."),
                plain("metadata_failed_total", "Total number of metadata entries which failed on send to remote storage, non-recoverable errors."),
                plain("metadata_retried_total", "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable."),
                plain("metadata_bytes_total", "The total number of bytes of metadata sent by the queue after compression."),
            ],
            enqueue_retries: plain("enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full."),
            bytes: plain("bytes_total", "The total number of bytes of data (not metadata) sent by the queue after compression. Note that when exemplars over remote write is enabled the exemplars included in a remote write request count towards this metric."),
            batch_seconds: remote.histogram_vec("sent_batch_duration_seconds", "Duration of send calls to the remote storage.", &LABELS, &buckets),
            gauges: GAUGES.map(|(name, help)| remote.gauge_vec(name, help, &LABELS)),
            records_read: watcher.counter_vec("records_read_total", "Number of records read by the WAL watcher from the WAL.", &["consumer", "type"]),
            decode_failures: watcher.counter_vec("record_decode_failures_total", "Number of records read by the WAL watcher that resulted in an error when decoding.", &["consumer"]),
            segment: watcher.gauge_vec("current_segment", "Current segment the WAL watcher is reading records from.", &["consumer"]),
            segments_missed: watcher.counter_vec("segments_missed_total", "Segments that were dropped before they were read: the queue was behind for longer than the log is kept for it.", &["consumer"]),
        }
    }

    /// The metrics of a queue.
    pub fn queue(&self, name: &str, url: &str) -> QueueMetrics {
        let labels = [name, url];
        let by_kind = |family: &[CounterVec; 3]| ByKind(family.each_ref().map(|f| f.with(&labels)));
        let [
            highest_sent,
            highest,
            capacity,
            shards,
            max,
            min,
            desired,
            per_send,
        ] = self.gauges.each_ref().map(|g| g.with(&labels));
        let [metadata, metadata_failed, metadata_retried, metadata_bytes] =
            self.metadata.each_ref().map(|m| m.with(&labels));
        QueueMetrics {
            total: by_kind(&self.total),
            failed: by_kind(&self.failed),
            retried: by_kind(&self.retried),
            dropped: Reason::ALL.map(|(_, reason)| {
                let labels = [name, url, reason];
                ByKind(self.dropped.each_ref().map(|f| f.with(&labels)))
            }),
            pending: self.pending.each_ref().map(|f| f.with(&labels)),
            metadata,
            metadata_failed,
            metadata_retried,
            metadata_bytes,
            enqueue_retries: self.enqueue_retries.with(&labels),
            bytes: self.bytes.with(&labels),
            batch_seconds: self.batch_seconds.with(&labels),
            highest_sent,
            highest,
            capacity,
            shards,
            max,
            min,
            desired,
            per_send,
            records_read: RECORD_TYPES.map(|kind| self.records_read.with(&[name, kind])),
            decode_failures: self.decode_failures.with(&[name]),
            segment: self.segment.with(&[name]),
            segments_missed: self.segments_missed.with(&[name]),
        }
    }

    /// Forgets a queue that is gone.
    pub fn forget(&self, name: &str, url: &str) {
        let labels = [name, url];
        let counters = [&self.enqueue_retries, &self.bytes];
        let families = [&self.total, &self.failed, &self.retried];
        for family in families
            .into_iter()
            .flatten()
            .chain(counters)
            .chain(&self.metadata)
        {
            family.remove(&labels);
        }
        for family in &self.dropped {
            for (_, reason) in Reason::ALL {
                family.remove(&[name, url, reason]);
            }
        }
        for gauge in self.pending.iter().chain(&self.gauges) {
            gauge.remove(&labels);
        }
        self.batch_seconds.remove(&labels);
        self.records_read.retain(|values| values[0] != name);
        for counter in [&self.decode_failures, &self.segments_missed] {
            counter.remove(&[name]);
        }
        self.segment.remove(&[name]);
    }
}

/// The types of records by their first byte; 0 for those that are not known.
const RECORD_TYPES: [&str; 15] = [
    "unknown",
    "series",
    "samples",
    "tombstones",
    "exemplars",
    "mmapmarkers",
    "metadata",
    "histogram_samples",
    "float_histogram_samples",
    "custom_buckets_histogram_samples",
    "custom_buckets_float_histogram_samples",
    "samples_v2",
    "histogram_samples_v2",
    "float_histogram_samples_v2",
    "min_valid_time",
];

/// The metrics of a queue.
pub(crate) struct QueueMetrics {
    pub total: ByKind,
    pub failed: ByKind,
    pub retried: ByKind,
    dropped: [ByKind; 4],
    pending: [Gauge; 3],
    pub metadata: Counter,
    pub metadata_failed: Counter,
    pub metadata_retried: Counter,
    pub metadata_bytes: Counter,
    pub enqueue_retries: Counter,
    pub bytes: Counter,
    pub batch_seconds: Histogram,
    pub highest_sent: Gauge,
    pub highest: Gauge,
    pub capacity: Gauge,
    pub shards: Gauge,
    pub max: Gauge,
    pub min: Gauge,
    pub desired: Gauge,
    pub per_send: Gauge,
    records_read: [Counter; 15],
    pub decode_failures: Counter,
    pub segment: Gauge,
    pub segments_missed: Counter,
}

impl QueueMetrics {
    pub fn drop_one(&self, kind: Kind, reason: Reason) {
        let mut counts = [0; 3];
        counts[kind as usize] = 1;
        self.dropped(counts, reason);
    }

    pub fn dropped(&self, counts: Counts, reason: Reason) {
        self.dropped[reason as usize].add(counts);
    }

    pub fn pending_one(&self, kind: Kind) {
        self.pending[kind as usize].inc();
    }

    pub fn pending(&self, counts: Counts, sign: f64) {
        for (gauge, count) in self.pending.iter().zip(counts) {
            if count > 0 {
                gauge.add(sign * count as f64);
            }
        }
    }

    pub fn record(&self, record: &[u8]) {
        let kind = record.first().map_or(0, |byte| usize::from(*byte));
        self.records_read[if kind < RECORD_TYPES.len() { kind } else { 0 }].inc();
    }
}
