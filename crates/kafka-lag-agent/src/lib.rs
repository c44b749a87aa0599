//! kafka-lag-agent: brokers, topics and consumer groups of a Kafka cluster as metrics, with
//! kafka_exporter's names and flags.
//!
//! It polls the cluster in the background ([`poll`](crate::agent::Agent::poll)) and answers scrapes
//! from memory, so a slow broker delays no scrape. It never joins a group, never commits and writes
//! nothing to the cluster. Start with `poll` (what is asked, in which order), `page` (what is shown);
//! below them `cluster` and `connection` (the wire, by the kafka-protocol codec) and `shape` (why no
//! answer can make that codec reserve memory it does not have).

pub mod agent;
mod ages;
mod cluster;
mod config;
pub mod connection;
mod details;
mod ends;
pub mod error;
mod flags;
mod groups;
pub mod history;
mod page;
mod poll;
mod records;
mod sasl;
mod scram;
mod settings;
pub mod shape;
pub mod snapshot;
mod zookeeper;

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use service::{Args, Boot, Error, HttpOptions, Program, ServerTls};

use crate::agent::{Agent, Status};
pub use crate::settings::{NameFilter, Settings};

/// The program as data.
pub static PROGRAM: Program = Program {
    name: "kafka-lag-agent",
    about: "Exports brokers, topics and consumer group lag of a Kafka cluster.",
    metric_prefix: "kafka_exporter",
    listen: ":9308",
    flags: flags::FLAGS,
    ..Program::DEFAULT
};

/// Runs the service until it is asked to stop.
///
/// # Errors
/// A flag that is wrong or not supported, an address that is taken. A cluster that does not answer is
/// no error: the page says so.
pub async fn run(boot: Boot) -> Result<(), Error> {
    let clusters = Settings::all(&boot.args)?;
    let path = boot.args.str("web.telemetry-path").to_owned();
    if !path.starts_with('/') || path.contains(['{', '}']) || path == "/" {
        return Err(Error::new(format!(
            "--web.telemetry-path: {path:?} is not a path below /"
        )));
    }
    let agents: Vec<Arc<Agent>> = clusters
        .into_iter()
        .map(|settings| Arc::new(Agent::new(settings, &boot.metrics)))
        .collect();
    agent::register(&agents, &boot.metrics);
    let options = HttpOptions {
        metrics_path: Some(path.clone()),
        tls: server_tls(&boot.args)?,
        ..HttpOptions::default()
    };
    let router = router(agents.clone().into(), path);
    boot.http_with(router, options).await?;
    let first_polls = agents.iter().map(|agent| async {
        tokio::select! {
            () = boot.shutdown.requested() => {}
            () = agent.poll() => {}
        }
    });
    let started = tokio::time::Instant::now();
    futures::future::join_all(first_polls).await;
    // Whether they succeeded or not: the page now says what there is to say.
    boot.ready();
    let polls = agents.iter().map(|agent| async {
        let mut next = started;
        loop {
            // From begin to begin; a poll that took longer is followed by the next at once.
            next = (next + agent.interval()).max(tokio::time::Instant::now());
            tokio::select! {
                () = boot.shutdown.requested() => return,
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::select! {
                () = boot.shutdown.requested() => return,
                () = agent.poll() => {}
            }
        }
    });
    futures::future::join_all(polls).await;
    Ok(())
}

/// `--server.tls.*`; `--web.config.file` can do more and is refused beside them.
fn server_tls(args: &Args) -> Result<Option<ServerTls>, Error> {
    if !args.bool("server.tls.enabled") {
        return Ok(None);
    }
    if !args.get("web.config.file").unwrap_or_default().is_empty() {
        return Err(Error::new(
            "--server.tls.enabled and --web.config.file: only one can say how the page is served",
        ));
    }
    let mutual = args.bool("server.tls.mutual-auth-enabled");
    if mutual && args.str("server.tls.ca-file").is_empty() {
        return Err(Error::new(
            "--server.tls.mutual-auth-enabled needs --server.tls.ca-file",
        ));
    }
    Ok(Some(ServerTls {
        cert_file: args.str("server.tls.cert-file").into(),
        key_file: args.str("server.tls.key-file").into(),
        client_ca_file: mutual.then(|| args.str("server.tls.ca-file").into()),
    }))
}

fn router(agents: Arc<[Arc<Agent>]>, metrics_path: String) -> Router {
    let home = move || {
        let page = home(&agents, &metrics_path);
        async move { Html(page) }
    };
    Router::new()
        .route("/", get(home))
        .route("/healthz", get(|| async { "ok" }))
}

fn home(agents: &[Arc<Agent>], metrics_path: &str) -> String {
    let mut clusters = String::new();
    for agent in agents {
        let status = match agent.status() {
            Status::Starting => "The first poll of the cluster is under way.".to_owned(),
            Status::Up => "The cluster answers.".to_owned(),
            Status::Down { error, .. } => {
                format!("The cluster does not answer: {}", escape(&error))
            }
        };
        let name = agent
            .name()
            .map(|name| format!("<b>{}</b>: ", escape(name)));
        clusters += &format!("<p>{}{status}</p>", name.unwrap_or_default());
    }
    let path = escape(metrics_path);
    format!(
        "<html><head><title>Kafka Exporter</title></head><body><h1>Kafka Exporter</h1>\
         <p><a href='{path}'>Metrics</a></p>{clusters}</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}
