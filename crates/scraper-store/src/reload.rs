//! Putting a configuration in force, as a whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use model::Labels;
use parking_lot::Mutex;
use prometheus_config::{Config, LoadOptions};
use tsdb::db::Retention;

use crate::api::{Api, ConfigView};
use crate::notifications::CONFIG_FAILED;
use crate::remotes;

/// What a reload changes.
pub struct Reloader {
    pub path: PathBuf,
    pub api: Arc<Api>,
    pub scrapes: Arc<Mutex<scrape::Manager>>,
    pub external_labels: Arc<ArcSwap<Labels>>,
    pub remote_write: Arc<remote::write::WriteStorage>,
    /// The retention that flags ask for; the file's wins.
    pub flag_retention: Retention,
}

impl Reloader {
    /// Reads the file and puts it in force; on error everything stays as it is.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn reload(&self) -> Result<(), String> {
        let done = self.try_reload();
        let notifications = &self.api.notifications;
        match &done {
            Ok(()) => notifications.remove(CONFIG_FAILED),
            Err(_) => notifications.add(CONFIG_FAILED, (self.api.now)()),
        }
        if done.is_err() {
            let mut view = ConfigView::clone(&self.api.config.load());
            view.reload_success = false;
            self.api.config.store(Arc::new(view));
        }
        done
    }

    fn try_reload(&self) -> Result<(), String> {
        let options = LoadOptions {
            agent: self.api.db.is_none(),
            ..LoadOptions::default()
        };
        let config = Config::load(&self.path, &options).map_err(|e| e.to_string())?;
        let unavailable = config.unavailable();
        if !unavailable.is_empty() {
            return Err(format!(
                "{}: not available in this version of scraper-store: {}",
                self.path.display(),
                unavailable.join(", ")
            ));
        }
        let external_labels = config.global.external_labels();
        let endpoints = remotes::write_endpoints(&config);
        let remote_write = self.remote_write.check(endpoints, &external_labels)?;
        let stores = self.api.store.check(&config)?;
        let yaml = self.shown(&config).to_yaml().map_err(|e| e.to_string())?;
        (self.api.queries.log).set_file(&config.global.query_log_file)?;
        self.scrapes.lock().apply(config.all_scrape_configs())?;
        self.apply_storage(&config);
        let interval = config.global.evaluation_interval.as_ms();
        (self.api.queries.subquery_step_ms).store(interval.max(1), Ordering::Relaxed);
        self.remote_write.apply(remote_write);
        self.api.store.apply(stores);
        let api = &self.api;
        let otlp = remotes::otlp_settings(&config, api.lookback_delta_ms, api.features);
        self.api.otlp.store(Arc::new(otlp));
        self.external_labels
            .store(Arc::new(external_labels.clone()));
        self.api.config.store(Arc::new(ConfigView {
            yaml,
            external_labels,
            loaded_at_ms: (self.api.now)(),
            reload_success: true,
        }));
        Ok(())
    }

    /// The configuration as it is shown: with what flags add to it.
    fn shown(&self, config: &Config) -> Config {
        let mut shown = config.clone();
        let tsdb = shown.storage.tsdb.get_or_insert_default();
        let retention = tsdb.retention.get_or_insert_default();
        let flags = self.flag_retention;
        if retention.time.as_ms() <= 0 && flags.duration_ms > 0 {
            retention.time = yaml_config::Duration::from_millis(flags.duration_ms as u64);
        }
        if retention.size.bytes() == 0 && flags.max_bytes > 0 {
            retention.size = yaml_config::Size::from_bytes(flags.max_bytes);
        }
        if self.api.features.exemplar_storage {
            let exemplars = shown.storage.exemplars.get_or_insert_default();
            if exemplars.max_exemplars == 0 {
                exemplars.max_exemplars = crate::DEFAULT_EXEMPLARS as u64;
            }
        }
        shown
    }

    fn apply_storage(&self, config: &Config) {
        let Some(db) = &self.api.db else {
            return;
        };
        let tsdb = config.storage.tsdb.clone().unwrap_or_default();
        db.set_out_of_order_window_ms(tsdb.out_of_order_time_window.as_ms());
        db.set_stale_series_threshold(tsdb.stale_series_compaction_threshold.unwrap_or(0.0));
        if let Some(exemplars) = &config.storage.exemplars {
            db.set_max_exemplars(exemplars.max_exemplars as usize);
        }
        let mut retention = self.flag_retention;
        if let Some(section) = &tsdb.retention {
            if section.time.as_ms() > 0 {
                retention.duration_ms = section.time.as_ms();
            }
            if section.size.bytes() > 0 {
                retention.max_bytes = section.size.bytes();
            }
            if section.percentage > 0.0 {
                retention.max_percentage = section.percentage;
            }
        }
        db.set_retention(retention);
    }
}

/// The retention that flags ask for: 15 days where none does.
pub fn flag_retention(time_ms: i64, max_bytes: u64) -> Retention {
    let duration_ms = match (time_ms, max_bytes) {
        (0, 0) => tsdb::db::DEFAULT_RETENTION_MS,
        (time_ms, _) => time_ms,
    };
    Retention {
        duration_ms,
        max_bytes,
        max_percentage: 0.0,
    }
}

/// The retention as the runtime page shows it.
pub fn printed_retention(retention: &Retention) -> String {
    let mut parts = Vec::new();
    if retention.duration_ms > 0 {
        parts.push(model::duration::format_duration_ms(
            retention.duration_ms as u64,
        ));
    }
    if retention.max_bytes > 0 {
        parts.push(yaml_config::Size::from_bytes(retention.max_bytes).to_string());
    }
    parts.join(" or ")
}
