//! scraper-store: takes the place of the Prometheus server. It scrapes, stores in Prometheus' own
//! format and answers PromQL over HTTP API v1 and gRPC; rules run in rule-evaluator.
//!
//! Everything here is wiring: [`run`] first, then `api` (one endpoint a file), `grpc`, `reload`.

pub mod api;
pub mod features;
mod flags;
mod gate;
mod grpc;
mod handlers;
mod local;
pub mod notifications;
pub mod queries;
mod reload;
pub mod remotes;
mod uploads;
mod user_assets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use model::Labels;
use parking_lot::Mutex;
use service::{Boot, Error, HttpOptions, Program};
use tsdb::Db;
use tsdb::db::Progress;

use crate::api::status::ServerStatus;
use crate::api::{Api, RulesSource};
use crate::gate::Gate;
use crate::local::Local;
use crate::notifications::Notifications;
use crate::reload::Reloader;

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "scraper-store",
    about: "Scrapes, stores and queries metrics: takes the place of the Prometheus server.",
    metric_prefix: "prometheus",
    listen: "0.0.0.0:9090",
    grpc: Some("0.0.0.0:10901"),
    flags: flags::FLAGS,
    style: service::FlagStyle::Prometheus,
    lifecycle_flag: Some("web.enable-lifecycle"),
    quit: true,
    healthy_text: "Prometheus Server is Healthy.\n",
    ready_text: "Prometheus Server is Ready.\n",
    ..Program::DEFAULT
};

/// Remote write requests of up to this many bytes after decompression are taken.
const MAX_WRITE_BYTES: usize = 128 << 20;

/// The largest block where the flags do not say: 31 days.
const MAX_BLOCK_MS: i64 = 31 * 24 * 3_600_000;
/// Exemplars that are kept where the configuration does not say.
const DEFAULT_EXEMPLARS: usize = 100_000;

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// A configuration or data folder that is refused, an address that is taken.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let started_ms = now_ms();
    flags::note_idle(&boot.args);
    local::check_flags(&boot.args)?;
    features::check(&boot.args)?;
    let web = WebPaths::new(&boot);
    let progress = Arc::new(Progress::default());
    let gate = Gate::new(Arc::clone(&progress));
    let options = HttpOptions {
        prefix: web.prefix.clone(),
        max_connections: Some(boot.args.count("web.max-connections")),
        read_timeout: Some(boot.args.duration("web.read-timeout")),
        handlers: Some(handlers::HANDLERS),
        ..HttpOptions::default()
    };
    // The pages are there before the store is: they show how far its start has come.
    let pages = web_ui::store(boot.args.str("web.page-title"));
    let pages = pages.merge(user_assets::router(boot.args.str("web.user-assets")));
    let addresses = boot.http_with(pages.merge(gate.router()), options).await?;
    let ready = boot.metrics.gauge(
        "prometheus_ready",
        "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
    );

    let retention = reload::flag_retention(
        boot.args
            .duration("storage.tsdb.retention.time")
            .as_millis() as i64,
        boot.args.size("storage.tsdb.retention.size"),
    );
    let local = match boot.args.bool("agent") {
        true => {
            progress.done.store(true, Ordering::Release);
            Local::Agent(local::open_agent(&boot).await?)
        }
        false => Local::Server(open_store(&boot, retention, Arc::clone(&progress)).await?),
    };
    let notifications = Arc::new(Notifications::new(
        boot.args.count("web.max-notifications-subscribers"),
        &boot.metrics,
    ));
    notifications.add(notifications::STARTING, started_ms);
    tell_of_stop(&boot, &notifications);
    let api = build_api(&boot, &local, progress, Arc::clone(&notifications), |api| {
        if retention.duration_ms > 0 {
            // What these flags come to, as upstream shows them.
            let mut show = |flag: &str, ms: i64| {
                let text = model::duration::format_duration_ms(ms.max(0) as u64);
                api.flags.insert(flag.to_owned(), text);
            };
            show("storage.tsdb.retention.time", retention.duration_ms);
            if boot
                .args
                .duration("storage.tsdb.max-block-duration")
                .is_zero()
            {
                let most = retention.duration_ms / 10;
                show("storage.tsdb.max-block-duration", most.min(MAX_BLOCK_MS));
            }
        }
        let prefix = if web.prefix.is_empty() {
            "/"
        } else {
            &web.prefix
        };
        api.flags
            .insert("web.route-prefix".to_owned(), prefix.to_owned());
        api.status = ServerStatus {
            start_ms: started_ms,
            working_dir: std::env::current_dir()
                .map(|d| d.display().to_string())
                .unwrap_or_default(),
            hostname: hostname(),
            storage_retention: reload::printed_retention(&retention),
            listen_port: addresses
                .first()
                .map(|a| a.port().to_string())
                .unwrap_or_default(),
            external_scheme: web.scheme.clone(),
            external_host: web.host.clone(),
        };
    })?;
    let scrapes = Arc::clone(
        api.scrapes
            .as_ref()
            .ok_or_else(|| Error::new("no scrape manager"))?,
    );
    let external_labels: Arc<ArcSwap<Labels>> = Arc::default();
    let remote_write = Arc::new(remotes::write_storage(&boot, &local, &scrapes));
    let reloader = Arc::new(Reloader {
        remote_write: Arc::clone(&remote_write),
        path: PathBuf::from(boot.args.str("config.file")),
        api: Arc::clone(&api),
        scrapes: Arc::clone(&scrapes),
        external_labels: Arc::clone(&external_labels),
        flag_retention: retention,
    });
    let loaded = reloader.reload();
    boot.config_loaded(loaded.is_ok());
    if let Err(error) = loaded {
        local.close()?;
        return Err(Error::new(format!("Error loading config: {error}")));
    }
    let reloading = Arc::clone(&reloader);
    boot.on_reload(move || {
        let reloader = Arc::clone(&reloading);
        async move { reloader.reload() }
    });
    if boot.args.bool("config.auto-reload") || api.features.auto_reload {
        let interval = boot.args.duration("config.auto-reload-interval");
        let path = reloader.path.clone();
        boot.reload_on_change(interval, move || prometheus_config::fingerprint(&path));
    }
    if let Some(db) = local.db() {
        let (api, db) = (Arc::clone(&api), Arc::clone(db));
        let rules = remote_rules(&boot.args)?;
        let routes = grpc::routes(api, db, external_labels, rules).await?;
        boot.grpc(routes).await?;
    }
    // From here on samples are taken; queries are let through when the log has been read.
    gate.open(api::router(Arc::clone(&api)));
    let replayed = tokio::task::spawn_blocking({
        let local = local.clone();
        move || local.replayed()
    });
    tokio::select! {
        replayed = replayed => {
            let replayed =
                replayed.map_err(|_| Error::new("opening the store panicked; see the log"))?;
            if let Err(error) = replayed {
                stop(&scrapes, &remote_write, local).await?;
                return Err(Error::new(format!("opening storage failed: {error}")));
            }
            notifications.remove(notifications::STARTING);
            boot.ready();
            ready.set(1.0);
            boot.shutdown.requested().await;
        }
        () = boot.shutdown.requested() => {}
    }
    stop(&scrapes, &remote_write, local).await
}

/// When the server stops its listeners are told, and their streams end: open ones would hold up the stop.
fn tell_of_stop(boot: &Boot, notifications: &Arc<Notifications>) {
    let shutdown = boot.shutdown.clone();
    let notifications = Arc::clone(notifications);
    boot.spawn("notifications", async move {
        shutdown.requested().await;
        notifications.add(notifications::STOPPING, now_ms());
        notifications.close();
        Ok(())
    });
}

/// Ends the scrapes, sends what they brought, then closes the store.
#[expect(
    clippy::await_holding_lock,
    reason = "the last user of the lock; requests that still wait for it do so on blocking threads"
)]
async fn stop(
    scrapes: &Mutex<scrape::Manager>,
    remote_write: &remote::write::WriteStorage,
    local: Local,
) -> Result<(), Error> {
    // Nobody else changes the jobs any more.
    scrapes.lock().shutdown().await;
    remote_write.stop().await;
    let closed = tokio::task::spawn_blocking(move || local.close()).await;
    closed.map_err(|_| Error::new("closing the store panicked; see the log"))??;
    Ok(())
}

async fn open_store(
    boot: &Boot,
    retention: tsdb::db::Retention,
    progress: Arc<Progress>,
) -> Result<Arc<Db>, Error> {
    let args = &boot.args;
    let millis = |name: &str| args.duration(name).as_millis() as i64;
    let compression = local::compression(args, "storage.tsdb.wal-compression");
    let mut options = tsdb::Options::new(args.str("storage.tsdb.path"));
    options.registry = boot.metrics.clone();
    options.no_lockfile = args.bool("storage.tsdb.no-lockfile");
    options.retention = retention;
    options.min_block_duration_ms = millis("storage.tsdb.min-block-duration");
    options.max_block_duration_ms = millis("storage.tsdb.max-block-duration");
    options.wal_compression = compression;
    let segment_bytes = args.size("storage.tsdb.wal-segment-size");
    if segment_bytes > 0 {
        options.wal_segment_bytes = segment_bytes;
    }
    if features::of(args).1.exemplar_storage {
        options.max_exemplars = DEFAULT_EXEMPLARS;
    }
    options.samples_per_chunk = args
        .int("storage.tsdb.samples-per-chunk")
        .clamp(1, i64::from(u16::MAX)) as u16;
    options.keep_block = uploads::keep_block(args.str("storage.tsdb.delay-compact-file.path"));
    options.block_reload_interval_ms = millis("storage.tsdb.block-reload-interval").max(1000);
    options.block_segment_bytes = match args.size("storage.tsdb.max-block-chunk-segment-size") {
        0 => options.block_segment_bytes,
        bytes if bytes < 1 << 20 => {
            let text = "flag 'storage.tsdb.max-block-chunk-segment-size' must be set over 1MB";
            return Err(Error::new(text));
        }
        bytes => bytes.min(options.block_segment_bytes),
    };
    options.overlapping_compaction = args.bool("storage.tsdb.allow-overlapping-compaction");
    let opened = tokio::task::spawn_blocking(move || Db::open_early(options, progress)).await;
    let db = opened.map_err(|_| Error::new("opening the store panicked; see the log"))?;
    Ok(Arc::new(db.map_err(|e| {
        Error::new(format!("opening storage failed: {e}"))
    })?))
}

fn build_api(
    boot: &Boot,
    local: &Local,
    progress: Arc<Progress>,
    notifications: Arc<Notifications>,
    finish: impl FnOnce(&mut Api),
) -> Result<Arc<Api>, Error> {
    let args = &boot.args;
    let (features, server) = features::of(args);
    let lookback_delta_ms = args.duration("query.lookback-delta").as_millis() as i64;
    let timeout = args.duration("query.timeout");
    let queries = queries::Queries::new(args.count("query.max-concurrency").max(1), &boot.metrics);
    let subquery_step_ms = Arc::clone(&queries.subquery_step_ms);
    let engine = promql::Engine::new(promql::EngineOptions {
        max_samples: args.int("query.max-samples").max(0) as u64,
        timeout,
        lookback_delta_ms,
        features,
        delayed_name_removal: server.delayed_name_removal,
        type_and_unit_labels: server.type_and_unit_labels,
        total_bytes: args.size("query.max-memory"),
        default_subquery_step: Arc::new(move |_| subquery_step_ms.load(Ordering::Relaxed)),
        ..promql::EngineOptions::default()
    });
    let rules = remote_rules(args)?.map(|rules| Arc::new(rules) as Arc<dyn RulesSource>);
    let scrapes = scrape::Manager::new(
        local.appendable(),
        scrape::Metrics::new(&boot.metrics),
        discovery::Metrics::new(&boot.metrics),
        scrape::Options {
            offset_seed: seed(&hostname()),
            extra_metrics: server.extra_scrape_metrics,
            store_metadata: server.metadata_records,
            type_and_unit_labels: server.type_and_unit_labels,
            timestamp_tolerance: match args.bool("scrape.adjust-timestamps") {
                true => args.duration("scrape.timestamp-tolerance"),
                false => Duration::ZERO,
            },
            ..scrape::Options::default()
        },
    );
    let cors_origin = golang::regexp::Regexp::anchored(args.str("web.cors.origin"))?;
    let messages = args.list("web.remote-write-receiver.accepted-protobuf-messages");
    let mut api = Api {
        engine: Arc::new(engine),
        store: Arc::new(remotes::Stores::new(local.db().cloned(), &boot.metrics)),
        read: api::read::Limits::new(
            args.count("storage.remote.read-concurrent-limit").max(1),
            args.int("storage.remote.read-sample-limit").max(0) as u64,
            args.count("storage.remote.read-max-bytes-in-frame"),
            &boot.metrics,
        ),
        db: local.db().cloned(),
        scrapes: Some(Arc::new(Mutex::new(scrapes))),
        config: Arc::default(),
        flags: args
            .as_strings()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        rules,
        now: Arc::new(now_ms),
        lookback_delta_ms,
        timeout,
        queries: Arc::new(queries),
        features: server,
        notifications,
        enable_admin: args.bool("web.enable-admin-api"),
        enable_remote_write: args.bool("web.enable-remote-write-receiver"),
        enable_otlp: args.bool("web.enable-otlp-receiver"),
        otlp: ArcSwap::default(),
        appendable: local.appendable(),
        accepted_messages: messages.to_vec(),
        receiver: Arc::new(
            remote::Receiver::new(MAX_WRITE_BYTES)
                .with_clock(Arc::new(now_ms))
                .with_type_and_unit_labels(server.type_and_unit_labels),
        ),
        deltas: server.otlp_summed_deltas.then(Arc::default),
        received: api::received::Received::new(&boot.metrics),
        federation: api::federate::Faults::new(&boot.metrics),
        cors_origin,
        replay: progress,
        metrics: boot.metrics.clone(),
        status: ServerStatus::default(),
    };
    finish(&mut api);
    Ok(Arc::new(api))
}

/// The rule-evaluator whose rules are shown, where one is named.
fn remote_rules(args: &service::Args) -> Result<Option<grpc::RemoteRules>, Error> {
    match args.str("rule-evaluator.grpc-address") {
        "" => Ok(None),
        address => {
            let rules = grpc::RemoteRules::new(address)
                .map_err(|reason| Error::new(format!("--rule-evaluator.grpc-address: {reason}")))?;
            Ok(Some(rules))
        }
    }
}

/// Servers with the same configuration on different hosts scrape at different moments.
fn seed(hostname: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    hostname.hash(&mut hasher);
    hasher.finish()
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Where the server is reached: by the flags, or by its host's name.
struct WebPaths {
    scheme: String,
    host: String,
    prefix: String,
}

impl WebPaths {
    fn new(boot: &Boot) -> WebPaths {
        let external = boot.args.str("web.external-url");
        let (scheme, rest) = external.split_once("://").unwrap_or(("http", external));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let prefix = match boot.args.str("web.route-prefix") {
            "" => path,
            prefix => prefix,
        };
        let host = if host.is_empty() {
            format!("{}:9090", hostname())
        } else {
            host.to_owned()
        };
        WebPaths {
            scheme: scheme.to_owned(),
            host,
            prefix: prefix.trim_end_matches('/').to_owned(),
        }
    }
}
