//! Reloading: one at a time, with metrics and log.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use telemetry::{Gauge, Registry};

use crate::Program;

type Handler =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The reload handler of a service and what came of its last call.
pub(crate) struct Reloads {
    handler: Mutex<Option<Handler>>,
    running: tokio::sync::Mutex<()>,
    /// Registered only for services that reload.
    gauges: OnceLock<(Gauge, Gauge)>,
    registry: Registry,
    prefix: &'static str,
}

impl Reloads {
    pub fn new(program: &Program, registry: &Registry) -> Reloads {
        Reloads {
            handler: Mutex::new(None),
            running: tokio::sync::Mutex::new(()),
            gauges: OnceLock::new(),
            registry: registry.clone(),
            prefix: program.metric_prefix,
        }
    }

    pub fn set<F, Fut, E>(&self, handler: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let handler: Handler = Arc::new(move || {
            let reload = handler();
            Box::pin(async move { reload.await.map_err(|error| error.to_string()) })
        });
        *self.handler.lock() = Some(handler);
        self.gauges();
    }

    /// Runs the handler, after any reload that is under way.
    pub async fn run(&self) -> Result<(), String> {
        let Some(handler) = self.handler.lock().clone() else {
            return Ok(());
        };
        let _one_at_a_time = self.running.lock().await;
        let result = handler().await;
        self.note(result.is_ok());
        match &result {
            Ok(()) => tracing::info!("Completed loading of configuration"),
            Err(error) => {
                tracing::error!(err = %error, "Error reloading config, the old one stays in force");
            }
        }
        result
    }

    pub fn note(&self, success: bool) {
        let (successful, timestamp) = self.gauges();
        successful.set(f64::from(u8::from(success)));
        if success {
            timestamp.set(jiff::Timestamp::now().as_millisecond() as f64 / 1e3);
        }
    }

    fn gauges(&self) -> &(Gauge, Gauge) {
        self.gauges.get_or_init(|| {
            let prefix = self.prefix;
            (
                self.registry.gauge(
                    &format!("{prefix}_config_last_reload_successful"),
                    "Whether the last configuration reload attempt was successful.",
                ),
                self.registry.gauge(
                    &format!("{prefix}_config_last_reload_success_timestamp_seconds"),
                    "Timestamp of the last successful configuration reload.",
                ),
            )
        })
    }
}
