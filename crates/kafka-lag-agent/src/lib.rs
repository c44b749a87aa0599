//! kafka-lag-agent: brokers, topics and consumer groups of a Kafka cluster as metrics, with
//! kafka_exporter's names and flags.
//!
//! It polls the cluster in the background ([`poll`](crate::agent::Agent::poll)) and answers scrapes
//! from memory, so a slow broker delays no scrape. It never joins a group, never commits and writes
//! nothing to the cluster. Start with `poll` (what is asked, in which order), `page` (what is shown);
//! below them `cluster` and `connection` (the wire, by the kafka-protocol codec) and `shape` (why no
//! answer can make that codec reserve memory it does not have).

pub mod agent;
mod cluster;
pub mod connection;
pub mod error;
mod flags;
mod groups;
pub mod history;
mod page;
mod poll;
mod scram;
mod settings;
pub mod shape;
pub mod snapshot;

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use service::{Boot, Error, HttpOptions, Program};

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
    let settings = Settings::from_args(&boot.args)?;
    let path = boot.args.str("web.telemetry-path").to_owned();
    if !path.starts_with('/') || path.contains(['{', '}']) || path == "/" {
        return Err(Error::new(format!(
            "--web.telemetry-path: {path:?} is not a path below /"
        )));
    }
    let agent = Arc::new(Agent::new(settings, &boot.metrics));
    agent::register(&agent, &boot.metrics);
    let options = HttpOptions {
        metrics_path: Some(path.clone()),
        ..HttpOptions::default()
    };
    boot.http_with(router(Arc::clone(&agent), path), options)
        .await?;
    loop {
        let started = tokio::time::Instant::now();
        tokio::select! {
            () = boot.shutdown.requested() => return Ok(()),
            () = agent.poll() => {}
        }
        // Whether it succeeded or not: the page now says what there is to say.
        boot.ready();
        tokio::select! {
            () = boot.shutdown.requested() => return Ok(()),
            () = tokio::time::sleep_until(started + agent.interval()) => {}
        }
    }
}

fn router(agent: Arc<Agent>, metrics_path: String) -> Router {
    let home = move || {
        let page = home(&agent.status(), &metrics_path);
        async move { Html(page) }
    };
    Router::new()
        .route("/", get(home))
        .route("/healthz", get(|| async { "ok" }))
}

fn home(status: &Status, metrics_path: &str) -> String {
    let status = match status {
        Status::Starting => "The first poll of the cluster is under way.".to_owned(),
        Status::Up => "The cluster answers.".to_owned(),
        Status::Down { error, .. } => {
            format!("The cluster does not answer: {}", escape(error))
        }
    };
    let path = escape(metrics_path);
    format!(
        "<html><head><title>Kafka Exporter</title></head><body><h1>Kafka Exporter</h1>\
         <p><a href='{path}'>Metrics</a></p><p>{status}</p></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}
