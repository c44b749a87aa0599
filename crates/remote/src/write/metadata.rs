//! Types, units and help texts by themselves: how version 1.0 has them. They come from the targets, not
//! from the log.

use std::sync::Arc;
use std::time::Duration;

use model::Metadata;
use proto::prometheus::{MetricMetadata, WriteRequest};

use super::MetadataSource;
use super::shard::{Settled, Shared, with_backoff};
use crate::push::body;

/// Sends what the targets say now and then.
pub(crate) async fn run(
    shared: Arc<Shared>,
    source: MetadataSource,
    interval: Duration,
    per_send: usize,
) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.stopping.cancelled() => return,
        }
        let source = Arc::clone(&source);
        let Ok(all) = tokio::task::spawn_blocking(move || source()).await else {
            continue; // The panic was reported there.
        };
        for some in all.chunks(per_send.max(1)) {
            if let Settled::Stopped = send(&shared, some).await {
                return;
            }
        }
    }
}

async fn send(shared: &Shared, some: &[(String, Metadata)]) -> Settled {
    let entry = |(name, metadata): &(String, Metadata)| MetricMetadata {
        r#type: i32::from(tsdb_format::wal::record::metric_type_byte(
            metadata.metric_type,
        )),
        metric_family_name: name.clone(),
        help: metadata.help.clone(),
        unit: metadata.unit.clone(),
    };
    let request = WriteRequest {
        metadata: some.iter().map(entry).collect(),
        ..WriteRequest::default()
    };
    let body = body(&request);
    let metrics = &shared.metrics;
    metrics.metadata.add(some.len() as u64);
    metrics.metadata_bytes.add(body.len() as u64);
    let attempt = |tries| {
        let body = body.clone();
        async move { shared.push.attempt(body, tries).await.map(|_| ()) }
    };
    let retried = || metrics.metadata_retried.add(some.len() as u64);
    let (settled, error) = with_backoff(shared, attempt, retried).await;
    if let Some(error) = error {
        metrics.metadata_failed.add(some.len() as u64);
        tracing::error!(
            remote_name = shared.settings.name,
            url = shared.settings.shown_url,
            count = some.len(),
            err = %error,
            "non-recoverable error while sending metadata"
        );
    }
    settled
}
