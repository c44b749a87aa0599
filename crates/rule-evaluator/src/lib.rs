//! rule-evaluator: Prometheus' rules in a process of their own, so that no query takes alerts down.
//!
//! It reads the same `prometheus.yml` as scraper-store, asks it over gRPC (`thanos.Query`) or any
//! server over HTTP, writes results back (`thanos.WriteableStore`, remote write) and sends alerts to alert-router (`firewatch.alerts.v1`) and
//! to the Alertmanagers of the file. What rules mean is in crate `rules`; here is the wiring:
//! [`run`] first, then `manager` (groups on time) and `notify` (queues to receivers).

mod api;
mod config;
mod endpoints;
mod flags;
mod grpc;
mod manager;
mod metrics;
mod notify;
mod query;
mod receivers;
mod restore;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use discovery::TargetSets;
use model::Labels;
use parking_lot::Mutex;
use rules::{AlertContext, RestoreLimits};
use service::{Boot, Error, Program};
use tokio::sync::watch;

use crate::manager::{Manager, Shared};
use crate::notify::{NamedSender, Notifier};
use crate::receivers::AlertmanagerSet;

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "rule-evaluator",
    about: "Evaluates Prometheus' recording and alerting rules against a scraper-store.",
    metric_prefix: "prometheus",
    listen: "0.0.0.0:9095",
    grpc: Some("0.0.0.0:10903"),
    flags: flags::FLAGS,
    lifecycle_flag: Some("web.enable-lifecycle"),
    quit: true,
    healthy_text: "rule-evaluator is Healthy.\n",
    ready_text: "rule-evaluator is Ready.\n",
    ..Program::DEFAULT
};

/// How long a stop waits for alerts that are still queued.
const DRAIN: Duration = Duration::from_secs(5);

/// What a reload changes.
struct Evaluator {
    path: PathBuf,
    features: promql::Features,
    external_url: String,
    manager: Arc<Manager>,
    notifier: Arc<Notifier>,
    external_labels: Arc<ArcSwap<Labels>>,
    discovery: Mutex<discovery::Manager>,
    targets: watch::Receiver<TargetSets>,
    sets: Mutex<BTreeMap<String, AlertmanagerSet>>,
    routers: Vec<NamedSender>,
}

impl Evaluator {
    /// Reads the files and puts them in force as a whole; on error everything stays as it is.
    async fn reload(&self) -> Result<(), String> {
        let loaded = config::load(&self.path, self.features)?;
        let sets = receivers::sets(&loaded.config)?;
        self.external_labels
            .store(Arc::new(loaded.external_labels.clone()));
        self.notifier
            .configure(loaded.external_labels.clone(), loaded.alert_relabel);
        let discovered = loaded.config.alerting.alertmanagers.iter().enumerate();
        let discovered = discovered.map(|(i, set)| (format!("config-{i}"), set.discovery.clone()));
        self.discovery.lock().apply(&discovered.collect());
        *self.sets.lock() = sets;
        self.find_receivers();
        let context = AlertContext {
            external_labels: loaded.external_labels,
            external_url: self.external_url.clone(),
        };
        self.manager.apply(loaded.groups, context).await;
        Ok(())
    }

    fn find_receivers(&self) {
        let mut wanted = self.routers.clone();
        wanted.extend(receivers::from_targets(
            &self.sets.lock(),
            &self.targets.borrow(),
        ));
        self.notifier.set_receivers(wanted);
    }
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// A configuration that is refused, an address that is taken or none.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let args = Arc::clone(&boot.args);
    let words = args.list("enable-feature").iter().map(String::as_str);
    let (features, others) = promql::Features::of_server(words);
    for word in others {
        tracing::warn!(option = word, "Unknown option for --enable-feature");
    }
    let notifier = Arc::new(Notifier::new(
        &boot.metrics,
        args.int("alertmanager.notification-queue-capacity").max(1) as usize,
        args.int("alertmanager.notification-batch-size").max(1) as usize,
    ));
    let millis = |name: &str| args.duration(name).as_millis() as i64;
    let shared = Arc::new(Shared {
        source: endpoints::source(&args)?,
        sink: endpoints::sink(&args)?,
        notifier: Arc::clone(&notifier),
        context: ArcSwap::default(),
        metrics: metrics::RuleMetrics::register(&boot.metrics),
        limits: RestoreLimits {
            outage_tolerance_ms: millis("rules.alert.for-outage-tolerance"),
            grace_period_ms: millis("rules.alert.for-grace-period"),
            ..RestoreLimits::default()
        },
        resend_delay_ms: millis("rules.alert.resend-delay"),
        concurrency: args.int("rules.max-concurrent-evals").max(1) as usize,
    });
    let manager = Arc::new(Manager::new(shared));
    let (discovery, targets) =
        discovery::Manager::new("notify", discovery::Metrics::new(&boot.metrics));
    let evaluator = Arc::new(Evaluator {
        path: PathBuf::from(args.str("config.file")),
        features,
        external_url: external_url(args.str("web.external-url")),
        manager: Arc::clone(&manager),
        notifier: Arc::clone(&notifier),
        external_labels: Arc::default(),
        discovery: Mutex::new(discovery),
        targets: targets.clone(),
        sets: Mutex::default(),
        routers: receivers::routers(args.list("alert-router.grpc-address")).map_err(Error::new)?,
    });

    let api = api::ApiState {
        manager: Arc::clone(&manager),
        receivers: Arc::clone(&notifier),
    };
    let landing = service::landing_page(
        PROGRAM.name,
        "Evaluates recording and alerting rules and sends alerts on.",
        &[
            ("api/v1/rules", "Rules"),
            ("api/v1/alerts", "Alerts"),
            ("api/v1/alertmanagers", "Receivers of alerts"),
            ("metrics", "Own metrics"),
        ],
    );
    boot.http(landing.merge(api::router(Arc::new(api)))).await?;
    let external_labels = Arc::clone(&evaluator.external_labels);
    let routes = grpc::routes(Arc::clone(&manager), external_labels).await?;
    boot.grpc(routes).await?;

    let loaded = evaluator.reload().await;
    boot.config_loaded(loaded.is_ok());
    loaded.map_err(|e| Error::new(format!("Error loading config: {e}")))?;
    let reloading = Arc::clone(&evaluator);
    boot.on_reload(move || {
        let evaluator = Arc::clone(&reloading);
        async move { evaluator.reload().await }
    });
    if boot.args.bool("config.auto-reload") {
        let path = PathBuf::from(boot.args.str("config.file"));
        let interval = boot.args.duration("config.auto-reload-interval");
        boot.reload_on_change(interval, move || prometheus_config::fingerprint(&path));
    }
    let follower = Arc::clone(&evaluator);
    let stop = boot.shutdown.clone();
    boot.spawn("receivers", async move {
        let mut targets = targets;
        loop {
            tokio::select! {
                () = stop.requested() => return Ok(()),
                changed = targets.changed() => match changed {
                    Ok(()) => follower.find_receivers(),
                    Err(_) => return Ok(()),
                },
            }
        }
    });
    boot.ready();
    boot.shutdown.requested().await;
    manager.stop().await;
    let drain = args.bool("alertmanager.drain-notification-queue-on-shutdown");
    notifier.stop(drain, DRAIN).await;
    Ok(())
}

/// The URL that alerts link back to: as given, or this host's scraper-store.
fn external_url(given: &str) -> String {
    if !given.is_empty() {
        return given.trim_end_matches('/').to_owned();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "http://{}:9090",
        if host.is_empty() { "localhost" } else { host }
    )
}
