//! Follows a Docker-compatible engine (Docker, Podman): the containers it has, and its events.
//!
//! Events are asked for from before the list was read, so that nothing falls between; when the stream
//! ends, all is read again. An engine that is away, hung or refuses leaves what it said last in force.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures::StreamExt;
use service::Shutdown;
use telemetry::{Counter, Gauge};

use crate::agent::Agent;
use crate::engine_stats::Engines;
use crate::filesystems::usage::Usages;
use crate::identity::{Identities, Identity};
use crate::now_ms;

/// How long an engine may take for an answer.
const TIMEOUT_SECONDS: u64 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long an engine may say nothing before it is asked whether it is still there.
const CHECK: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(5);
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
    /// To be told of new containers; `None` where nobody wants to know what they fill.
    pub usages: Option<Arc<Usages>>,
    /// To be told of an engine that answers; `None` where nobody asks it for numbers.
    pub engines: Option<Arc<Engines>>,
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
        if let Some(engines) = &self.engines {
            engines.set(&self.address, docker.clone());
        }
        if let Some(usages) = &self.usages {
            usages.changed();
        }
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
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = tokio::time::sleep(CHECK) => {
                    self.check(&docker, said).await;
                    continue;
                }
            };
            let Some(event) = event else { return Ok(()) };
            let event = event.map_err(engine)?;
            self.events.inc();
            let Some(event) = Event::of(event) else {
                continue;
            };
            self.apply(&docker, mine, event).await.map_err(engine)?;
        }
    }

    /// Whether an engine that says nothing still answers. One that hangs keeps its stream open: what
    /// it said last stays in force, and it is heard again as soon as it goes on.
    async fn check(&self, docker: &Docker, said: &mut String) {
        let answer = tokio::time::timeout(PATIENCE, docker.ping()).await;
        let answers = matches!(answer, Ok(Ok(_)));
        self.up.set(f64::from(u8::from(answers)));
        if answers {
            said.clear();
        } else if said.is_empty() {
            "the engine does not answer".clone_into(said);
            tracing::warn!(
                address = self.address,
                "the engine does not answer; containers keep the names they had"
            );
        }
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
        event: Event,
    ) -> Result<(), Bollard> {
        let id = event.id.as_str();
        if matches!(
            event.action,
            Action::Create | Action::Describe | Action::Start
        ) && !mine.iter().any(|known| known == id)
        {
            mine.push(id.to_owned());
        }
        match event.action {
            Action::Create => self.learn(&event),
            Action::Describe => {
                self.inspect(docker, id).await?;
            }
            Action::Start => {
                // One that is gone before it could be asked about is counted all the same.
                if self.inspect(docker, id).await?.is_none() {
                    self.learn(&event);
                }
                if let Some(usages) = &self.usages {
                    usages.changed();
                }
                if let Some(identity) = self.identities.get(id) {
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

    /// Takes who a container is from the event, where nothing better is known.
    fn learn(&self, event: &Event) {
        let known = self.identities.get(&event.id);
        let mut identity = match known {
            Some(known) => Identity::clone(&known),
            None => Identity::from_event(&event.id, &event.attributes),
        };
        match event.action {
            Action::Create => identity.created_ms = event.time_ms,
            _ => identity.started_ms = event.time_ms,
        }
        self.identities.set(identity);
    }

    async fn observe(&self, identity: Arc<Identity>) {
        let agent = Arc::clone(&self.agent);
        let read = tokio::task::spawn_blocking(move || agent.observe(&identity, now_ms()));
        if let Err(error) = read.await {
            tracing::error!(err = %error, "reading a container failed");
        }
    }
}

/// What an engine tells of a container.
struct Event {
    action: Action,
    id: String,
    /// Name, image and labels of the container.
    attributes: HashMap<String, String>,
    time_ms: Option<i64>,
}

impl Event {
    /// `None`: it concerns no container.
    fn of(message: EventMessage) -> Option<Event> {
        let actor = message.actor?;
        Some(Event {
            action: Action::of(&message.action.unwrap_or_default()),
            id: actor.id.filter(|id| !id.is_empty())?,
            attributes: actor.attributes.unwrap_or_default(),
            time_ms: message.time_nano.map(|nanos| nanos / 1_000_000),
        })
    }
}

/// What an event asks for.
#[derive(Debug, PartialEq)]
enum Action {
    Create,
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
            "create" => Action::Create,
            "rename" | "update" | "pause" | "unpause" => Action::Describe,
            // Podman says `died` and `remove`.
            "kill" | "stop" | "die" | "died" => Action::End,
            "destroy" | "remove" => Action::Remove,
            health if health.starts_with("health_status") => Action::Describe,
            _ => Action::Nothing,
        }
    }
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
