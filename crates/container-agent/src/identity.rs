//! Who the containers are, as the Docker API said last. A daemon that hangs or is gone changes nothing
//! here: names stay until it says otherwise.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, HostConfig};
use parking_lot::RwLock;

use crate::info::{CpuSpec, MemorySpec, parse_time};

/// One container as its engine describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    pub labels: BTreeMap<String, String>,
    pub envs: BTreeMap<String, String>,
    pub created_ms: Option<i64>,
    pub started_ms: Option<i64>,
    /// The first process; 0: it does not run.
    pub pid: u32,
    /// `healthy`, `unhealthy`, `starting`, or empty without a health check.
    pub health: String,
    /// The network is another container's, and counted there.
    pub joins_network: bool,
    /// The directory of the layer it writes to, where the engine tells.
    pub layer: Option<PathBuf>,
    /// The directory of its log.
    pub logs: Option<PathBuf>,
    /// Limits as they were asked for; the cgroup's count where there is one.
    pub cpu: CpuSpec,
    pub memory: MemorySpec,
}

impl Identity {
    /// What an event says of a container that could not be asked about.
    pub fn from_event(id: &str, attributes: &HashMap<String, String>) -> Identity {
        let attribute = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        let labels = attributes.iter();
        let labels = labels.filter(|(name, _)| !NOT_LABELS.contains(&name.as_str()));
        Identity {
            id: id.to_owned(),
            name: attribute("name").trim_start_matches('/').to_owned(),
            image: attribute("image"),
            labels: labels.map(|(n, v)| (n.clone(), v.clone())).collect(),
            ..Identity::default()
        }
    }

    /// What `inspect` says. `envs` are the beginnings of the names of variables to keep
    /// (`-env_metadata_whitelist`). `None` without an id.
    pub fn from_inspect(answer: ContainerInspectResponse, envs: &[String]) -> Option<Identity> {
        let config = answer.config.unwrap_or_default();
        let state = answer.state.unwrap_or_default();
        let mut labels: BTreeMap<String, String> =
            config.labels.unwrap_or_default().into_iter().collect();
        if let Some(count) = answer.restart_count.filter(|count| *count > 0) {
            labels.insert("restartcount".to_owned(), count.to_string());
        }
        let health = state.health.and_then(|health| health.status);
        let health = health.map(|status| status.to_string()).unwrap_or_default();
        let id = answer.id.filter(|id| !id.is_empty())?;
        // Beside the log lie other files of the container's; a log elsewhere is not its own.
        let files = [answer.log_path, answer.hostname_path];
        let logs = files.iter().flatten().find_map(|file| {
            let directory = Path::new(file).parent()?;
            directory.ends_with(&id).then(|| directory.to_owned())
        });
        let driver = answer.graph_driver.map(|mut driver| {
            let upper = driver.data.remove("UpperDir");
            upper.filter(|path| path.starts_with('/'))
        });
        let host = answer.host_config.unwrap_or_default();
        let (cpu, memory) = limits(&host);
        let network = host.network_mode;
        Some(Identity {
            layer: driver.flatten().map(PathBuf::from),
            logs,
            cpu,
            memory,
            id,
            name: answer
                .name
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            image: config.image.unwrap_or_default(),
            labels,
            envs: kept(&config.env.unwrap_or_default(), envs),
            created_ms: answer.created.as_deref().and_then(parse_time),
            started_ms: state.started_at.as_deref().and_then(parse_time),
            pid: state
                .pid
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or(0),
            health: if health == "none" {
                String::new()
            } else {
                health
            },
            joins_network: network.is_some_and(|mode| mode.starts_with("container:")),
        })
    }
}

/// What engines put among the labels in an event's attributes.
const NOT_LABELS: [&str; 8] = [
    "name",
    "image",
    "exitCode",
    "signal",
    "oldName",
    "execID",
    "execDuration",
    "containerExitCode",
];

fn limits(host: &HostConfig) -> (CpuSpec, MemorySpec) {
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let positive = |value| number(value).filter(|value| *value > 0);
    let period = positive(host.cpu_period).unwrap_or(100_000);
    let nanos = positive(host.nano_cpus).map(|nanos| nanos.saturating_mul(period) / 1_000_000_000);
    let cpu = CpuSpec {
        limit: positive(host.cpu_shares).unwrap_or(1024),
        quota: positive(host.cpu_quota).or(nanos).unwrap_or(0),
        period,
    };
    let memory = MemorySpec {
        limit: number(host.memory).unwrap_or(0),
        reservation: number(host.memory_reservation).unwrap_or(0),
        swap_limit: number(host.memory_swap).unwrap_or(0),
    };
    (cpu, memory)
}

fn kept(variables: &[String], beginnings: &[String]) -> BTreeMap<String, String> {
    let pairs = variables
        .iter()
        .filter_map(|variable| variable.split_once('='));
    pairs
        .filter(|(name, _)| {
            beginnings
                .iter()
                .any(|beginning| name.starts_with(beginning))
        })
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect()
}

/// The id in the last part of a cgroup's path: `<id>` (cgroupfs driver), `docker-<id>.scope` (systemd),
/// `libpod-<id>.scope` (Podman).
pub fn id_of(path: &str) -> Option<&str> {
    let last = path.rsplit('/').next()?;
    let last = last.strip_suffix(".scope").unwrap_or(last);
    let id = last.rsplit('-').next()?;
    let prefix = &last[..last.len() - id.len()];
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let known = matches!(prefix, "" | "docker-" | "libpod-");
    (known && id.len() == 64 && id.bytes().all(hex)).then_some(id)
}

/// All containers known by id.
#[derive(Debug, Default)]
pub struct Identities {
    by_id: RwLock<HashMap<String, Arc<Identity>>>,
    /// The engine's version, once one answered.
    engine: RwLock<String>,
}

impl Identities {
    /// The container with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Identity>> {
        self.by_id.read().get(id).cloned()
    }

    /// The containers that run.
    pub fn running(&self) -> Vec<Arc<Identity>> {
        let by_id = self.by_id.read();
        let running = by_id.values().filter(|identity| identity.pid > 0);
        running.cloned().collect()
    }

    /// Number of containers known.
    pub fn len(&self) -> usize {
        self.by_id.read().len()
    }

    /// Whether no container is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes what an engine said of a container.
    pub fn set(&self, identity: Identity) -> Arc<Identity> {
        let identity = Arc::new(identity);
        self.by_id
            .write()
            .insert(identity.id.clone(), Arc::clone(&identity));
        identity
    }

    /// Forgets a container that was removed.
    pub fn remove(&self, id: &str) {
        self.by_id.write().remove(id);
    }

    /// Forgets those of an engine's containers (by `mine`) that its complete list does not name.
    pub fn keep_only(&self, mine: &[String], listed: &[String]) {
        let mut by_id = self.by_id.write();
        for id in mine.iter().filter(|id| !listed.contains(id)) {
            by_id.remove(id);
        }
    }

    /// The engine's version; empty as long as none answered.
    pub fn engine_version(&self) -> String {
        self.engine.read().clone()
    }

    /// Notes the engine's version.
    pub fn set_engine_version(&self, version: String) {
        *self.engine.write() = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths() {
        let id = "0123456789abcdef".repeat(4);
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope"),
        ] {
            assert_eq!(id_of(&path), Some(id.as_str()), "{path}");
        }
        for path in [
            "/".to_owned(),
            "/docker".to_owned(),
            format!("/docker/{}", &id[1..]),
            format!("/docker/{}", id.to_uppercase()),
            format!("/libpod-conmon-{id}.scope"),
            format!("/docker/{id}/init.scope"),
        ] {
            assert_eq!(id_of(&path), None, "{path}");
        }
    }

    #[test]
    fn an_answer() {
        let json = r#"{"Id":"ab","Name":"/web","Created":"2026-01-02T03:04:05.678Z","RestartCount":2,
            "State":{"Pid":42,"StartedAt":"0001-01-01T00:00:00Z","Health":{"Status":"starting"}},
            "HostConfig":{"NetworkMode":"container:cd","NanoCpus":500000000,"Memory":4096,"MemorySwap":-1},
            "GraphDriver":{"Name":"overlay2","Data":{"UpperDir":"/d/overlay2/x/diff"}},
            "LogPath":"","HostnamePath":"/d/containers/ab/hostname",
            "Config":{"Image":"nginx:1","Labels":{"город":"Köln"},"Env":["APP_X=1=2","PATH=/bin","BAD"]}}"#;
        let answer: ContainerInspectResponse = serde_json::from_str(json).unwrap();
        let identity = Identity::from_inspect(answer, &["APP_".to_owned()]).unwrap();
        assert_eq!(
            (identity.name.as_str(), identity.image.as_str()),
            ("web", "nginx:1")
        );
        assert_eq!(identity.created_ms, Some(1_767_323_045_678));
        assert_eq!((identity.started_ms, identity.pid), (None, 42));
        assert_eq!(identity.labels["restartcount"], "2");
        assert_eq!(identity.labels["город"], "Köln");
        assert_eq!(
            identity.envs,
            BTreeMap::from([("app_x".to_owned(), "1=2".to_owned())])
        );
        assert!(identity.joins_network);
        assert_eq!(identity.health, "starting");
        assert_eq!(identity.layer, Some(PathBuf::from("/d/overlay2/x/diff")));
        assert_eq!(identity.logs, Some(PathBuf::from("/d/containers/ab")));
        assert_eq!((identity.cpu.quota, identity.cpu.limit), (50_000, 1024));
        assert_eq!(
            (identity.memory.limit, identity.memory.swap_limit),
            (4096, 0)
        );
        assert_eq!(
            Identity::from_inspect(ContainerInspectResponse::default(), &[]),
            None
        );
    }
}
