//! What a service gets from the kit, and how it starts and ends.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use parking_lot::Mutex;
use telemetry::Registry;
use tokio_util::task::TaskTracker;

use crate::logging::{LogFormat, LogLevel};
use crate::reload::Reloads;
use crate::server::{Listener, Server};
use crate::web_config::WebConfigFile;
use crate::{Args, Error, Handlers, Program, Shutdown};

/// Everything the kit gives to a service; a cheap handle.
#[derive(Clone)]
pub struct Boot {
    /// What runs.
    pub program: &'static Program,
    /// The parsed command line.
    pub args: Arc<Args>,
    /// Where metrics are registered; served at `/metrics`.
    pub metrics: Registry,
    /// The wish to stop.
    pub shutdown: Shutdown,
    inner: Arc<Inner>,
}

struct Inner {
    ready: AtomicBool,
    reloads: Reloads,
    /// Listeners and background tasks that are waited for at the end.
    tasks: TaskTracker,
    /// Errors of background tasks: the first one ends the process.
    failure: Mutex<Option<Error>>,
    web_config: Mutex<HashMap<String, Arc<WebConfigFile>>>,
    started: Instant,
}

/// How HTTP is served, where a service differs from the usual.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// All paths, the kit's too, are below this one: `--web.route-prefix`. Empty or `/`: no prefix.
    pub prefix: String,
    /// Where the kit serves the registry; `None`: the service's router has its own page.
    pub metrics_path: Option<String>,
    /// At most so many connections at a time over all listeners (`--web.max-connections`).
    pub max_connections: Option<usize>,
    /// How long a client may take for a request's head and between requests (`--web.read-timeout`).
    pub read_timeout: Option<Duration>,
    /// TLS from a service's own flags, instead of `--web.config.file`.
    pub tls: Option<ServerTls>,
    /// Metrics of requests by these handlers; `None`: none.
    pub handlers: Option<Handlers>,
}

/// Certificates of a listener, where flags name them. Read at the start only.
#[derive(Debug, Clone, Default)]
pub struct ServerTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Who signs the certificates that clients must have; `None`: they need none.
    pub client_ca_file: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            prefix: String::new(),
            metrics_path: Some("/metrics".to_owned()),
            max_connections: None,
            read_timeout: None,
            tls: None,
            handlers: None,
        }
    }
}

impl Boot {
    /// A boot without signals, log setup and process metrics: for tests and for embedding a service.
    ///
    /// # Errors
    /// What the command line has wrong.
    pub fn new<S: AsRef<str>>(program: &'static Program, args: &[S]) -> Result<Boot, Error> {
        let args: Vec<String> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        let parsed =
            crate::flags::parse(program, &args).map_err(|error| Error::new(error.to_string()))?;
        Ok(Boot::from_args(program, parsed))
    }

    pub(crate) fn from_args(program: &'static Program, args: Args) -> Boot {
        let started = Instant::now();
        let metrics = Registry::with_clock(move || started.elapsed());
        Boot {
            program,
            args: Arc::new(args),
            shutdown: Shutdown::new(),
            inner: Arc::new(Inner {
                ready: AtomicBool::new(false),
                reloads: Reloads::new(program, &metrics),
                tasks: TaskTracker::new(),
                failure: Mutex::new(None),
                web_config: Mutex::new(HashMap::new()),
                started,
            }),
            metrics,
        }
    }

    /// Adds `process_*` and `<prefix>_build_info` to the metrics, as a service that runs by itself has
    /// them.
    pub fn register_process_metrics(&self) {
        crate::process::register(&self.metrics);
        crate::version::register(self.program, &self.metrics);
    }

    /// From now on `/-/ready` answers 200.
    pub fn ready(&self) {
        if !self.inner.ready.swap(true, Ordering::Relaxed) {
            tracing::info!(
                duration = ?self.inner.started.elapsed(),
                "Server is ready to receive web requests."
            );
        }
    }

    /// From now on `/-/ready` answers 503.
    pub fn not_ready(&self) {
        self.inner.ready.store(false, Ordering::Relaxed);
    }

    /// Whether the service is ready and not about to stop.
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Relaxed) && !self.shutdown.is_requested()
    }

    /// Calls `handler` on SIGHUP, on `POST /-/reload` and on [`Boot::reload`], one call at a time.
    /// Result, metrics and log are the kit's: the handler keeps the old configuration on error and
    /// says why. Replaces an earlier handler.
    pub fn on_reload<F, Fut, E>(&self, handler: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.inner.reloads.set(handler);
    }

    /// Reloads now, as SIGHUP does. Without a handler nothing happens.
    ///
    /// # Errors
    /// The handler's, as text.
    pub async fn reload(&self) -> Result<(), String> {
        self.inner.reloads.run().await
    }

    /// Reloads when `fingerprint` changes, which is taken at once and then every `interval`. While it is
    /// `None` (a file that is just being replaced) nothing happens.
    pub fn reload_on_change<F>(&self, interval: Duration, fingerprint: F)
    where
        F: Fn() -> Option<u64> + Send + Sync + 'static,
    {
        let boot = self.clone();
        let fingerprint = Arc::new(fingerprint);
        let mut last = fingerprint();
        self.spawn("config.auto-reload", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = boot.shutdown.requested() => return Ok(()),
                }
                let look = Arc::clone(&fingerprint);
                let now = tokio::task::spawn_blocking(move || look()).await;
                if let Ok(Some(now)) = now
                    && Some(now) != last
                {
                    last = Some(now);
                    // The outcome is logged and counted.
                    let _ = boot.reload().await;
                }
            }
        });
    }

    /// Notes in the metrics how the first load of the configuration went.
    pub fn config_loaded(&self, success: bool) {
        self.inner.reloads.note(success);
    }

    /// Listens on every `--web.listen-address` and serves `router` together with `/metrics`,
    /// `/-/healthy`, `/-/ready`, `/-/reload` until the stop. Answers the addresses bound.
    ///
    /// # Errors
    /// A taken port, a faulty `--web.config.file`.
    pub async fn http(&self, router: Router) -> Result<Vec<SocketAddr>, Error> {
        self.http_with(router, HttpOptions::default()).await
    }

    /// [`Boot::http`] with options.
    ///
    /// # Errors
    /// As [`Boot::http`].
    pub async fn http_with(
        &self,
        router: Router,
        options: HttpOptions,
    ) -> Result<Vec<SocketAddr>, Error> {
        let config = match &options.tls {
            Some(tls) => Arc::new(WebConfigFile::from_files(tls)?),
            None => self.web_config(self.args.get("web.config.file").unwrap_or_default())?,
        };
        let router = crate::routes::assemble(self, router, &options);
        let mut listeners = Vec::new();
        for address in self.program.addresses(&self.args) {
            listeners.push(Listener::bind(&address, "web.listen-address").await?);
        }
        let server = Server {
            router,
            config,
            connections: options
                .max_connections
                .map(|most| Arc::new(tokio::sync::Semaphore::new(most))),
            read_timeout: options.read_timeout,
        };
        Ok(self.serve("http", server, listeners))
    }

    /// Serves a gRPC router (tonic's `Routes::into_axum_router`) on `--grpc-address`, with the TLS of
    /// the `--grpc-server-tls-*` flags. `None` if the address is empty: gRPC is switched off.
    ///
    /// # Errors
    /// A taken port, faulty certificates.
    pub async fn grpc(&self, router: Router) -> Result<Option<SocketAddr>, Error> {
        let address = self.args.get("grpc-address").unwrap_or_default();
        if address.is_empty() {
            return Ok(None);
        }
        let config = Arc::new(WebConfigFile::from_grpc_flags(&self.args)?);
        let listener = Listener::bind(address, "grpc-address").await?;
        let server = Server {
            router: crate::routes::catch_panics(router),
            config,
            connections: None,
            read_timeout: None,
        };
        Ok(self.serve("grpc", server, vec![listener]).first().copied())
    }

    /// Runs a task until the stop; its error stops the service and becomes its result. The end of
    /// the process waits for it, at most until the stop's deadline.
    pub fn spawn<Fut>(&self, name: &'static str, task: Fut)
    where
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let boot = self.clone();
        self.inner.tasks.spawn(async move {
            if let Err(error) = task.await {
                boot.inner
                    .failure
                    .lock()
                    .get_or_insert_with(|| error.context(name));
                boot.shutdown.request(format!("{name} failed"));
            }
        });
    }

    /// The `--web.config.file` at `path`, loaded once and shared; empty: plain HTTP.
    fn web_config(&self, path: &str) -> Result<Arc<WebConfigFile>, Error> {
        let mut known = self.inner.web_config.lock();
        if let Some(config) = known.get(path) {
            return Ok(config.clone());
        }
        let config = Arc::new(WebConfigFile::load(path)?);
        known.insert(path.to_owned(), config.clone());
        Ok(config)
    }

    fn serve(
        &self,
        what: &'static str,
        server: Server,
        listeners: Vec<Listener>,
    ) -> Vec<SocketAddr> {
        let server = Arc::new(server);
        let mut addresses = Vec::new();
        for listener in listeners {
            let address = listener.address();
            tracing::info!(address = %address, tls = server.config.has_tls(), protocol = what, "Listening on");
            addresses.push(address);
            let task = listener.run(
                server.clone(),
                self.shutdown.clone(),
                self.program.stop_deadline,
            );
            self.inner.tasks.spawn(task);
        }
        addresses
    }

    /// Waits for listeners and tasks after the service's own end; the first failure of a task.
    pub async fn finish(&self) -> Result<(), Error> {
        self.shutdown.request("the service ended");
        self.inner.tasks.close();
        let deadline = self.program.stop_deadline;
        if tokio::time::timeout(deadline, self.inner.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(?deadline, "stopping with requests or tasks still running");
        }
        match self.inner.failure.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// See [`crate::main`].
pub(crate) fn main<F, Fut>(program: &'static Program, run: F) -> ExitCode
where
    F: FnOnce(Boot) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let command_line: Vec<String> = std::env::args().skip(1).collect();
    let args = match crate::flags::parse(program, &command_line) {
        Ok(args) => args,
        Err(stop) => return stop.print(program),
    };
    // The default provider is process-wide in rustls; a second call is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut runtime = if program.single_thread {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: cannot start the runtime: {error}", program.name);
            return ExitCode::FAILURE;
        }
    };
    if args.bool("healthcheck") {
        return runtime.block_on(crate::healthcheck::run(program, &args, &command_line));
    }
    let level = LogLevel::from_word(args.str("log.level"));
    let format = LogFormat::from_word(args.str("log.format"));
    crate::logging::init(level, format);
    let result = runtime.block_on(async {
        let boot = Boot::from_args(program, args);
        boot.register_process_metrics();
        crate::signals::listen(&boot)?;
        tracing::info!(version = %crate::version::info(), "Starting {}", program.name);
        let result = run(boot.clone()).await;
        if let Err(error) = &result {
            boot.shutdown
                .request(format!("the service failed: {error}"));
        }
        let finished = boot.finish().await;
        result.and(finished)
    });
    // Blocking work that does not end (a hung disk) must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => {
            tracing::info!("See you next time!");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(err = %error, "{} ends with an error", program.name);
            ExitCode::from(error.exit_code())
        }
    }
}
