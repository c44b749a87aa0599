//! From the command line to a running service.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exposition::{Family, Metric, Value};
use jiff::Timestamp;
use model::MetricType;
use service::{Args, Boot, Error, HttpOptions};
use telemetry::Registry;

use crate::api::Api;
use crate::clock::Clock;
use crate::cluster::tls::Tls;
use crate::cluster::{self, Cluster};
use crate::engine::{Engine, Intervals, Live};
use crate::flags::FEATURES;
use crate::handlers;
use crate::matcher::Mode;
use crate::metrics::Metrics;
use crate::moment;
use crate::router::{Router, Settings};
use crate::silence::{Limits, State};
use crate::store::upstream;
use crate::store::wal::{self, Replay, Wal};
use crate::store::writer::Writer;
use crate::{grpc, live};

/// Runs the service until it is asked to stop.
///
/// # Errors
/// What keeps it from starting: flags, configuration, state on disk, ports.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let args = boot.args.clone();
    let features = Features::parse(args.str("enable-feature"))?;
    let clustered = cluster_options(&args)?;
    let hostname = hostname();
    let external_url = external_url(&args, &hostname)?;
    let config_file = PathBuf::from(args.str("config.file"));
    let load = {
        let (hostname, external_url) = (hostname.clone(), external_url.clone());
        move || live::load(&config_file, features.mode, &external_url, &hostname)
    };
    let first = load().map_err(|e| {
        boot.config_loaded(false);
        Error::new(format!("Loading configuration file failed: {e}"))
    })?;

    let settings = settings(&args, features.mode);
    let now = Timestamp::now();
    let (router, writer) = open(
        Path::new(args.str("storage.path")),
        settings,
        &first,
        &args,
        now,
    )?;
    let metrics = Metrics::new(&boot.metrics, features.receiver_names);
    let engine = Engine::new(router, writer, first, Clock::System, metrics);
    let joining = match clustered {
        None => None,
        Some(options) => {
            let propagated = [&engine.metrics().silences, &engine.metrics().nflog]
                .map(|kept| kept.propagated.clone());
            let [silences, nflog] = propagated;
            let metrics = cluster::metrics::Metrics::new(&boot.metrics, silences, nflog);
            let started = Cluster::start(options, Arc::new(engine.clone()), metrics).await;
            let (cluster, running) = started.map_err(Error::new)?;
            engine.set_cluster(cluster.clone());
            Some((cluster, running))
        }
    };
    register(&boot.metrics, &engine);
    boot.config_loaded(true);

    boot.on_reload({
        let engine = engine.clone();
        move || {
            let result = load();
            let engine = engine.clone();
            async move {
                engine.reload(result?).await;
                Ok::<(), live::Error>(())
            }
        }
    });
    let concurrency = args.int("web.get-concurrency").max(0);
    let api = Api::new(
        engine.clone(),
        features.mode,
        usize::try_from(concurrency).unwrap_or(0),
        args.duration("web.timeout"),
        args.bool("log.silences"),
    );
    let options = HttpOptions {
        prefix: route_prefix(&args, &external_url),
        handlers: Some(handlers::HANDLERS),
        ..HttpOptions::default()
    };
    let pages = web_ui::router("Firewatch alerts");
    boot.http_with(pages.merge(api.router()), options).await?;
    let grpc = grpc::router(engine.clone()).await?;
    boot.grpc(grpc).await?;
    let intervals = Intervals {
        groups: args.duration("dispatch.maintenance-interval"),
        alerts: args.duration("alerts.gc-interval"),
        data: args.duration("data.maintenance-interval"),
    };
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(intervals).await }
    });
    if let Some((cluster, running)) = joining {
        tokio::spawn(async move { cluster.run(running).await });
    }
    boot.ready();
    service::give_back_program_pages();
    boot.shutdown.requested().await;
    engine.stop().await;
    if let Some(cluster) = engine.cluster() {
        cluster.leave().await;
    }
    running.await.map_err(|e| Error::new(e.to_string()))
}

/// What `--enable-feature` says.
#[derive(Clone, Copy)]
struct Features {
    mode: Mode,
    receiver_names: bool,
}

impl Features {
    fn parse(text: &str) -> Result<Features, Error> {
        let names: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .collect();
        for name in &names {
            match *name {
                "event-recorder" => {
                    return Err(Error::new(
                        "the event recorder is not available in this version",
                    ));
                }
                "alert-names-in-metrics" | "group-key-in-metrics" => {
                    tracing::warn!(feature = name, "the feature has no effect in this version");
                }
                name if FEATURES.contains(&name) => {}
                name => {
                    return Err(Error::new(format!(
                        "Unknown option '{name}' for --enable-feature"
                    )));
                }
            }
        }
        let has = |name| names.contains(&name);
        let mode = match (has("classic-mode"), has("utf8-strict-mode")) {
            (true, true) => {
                return Err(Error::new(
                    "cannot have both classic and UTF-8 modes enabled",
                ));
            }
            (true, false) => Mode::Classic,
            (false, true) => Mode::Utf8,
            (false, false) => Mode::Fallback,
        };
        Ok(Features {
            mode,
            receiver_names: has("receiver-name-in-metrics"),
        })
    }
}

/// The flags of the cluster; `None` if there is to be none (an empty `--cluster.listen-address`).
fn cluster_options(args: &Args) -> Result<Option<cluster::Options>, Error> {
    let text = |name: &str| args.str(&format!("cluster.{name}")).to_owned();
    let duration = |name: &str| args.duration(&format!("cluster.{name}"));
    let listen = text("listen-address");
    if listen.is_empty() {
        return Ok(None);
    }
    let tls = match text("tls-config").as_str() {
        "" => None,
        path => Some(Tls::load(Path::new(path)).map_err(|e| {
            Error::new(format!(
                "unable to initialize TLS transport configuration for gossip mesh: {e}"
            ))
        })?),
    };
    let peers = args.list("cluster.peer").iter();
    Ok(Some(cluster::Options {
        listen,
        advertise: text("advertise-address"),
        peers: peers.filter(|peer| !peer.is_empty()).cloned().collect(),
        name: text("peer-name"),
        label: text("label"),
        allow_public: args.bool("cluster.allow-insecure-public-advertise-address-discovery"),
        peer_timeout: duration("peer-timeout"),
        resolve_timeout: duration("peers-resolve-timeout"),
        gossip_interval: duration("gossip-interval"),
        push_pull_interval: duration("pushpull-interval"),
        tcp_timeout: duration("tcp-timeout"),
        probe_timeout: duration("probe-timeout"),
        probe_interval: duration("probe-interval"),
        settle_timeout: duration("settle-timeout"),
        reconnect_interval: duration("reconnect-interval"),
        reconnect_timeout: duration("reconnect-timeout"),
        tls,
    }))
}

fn settings(args: &Args, mode: Mode) -> Settings {
    let limit = |name| usize::try_from(args.int(name)).unwrap_or(0);
    Settings {
        mode,
        retention: args.duration("data.retention"),
        silence_limits: Limits {
            max_silences: limit("silences.max-silences"),
            max_silence_size_bytes: limit("silences.max-silence-size-bytes"),
        },
        per_alertname_limit: limit("alerts.per-alertname-limit"),
    }
}

/// Reads the state on disk and starts to write it on.
fn open(
    storage: &Path,
    settings: Settings,
    live: &Live,
    args: &Args,
    now: Timestamp,
) -> Result<(Router, Writer), Error> {
    let begin = std::time::Instant::now();
    let delay: Duration = args.duration("dispatch.start-delay");
    let mut router = Router::new(settings, &live.config, moment::after(now, delay));
    let directory = storage.join("router");
    let fresh = !directory.exists();
    let failed = |e: wal::Error| Error::new(format!("cannot open the state on disk: {e}"));
    let (mut wal, replay) = Wal::open(&directory).map_err(failed)?;
    let Replay {
        records,
        torn_bytes,
        unreadable,
    } = replay;
    if torn_bytes > 0 {
        tracing::warn!(
            bytes = torn_bytes,
            "the end of the state log was torn and has been cut off"
        );
    }
    if unreadable > 0 {
        tracing::warn!(
            records = unreadable,
            "state log holds records that this version cannot read"
        );
    }
    let count = records.len();
    records.into_iter().for_each(|record| router.replay(record));
    if fresh {
        take_over(storage, &mut router)?;
    }
    router.resume(now);
    wal.rotate(&router.snapshot(now)).map_err(failed)?;
    tracing::info!(
        records = count,
        alerts = router.alerts().count(),
        silences = router.silences().len(),
        nflog = router.nflog().len(),
        duration = ?begin.elapsed(),
        "State read from disk"
    );
    let writer = Writer::start(wal).map_err(|e| Error::new(e.to_string()))?;
    Ok((router, writer))
}

/// Reads what Alertmanager has left in the directory.
fn take_over(storage: &Path, router: &mut Router) -> Result<(), Error> {
    use crate::store::record::Record;
    let read = |name: &str| {
        let path = storage.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::new(format!("{}: {e}", path.display()))),
        }
    };
    let broken = |name: &str, e: upstream::Error| {
        Error::new(format!("cannot take over Alertmanager's {name}: {e}"))
    };
    let silences =
        upstream::read_silences(&read("silences")?).map_err(|e| broken("silences", e))?;
    let entries = upstream::read_nflog(&read("nflog")?).map_err(|e| broken("nflog", e))?;
    if !silences.is_empty() || !entries.is_empty() {
        tracing::info!(
            silences = silences.len(),
            nflog = entries.len(),
            "took over the data directory of Alertmanager"
        );
    }
    silences
        .into_iter()
        .for_each(|silence| router.replay(Record::Silence(silence)));
    entries
        .into_iter()
        .for_each(|(key, entry)| router.replay(Record::Notified(key, entry)));
    Ok(())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// `--web.external-url`, or the host name and the port that is listened on.
fn external_url(args: &Args, hostname: &str) -> Result<String, Error> {
    let given = args.str("web.external-url");
    if given.is_empty() {
        let address = args
            .list("web.listen-address")
            .first()
            .map_or("", String::as_str);
        let port = address.rsplit_once(':').map_or("9093", |(_, port)| port);
        return Ok(format!("http://{hostname}:{port}"));
    }
    let url = crate::config::scalars::HttpUrl::parse(given)
        .map_err(|e| Error::new(format!("failed to determine external URL: {e}")))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `--web.route-prefix`, or the path of the external URL.
fn route_prefix(args: &Args, external_url: &str) -> String {
    let prefix = match args.str("web.route-prefix") {
        "" => {
            let rest = external_url.split_once("://").map_or("", |(_, rest)| rest);
            rest.split_once('/').map_or("", |(_, path)| path)
        }
        prefix => prefix,
    };
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    }
}

/// The metrics that are asked for at scrapes.
fn register(registry: &Registry, engine: &Engine) {
    let gauge = |name: &str, help: &str, value: fn(&Engine) -> f64| {
        let engine = engine.clone();
        registry.gauge_fn(name, help, move || value(&engine));
    };
    gauge(
        "alertmanager_dispatcher_aggregation_groups",
        "Number of active aggregation groups",
        |engine| engine.with(|router| router.group_count()) as f64,
    );
    gauge(
        "alertmanager_inhibition_rules",
        "Number of inhibition rules configured.",
        |engine| engine.with(|router| router.inhibition_rules()) as f64,
    );
    gauge(
        "alertmanager_cluster_enabled",
        "Indicates whether the clustering is enabled or not.",
        |engine| f64::from(u8::from(engine.cluster().is_some())),
    );
    gauge(
        "alertmanager_alerts_per_alert_limit",
        "Current limit on number of alerts per alert name",
        |engine| engine.with(|router| router.settings().per_alertname_limit) as f64,
    );
    for name in ["state_size", "version_index_size", "matcher_index_size"] {
        gauge(
            &format!("alertmanager_silences_{name}"),
            "The number of silences that are kept.",
            |engine| engine.with(|router| router.silences().len()) as f64,
        );
    }
    for (name, help, which) in [
        (
            "scanned",
            "How many silences were scanned during query evaluation.",
            0,
        ),
        (
            "skipped",
            "How many silences were skipped during query evaluation using the version index.",
            1,
        ),
    ] {
        let engine = engine.clone();
        let name = format!("alertmanager_silences_query_silences_{name}_total");
        registry.counter_fn(&name, help, move || {
            engine.with(|router| router.silences().looked_at()[which]) as f64
        });
    }
    if engine.cluster().is_some() {
        gauge(
            "alertmanager_cluster_members",
            "Number indicating current number of members in cluster.",
            |engine| engine.cluster().map_or(0, |c| c.members().len()) as f64,
        );
        gauge(
            "alertmanager_cluster_failed_peers",
            "Number indicating the current number of failed peers in the cluster.",
            |engine| engine.cluster().map_or(0, Cluster::failed) as f64,
        );
        gauge(
            "alertmanager_cluster_health_score",
            "Health score of the cluster. Lower values are better and zero means 'totally healthy'.",
            |engine| engine.cluster().map_or(0, Cluster::failed) as f64,
        );
        gauge(
            "alertmanager_peer_position",
            "Position the Alertmanager instance believes it's in. The position determines a peer's behavior in the cluster.",
            |engine| engine.cluster().map_or(0, Cluster::position) as f64,
        );
    }
    let engine = engine.clone();
    registry.collector(move || {
        let now = engine.now();
        let (alerts, silences) = engine.with(|router| {
            let (active, suppressed) = router.count_alerts(now);
            let silences = [State::Active, State::Pending, State::Expired]
                .map(|state| (state.as_str(), router.count_silences(state, now)));
            ([("active", active), ("suppressed", suppressed)], silences)
        });
        vec![
            by_state("alertmanager_alerts", "How many alerts by state.", &alerts),
            by_state(
                "alertmanager_silences",
                "How many silences by state.",
                &silences,
            ),
        ]
    });
}

fn by_state(name: &str, help: &str, counts: &[(&'static str, usize)]) -> Family {
    let mut family = Family::new(name, help, MetricType::Gauge);
    for (state, count) in counts {
        let labels = vec![("state".to_owned(), (*state).to_owned())];
        family.push(Metric::new(labels, Value::Gauge(*count as f64)));
    }
    family
}
