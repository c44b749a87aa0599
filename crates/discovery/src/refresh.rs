//! Mechanisms that look at intervals (prometheus/prometheus `discovery/refresh`).

use std::future::Future;
use std::time::{Duration, Instant};

use crate::group::TargetGroup;
use crate::mechanism::Updates;
use crate::metrics::Metrics;

/// Looks once at once and then every `interval`, for ever. What a look finds is published; a look that
/// fails is counted and logged, and the last list holds.
pub(crate) async fn every<F, L>(
    interval: Duration,
    (mechanism, config): (&'static str, &str),
    metrics: &Metrics,
    updates: &Updates,
    mut look: L,
) where
    F: Future<Output = Result<Vec<TargetGroup>, String>> + Send,
    L: FnMut() -> F + Send,
{
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let labels = [mechanism, config];
    loop {
        ticks.tick().await;
        let begin = Instant::now();
        let result = look().await;
        let took = begin.elapsed();
        metrics
            .refresh_duration
            .with(&labels)
            .observe_duration(took);
        metrics
            .refresh_duration_histogram
            .with(&[mechanism])
            .observe_duration(took);
        match result {
            Ok(groups) => {
                updates.recovered(config);
                if !updates.send(groups).await {
                    return;
                }
            }
            Err(error) => {
                metrics.refresh_failures.with(&labels).inc();
                updates.failed(mechanism, config, &error);
            }
        }
    }
}
