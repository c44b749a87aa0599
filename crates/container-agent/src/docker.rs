//! Follows a Docker-compatible engine (Docker, Podman): the containers it has, and its events.
//!
//! Events are asked for from before the list was read, so that nothing falls between; when the stream
//! ends, all is read again. An engine that is away, hung or refuses leaves what it said last in force.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures::StreamExt;
use service::Shutdown;
use telemetry::{Counter, Gauge};

use crate::agent::Agent;
use crate::identity::{Identities, Identity};

/// How long an engine may take for an answer.
const TIMEOUT_SECONDS: u64 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Containers that are asked about at a time.
const INSPECTS: usize = 8;

/// Why an engine cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "there is no socket {0}: mount it (docker run -v {0}:{0}:ro), or say where it is with -docker"
    )]
    NoSocket(String),
    #[error(
        "no permission for the socket {0}: the user has to be in the group that owns it (usually docker; docker run --group-add), or root"
    )]
    NoPermission(String),
    #[error("nothing listens at the socket {0}: the engine does not run")]
    NotRunning(String),
    #[error("{0}")]
    Address(String),
    #[error("the engine at {at}: {error}")]
    Engine { at: String, error: Bollard },
    #[error("the event stream of the engine at {0} ended")]
    Ended(String),
}

/// An engine to follow.
pub struct Follower {
    /// `unix:///var/run/docker.sock`, `tcp://host:port`.
    pub address: String,
    /// Beginnings of environment variables to keep.
    pub envs: Vec<String>,
    /// Whether it is no matter if there is no such engine.
    pub optional: bool,
    pub identities: Arc<Identities>,
    pub agent: Arc<Agent>,
    pub up: Gauge,
    pub connects: Counter,
    pub events: Counter,
}

impl Follower {
    /// Follows the engine until the stop.
    pub async fn run(self, stop: Shutdown) {
        tokio::select! {
            () = stop.requested() => {}
            () = self.forever() => {}
        }
    }

    async fn forever(&self) {
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        // Ids this engine has named: another engine's are not ours to forget.
        let mut mine = Vec::new();
        loop {
            let started = Instant::now();
            let error = self.follow(&mut mine, &mut said).await;
            self.up.set(0.0);
            let text = error.to_string();
            let absent = self.optional && matches!(error, Error::NoSocket(_));
            if text != said && !absent {
                tracing::warn!(err = text, "containers keep the names they had");
                said = text;
            }
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn follow(&self, mine: &mut Vec<String>, said: &mut String) -> Error {
        match self.session(mine, said).await {
            Ok(()) => Error::Ended(self.address.clone()),
            Err(error) => error,
        }
    }

    async fn session(&self, mine: &mut Vec<String>, said: &mut String) -> Result<(), Error> {
        let docker = connect(&self.address)?;
        let engine = |error| Error::Engine {
            at: self.address.clone(),
            error,
        };
        let docker = docker.negotiate_version().await.map_err(engine)?;
        let filter = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        // From before the list: what happens until the stream is open is told then.
        let since = now_ms() / 1000 - 1;
        let mut events = std::pin::pin!(docker.events(Some(EventsOptions {
            since: Some(since.to_string()),
            until: None,
            filters: Some(filter),
        })));
        let version = docker
            .version()
            .await
            .map_err(engine)?
            .version
            .unwrap_or_default();
        self.list(&docker, mine).await.map_err(engine)?;
        self.identities.set_engine_version(version.clone());
        self.up.set(1.0);
        self.connects.inc();
        said.clear();
        tracing::info!(
            address = self.address,
            version,
            api = %docker.client_version(),
            containers = mine.len(),
            "Following the engine"
        );
        while let Some(event) = events.next().await {
            let event = event.map_err(engine)?;
            self.events.inc();
            let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
            let action = event.action.unwrap_or_default();
            self.apply(&docker, mine, &id, &action)
                .await
                .map_err(engine)?;
        }
        Ok(())
    }

    async fn list(&self, docker: &Docker, mine: &mut Vec<String>) -> Result<(), Bollard> {
        let options = ListContainersOptions {
            all: true,
            ..ListContainersOptions::default()
        };
        let listed = docker.list_containers(Some(options)).await?;
        let ids: Vec<String> = listed
            .into_iter()
            .filter_map(|container| container.id)
            .collect();
        self.identities.keep_only(mine, &ids);
        *mine = ids.clone();
        let asked = ids
            .into_iter()
            .map(|id| async move { self.inspect(docker, &id).await });
        let mut answers = futures::stream::iter(asked).buffer_unordered(INSPECTS);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }

    /// Asks who a container is; `None` if it is gone meanwhile.
    async fn inspect(&self, docker: &Docker, id: &str) -> Result<Option<Arc<Identity>>, Bollard> {
        match docker.inspect_container(id, None).await {
            Ok(answer) => {
                let identity = Identity::from_inspect(answer, &self.envs);
                Ok(identity.map(|identity| self.identities.set(identity)))
            }
            Err(Bollard::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            // One strange answer must not hide the others.
            Err(Bollard::JsonDataError { message, .. }) => {
                tracing::warn!(
                    id,
                    err = message,
                    "the engine describes a container strangely"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn apply(
        &self,
        docker: &Docker,
        mine: &mut Vec<String>,
        id: &str,
        action: &str,
    ) -> Result<(), Bollard> {
        match Action::of(action) {
            Action::Describe => {
                if !mine.iter().any(|known| known == id) {
                    mine.push(id.to_owned());
                }
                self.inspect(docker, id).await?;
            }
            Action::Start => {
                if !mine.iter().any(|known| known == id) {
                    mine.push(id.to_owned());
                }
                if let Some(identity) = self.inspect(docker, id).await? {
                    self.observe(identity).await;
                }
            }
            Action::End => {
                // The process it had is what the cgroup is found by: ask anew afterwards.
                if let Some(identity) = self.identities.get(id) {
                    self.observe(identity).await;
                }
                self.inspect(docker, id).await?;
            }
            Action::Remove => {
                mine.retain(|known| known != id);
                self.identities.remove(id);
            }
            Action::Nothing => {}
        }
        Ok(())
    }

    async fn observe(&self, identity: Arc<Identity>) {
        let agent = Arc::clone(&self.agent);
        let read = tokio::task::spawn_blocking(move || agent.observe(&identity, now_ms()));
        if let Err(error) = read.await {
            tracing::error!(err = %error, "reading a container failed");
        }
    }
}

/// What an event asks for.
#[derive(Debug, PartialEq)]
enum Action {
    Describe,
    Start,
    End,
    Remove,
    Nothing,
}

impl Action {
    fn of(action: &str) -> Action {
        match action {
            "start" | "restart" => Action::Start,
            "create" | "rename" | "update" | "pause" | "unpause" => Action::Describe,
            // Podman says `died` and `remove`.
            "kill" | "stop" | "die" | "died" => Action::End,
            "destroy" | "remove" => Action::Remove,
            health if health.starts_with("health_status") => Action::Describe,
            _ => Action::Nothing,
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A client for an address as `-docker` and `-podman` take it; says what is missing.
fn connect(address: &str) -> Result<Docker, Error> {
    let engine = |error| Error::Engine {
        at: address.to_owned(),
        error,
    };
    if address.starts_with("tcp://") || address.starts_with("http://") {
        let client =
            Docker::connect_with_http(address, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION);
        return client.map_err(engine);
    }
    let path = address.strip_prefix("unix://").unwrap_or(address);
    if !path.starts_with('/') {
        return Err(Error::Address(format!(
            "{address:?} is no address of an engine: unix:///path or tcp://host:port is"
        )));
    }
    reachable(Path::new(path))?;
    Docker::connect_with_unix(path, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION).map_err(engine)
}

/// Opens the socket once, for the sake of the error.
fn reachable(path: &Path) -> Result<(), Error> {
    let at = path.display().to_string();
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => Error::NoSocket(at),
            ErrorKind::PermissionDenied => Error::NoPermission(at),
            ErrorKind::ConnectionRefused => Error::NotRunning(at),
            _ => Error::Engine {
                at,
                error: error.into(),
            },
        }),
    }
}

#[cfg(test)]
mod tests;
