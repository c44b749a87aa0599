//! What is counted of samples that are sent to us, under upstream's names.

use remote::Written;
use remote::otlp::Taken;
use telemetry::{Counter, Registry};

/// The counters `prometheus_api_remote_write_*` and `prometheus_api_otlp_*`.
pub struct Received {
    invalid_labels: Counter,
    without_metadata: Counter,
    otlp_warnings: Counter,
}

impl Received {
    /// Registers them.
    pub fn new(registry: &Registry) -> Received {
        let metrics = registry.with_prefix("prometheus_api_");
        // Every sample of OTLP has metadata.
        metrics.counter(
            "otlp_appended_samples_without_metadata_total",
            "The total number of samples ingested from OTLP without corresponding metadata.",
        );
        Received {
            invalid_labels: metrics.counter(
                "remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            without_metadata: metrics.counter(
                "remote_write_without_metadata_appended_samples_total",
                "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
            ),
            otlp_warnings: metrics.counter(
                "otlp_rejected_data_points_total",
                "The total number of OTLP data points that could not be translated.",
            ),
        }
    }

    pub(super) fn write(&self, written: &Written) {
        self.invalid_labels.add(written.invalid_labels);
        self.without_metadata.add(written.without_metadata);
    }

    pub(super) fn otlp(&self, taken: &Taken) {
        self.otlp_warnings.add(taken.untranslated);
    }
}
