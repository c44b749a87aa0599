//! What is kept here: a server's database, or an agent's log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remote::agent::{Agent, AgentOptions};
use remote::write::Log;
use service::{Args, Boot, Error};
use storage::Appendable;
use tsdb::Db;
use tsdb_format::wal::page::Compression;

use crate::now_ms;

/// The storage of this process.
#[derive(Clone)]
pub enum Local {
    Server(Arc<Db>),
    Agent(Agent),
}

impl Local {
    /// The database, which an agent has not.
    pub fn db(&self) -> Option<&Arc<Db>> {
        match self {
            Local::Server(db) => Some(db),
            Local::Agent(_) => None,
        }
    }

    /// Where samples go.
    pub fn appendable(&self) -> Arc<dyn Appendable> {
        match self {
            Local::Server(db) => Arc::clone(db) as Arc<dyn Appendable>,
            Local::Agent(agent) => Arc::new(agent.clone()),
        }
    }

    /// What remote write sends from.
    pub fn log(&self) -> Arc<dyn Log> {
        match self {
            Local::Server(db) => Arc::clone(db) as Arc<dyn Log>,
            Local::Agent(agent) => Arc::new(agent.clone()),
        }
    }

    /// Waits until everything that was stored can be asked for.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn replayed(&self) -> Result<(), tsdb::Error> {
        match self {
            Local::Server(db) => db.replayed(),
            Local::Agent(_) => Ok(()),
        }
    }

    /// Takes and gives nothing more.
    ///
    /// # Errors
    /// What could not be written.
    pub fn close(&self) -> Result<(), tsdb::Error> {
        match self {
            Local::Server(db) => db.close(),
            Local::Agent(agent) => agent.close(),
        }
    }
}

/// How a log is compressed, by the flags `<prefix>` and `<prefix>-type`.
pub fn compression(args: &Args, prefix: &str) -> Compression {
    let kind = format!("{prefix}-type");
    match (args.bool(prefix), args.str(&kind)) {
        (false, _) => Compression::None,
        (true, "zstd") => Compression::Zstd,
        (true, _) => Compression::Snappy,
    }
}

/// Flags that an agent does not have: they speak of what it does not do.
fn server_only(name: &str) -> bool {
    name.starts_with("storage.tsdb.")
        || name.starts_with("storage.remote.read-")
        || name.starts_with("query.")
        || name.starts_with("rule-evaluator.")
        || name.starts_with("rules.")
        || name.starts_with("alertmanager.")
        || name == "web.enable-admin-api"
}

/// Refuses flags of the other mode, in upstream's words and with its exit code.
///
/// # Errors
/// The flags.
pub fn check_flags(args: &Args) -> Result<(), Error> {
    let agent = args.bool("agent");
    let other = |name: &str| match agent {
        true => server_only(name),
        false => name.starts_with("storage.agent."),
    };
    let mut wrong: Vec<String> = args
        .as_strings()
        .map(|(name, _)| name)
        .filter(|name| other(name) && args.is_set(name))
        .map(|name| format!("\"--{name}\""))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort();
    let how = if agent { "not be" } else { "only be" };
    let text = format!(
        "The following flag(s) can {how} used in agent mode: [{}]",
        wrong.join(" ")
    );
    Err(Error::new(text).with_exit_code(3))
}

/// Opens an agent's storage, and truncates its log now and then.
///
/// # Errors
/// A folder that cannot be used.
pub async fn open_agent(boot: &Boot) -> Result<Agent, Error> {
    let args = &boot.args;
    let options = AgentOptions {
        dir: PathBuf::from(args.str("storage.agent.path")),
        segment_bytes: args.size("storage.agent.wal-segment-size"),
        compression: compression(args, "storage.agent.wal-compression"),
        no_lockfile: args.bool("storage.agent.no-lockfile"),
        registry: boot.metrics.clone(),
    };
    let opened = tokio::task::spawn_blocking(move || Agent::open(options)).await;
    let agent = opened
        .map_err(|_| Error::new("opening the store panicked; see the log"))?
        .map_err(|e| Error::new(format!("opening storage failed: {e}")))?;
    let every = duration_or(args, "storage.agent.wal-truncate-frequency", 2 * 3600);
    let least = duration_or(args, "storage.agent.retention.min-time", 300);
    boot.spawn(
        "agent",
        truncate(
            agent.clone(),
            boot.clone(),
            every.max(Duration::from_secs(1)),
            least,
        ),
    );
    Ok(agent)
}

/// A flag's duration, or so many seconds where it is 0.
pub fn duration_or(args: &Args, name: &str, seconds: u64) -> Duration {
    match args.duration(name) {
        Duration::ZERO => Duration::from_secs(seconds),
        given => given,
    }
}

async fn truncate(agent: Agent, boot: Boot, every: Duration, least: Duration) -> Result<(), Error> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = boot.shutdown.requested() => return Ok(()),
        }
        let agent = agent.clone();
        let min_ms = now_ms() - least.as_millis() as i64;
        match tokio::task::spawn_blocking(move || agent.truncate(min_ms)).await {
            Ok(Ok(())) | Ok(Err(tsdb::Error::Closed)) => {}
            Ok(Err(error)) => tracing::error!(%error, "truncating the log failed"),
            // It was reported there.
            Err(_) => {}
        }
    }
}
