//! statsd-bridge: StatsD in, Prometheus out; a statsd_exporter that drops nothing.
//!
//! A packet's way: `listen` (sockets) -> `intake` (lines) -> `line` (a line to events) -> `mapper` (a
//! name to a metric) -> `store` (values) -> the metrics page. Start with [`run`], then `intake`.
//!
//! What it refuses: StatsD's timestamps (a scrape has its own), and forwarding of DogStatsD's events
//! and service checks, which are counted only.

mod escape;
mod flags;
mod intake;
mod line;
mod listen;
mod mapper;
mod metrics;
mod relay;
mod store;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use service::{Args, Boot, Error, HttpOptions, Program};

pub use escape::escape_metric_name;
pub use intake::{Bridge, Intake, Options};
pub use line::{Action, Event, Parser, Reason, Tally};
pub use mapper::cache::Eviction;
pub use mapper::{
    EventType, Found, HistogramOptions, Mapper, MappingError, Observer, ObserverType, Rule,
    RuleAction, SummaryOptions,
};
pub use relay::Relay;
pub use store::Limits;

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "statsd-bridge",
    about: "Turns StatsD metrics into Prometheus metrics.",
    metric_prefix: "statsd_exporter",
    listen: ":9102",
    flags: flags::FLAGS,
    lifecycle_flag: Some("web.enable-lifecycle"),
    quit: true,
    healthy_text: "Statsd Exporter is Healthy.\n",
    ready_text: "Statsd Exporter is Ready.\n",
    ..Program::DEFAULT
};

/// A bridge that runs: where it listens.
pub struct Running {
    pub http: Vec<SocketAddr>,
    pub udp: Vec<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    bridge: Arc<Bridge>,
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// A mapping file that is refused, an address that is taken or none.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let path = boot.args.str("statsd.mapping-config").to_owned();
    if boot.args.bool("check-config") {
        load(&path)?;
        tracing::info!("Configuration check successful, exiting");
        return Ok(());
    }
    let running = start(&boot).await?;
    boot.shutdown.requested().await;
    running.join().await;
    Ok(())
}

/// Starts the service and answers once it listens.
///
/// # Errors
/// As [`run`].
pub async fn start(boot: &Boot) -> Result<Running, Error> {
    let args = Arc::clone(&boot.args);
    let path = args.str("statsd.mapping-config").to_owned();
    let listens = [
        "statsd.listen-udp",
        "statsd.listen-tcp",
        "statsd.listen-unixgram",
    ];
    if listens
        .iter()
        .all(|flag| args.list(flag).iter().all(String::is_empty))
    {
        return Err(Error::new(
            "At least one of UDP/TCP/Unixgram listeners must be specified.",
        ));
    }
    let mapper = load(&path)?;
    boot.config_loaded(true);
    dump(&mapper, args.str("debug.dump-fsm"));
    let relay = relay(boot)?;
    let bridge = Bridge::new(&boot.metrics, options(&args), mapper, relay);

    let mut threads = Vec::new();
    let buffer = Some(args.count("statsd.read-buffer")).filter(|bytes| *bytes > 0);
    let mut running = Running {
        http: Vec::new(),
        udp: Vec::new(),
        tcp: None,
        threads: Vec::new(),
        bridge: Arc::clone(&bridge),
    };
    let failed = |what: &str, error: std::io::Error| Error::new(format!("{what}: {error}"));
    let udp: Vec<&str> = args
        .list("statsd.listen-udp")
        .iter()
        .map(String::as_str)
        .collect();
    let mut listeners = Vec::new();
    for address in udp.iter().filter(|address| !address.is_empty()) {
        let addresses = listen::addresses("statsd.listen-udp", address)?;
        let sockets = match args.count("statsd.udp-sockets") {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
            count => count,
        };
        let listener = listen::UdpListener::bind(&addresses, sockets, buffer);
        listeners.push(listener.map_err(|e| failed("failed to start UDP listener", e))?);
    }
    if !args.is_set("statsd.listen-udp") {
        listeners.extend(usual_port(buffer));
    }
    let mut drops: Vec<Box<dyn Fn() -> f64 + Send + Sync>> = Vec::new();
    for listener in listeners {
        running.udp.push(listener.address());
        drops.push(Box::new(listener.drops()));
        let started = listener.run(&bridge, &boot.shutdown);
        threads.extend(started.map_err(|e| failed("cannot start a thread", e))?);
    }
    boot.metrics.counter_fn(
        "statsd_exporter_udp_packet_drops_total",
        "The total number of StatsD packets over UDP that the kernel dropped because its buffer was full.",
        move || drops.iter().map(|drops| drops()).sum(),
    );
    let tcp = args.str("statsd.listen-tcp");
    if !tcp.is_empty() {
        let addresses = listen::addresses("statsd.listen-tcp", tcp)?;
        let listener = tokio::net::TcpListener::bind(addresses.as_slice())
            .await
            .map_err(|e| failed("failed to start TCP listener", e))?;
        running.tcp = listener.local_addr().ok();
        let (bridge, shutdown) = (Arc::clone(&bridge), boot.shutdown.clone());
        boot.spawn("tcp", async move {
            listen::serve_tcp(listener, bridge, shutdown).await;
            Ok(())
        });
    }
    let unixgram = args.str("statsd.listen-unixgram");
    if !unixgram.is_empty() {
        let mode = args.str("statsd.unixsocket-mode");
        let listener = listen::UnixgramListener::bind(unixgram, mode, buffer)?;
        let started = listener.run(&bridge, &boot.shutdown);
        threads.push(started.map_err(|e| failed("cannot start a thread", e))?);
    }
    running.threads = threads;
    let udp: Vec<String> = running.udp.iter().map(SocketAddr::to_string).collect();
    tracing::info!(
        udp = udp.join(","),
        tcp,
        unixgram,
        "Accepting StatsD Traffic"
    );

    sweep(boot, &bridge);
    on_reload(boot, &bridge, path);
    let metrics_path = args.str("web.telemetry-path").to_owned();
    let options = HttpOptions {
        metrics_path: Some(metrics_path.clone()),
        ..HttpOptions::default()
    };
    running.http = boot.http_with(landing_page(&metrics_path), options).await?;
    boot.ready();
    Ok(running)
}

/// k6 and most other clients send to StatsD's usual port when told nothing; where nobody else has it,
/// the bridge takes it on this host.
fn usual_port(buffer: Option<usize>) -> Vec<listen::UdpListener> {
    let hosts = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let addresses = hosts.map(|host| SocketAddr::from((host, 8125)));
    let bind = |address: SocketAddr| match listen::UdpListener::bind(&[address], 1, buffer) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::info!(%address, err = %error, "not listening on StatsD's usual port");
            None
        }
    };
    addresses.into_iter().filter_map(bind).collect()
}

impl Running {
    /// Waits for the threads, which end with the stop.
    pub async fn join(self) {
        let join = move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    tracing::error!("a listening thread panicked");
                }
            }
            self.bridge.stop();
        };
        // It fails only if the closure panics.
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

/// The options of the flags.
fn options(args: &Args) -> Options {
    Options {
        parser: Parser {
            dogstatsd: args.bool("statsd.parse-dogstatsd-tags"),
            influxdb: args.bool("statsd.parse-influxdb-tags"),
            librato: args.bool("statsd.parse-librato-tags"),
            signalfx: args.bool("statsd.parse-signalfx-tags"),
            sets: args.bool("statsd.sets"),
        },
        limits: Limits {
            per_metric: args.count("statsd.max-series-per-metric"),
            total: args.count("statsd.max-series"),
            set_window: args.duration("statsd.set-window"),
        },
        cache_size: args.count("statsd.cache-size"),
        eviction: match args.str("statsd.cache-type") {
            "random" => Eviction::Random,
            _ => Eviction::Lru,
        },
    }
}

fn load(path: &str) -> Result<Mapper, Error> {
    let text = match path {
        "" => String::new(),
        path => std::fs::read_to_string(path)
            .map_err(|error| Error::new(format!("error loading config: open {path}: {error}")))?,
    };
    Mapper::parse(&text).map_err(|error| Error::new(format!("error loading config: {error}")))
}

/// Writes the graph of the globs; a failure is told, and no more: the bridge works without.
fn dump(mapper: &Mapper, path: &str) {
    if path.is_empty() {
        return;
    }
    match std::fs::write(path, mapper.dot()) {
        Ok(()) => tracing::info!(file_name = path, "Finish dumping FSM"),
        Err(error) => tracing::error!(err = %error, file_name = path, "error dumping FSM"),
    }
}

fn relay(boot: &Boot) -> Result<Option<Relay>, Error> {
    let target = boot.args.str("statsd.relay.address");
    if target.is_empty() {
        return Ok(None);
    }
    let addresses = listen::addresses("statsd.relay.address", target)?;
    let length = match boot.args.count("statsd.relay.packet-length") {
        0 => return Err(Error::new("--statsd.relay.packet-length must be positive")),
        length => length,
    };
    Relay::start(addresses[0], target, length, &boot.metrics)
        .map(Some)
        .map_err(|error| Error::new(format!("Unable to create relay: {error}")))
}

fn sweep(boot: &Boot, bridge: &Arc<Bridge>) {
    let (bridge, shutdown) = (Arc::clone(bridge), boot.shutdown.clone());
    boot.spawn("sweep", async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                _ = tick.tick() => bridge.sweep(),
            }
        }
    });
}

fn on_reload(boot: &Boot, bridge: &Arc<Bridge>, path: String) {
    let bridge = Arc::clone(bridge);
    let path = PathBuf::from(path);
    boot.on_reload(move || {
        let (bridge, path) = (Arc::clone(&bridge), path.clone());
        async move {
            if path.as_os_str().is_empty() {
                tracing::warn!("Received signal but no mapping config to reload");
                return Ok(());
            }
            let loaded = load(&path.to_string_lossy());
            let outcome = if loaded.is_ok() { "success" } else { "failure" };
            bridge.own.reloads.with(&[outcome]).inc();
            loaded.map(|mapper| bridge.replace(mapper))
        }
    });
}

fn landing_page(metrics_path: &str) -> Router {
    let page = format!(
        "<!DOCTYPE html>\n<html>\n<head><title>StatsD Exporter</title></head>\n<body>\n\
         <h1>StatsD Exporter</h1>\n<p>statsd-bridge: StatsD in, Prometheus out.</p>\n\
         <p><a href=\"{metrics_path}\">Metrics</a></p>\n</body>\n</html>\n"
    );
    Router::new().route("/", get(move || std::future::ready(Html(page.clone()))))
}
