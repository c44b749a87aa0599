//! Running mechanisms for named sets and publishing what they find
//! (prometheus/prometheus `discovery/manager.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::{Configs, Running};
use crate::group::TargetGroup;
use crate::mechanism::{Problem, Problems, Updates};
use crate::metrics::Metrics;

/// The groups of every set by its name. A set that is configured and has nothing yet is there, empty.
pub type TargetSets = BTreeMap<String, Vec<Arc<TargetGroup>>>;

/// Updates are gathered for so long after one was published, so that a storm of them costs its readers
/// little.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// Runs mechanisms. Dropped, it stops them.
#[derive(Debug)]
pub struct Manager {
    name: String,
    shared: Arc<Shared>,
    sender: mpsc::Sender<(u64, Vec<TargetGroup>)>,
    metrics: Metrics,
    next_id: u64,
    providers: Vec<Provider>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Provider {
    id: u64,
    config: Running,
    task: JoinHandle<()>,
    problems: Problems,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    sets: BTreeMap<String, Set>,
    /// Groups of each provider by their source.
    found: BTreeMap<u64, BTreeMap<String, Arc<TargetGroup>>>,
}

#[derive(Debug, Default)]
struct Set {
    fixed: Vec<Arc<TargetGroup>>,
    providers: Vec<u64>,
}

impl State {
    fn publish(&self) -> TargetSets {
        let groups = |set: &Set| {
            let found = set.providers.iter().filter_map(|id| self.found.get(id));
            let found = found.flat_map(|groups| groups.values().cloned());
            set.fixed.iter().cloned().chain(found).collect()
        };
        self.sets
            .iter()
            .map(|(name, set)| (name.clone(), groups(set)))
            .collect()
    }
}

impl Manager {
    /// A manager without sets, and where it publishes. `name` tells its metrics from another one's:
    /// `scrape` or `notify`. Needs a tokio runtime around it.
    pub fn new(name: &str, metrics: Metrics) -> (Manager, watch::Receiver<TargetSets>) {
        let (sender, incoming) = mpsc::channel(64);
        let (publisher, published) = watch::channel(TargetSets::new());
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
        });
        metrics.failed_configs.with(&[name]).set(0.0);
        let tasks = [
            tokio::spawn(receive(
                shared.clone(),
                incoming,
                name.to_owned(),
                metrics.clone(),
            )),
            tokio::spawn(publish(
                shared.clone(),
                publisher,
                name.to_owned(),
                metrics.clone(),
            )),
        ];
        let manager = Manager {
            name: name.to_owned(),
            shared,
            sender,
            metrics,
            next_id: 0,
            providers: Vec::new(),
            tasks,
        };
        (manager, published)
    }

    /// Makes these the sets. Mechanisms whose configuration has not changed run on with what they have
    /// found; equal ones of several sets run once.
    pub fn apply(&mut self, sets: &BTreeMap<String, Configs>) {
        // Held from before the first mechanism starts: what it finds at once is taken for an old one's, and
        // passed over, until its set is known.
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        let mut old = std::mem::take(&mut self.providers);
        let mut new_sets = BTreeMap::new();
        for (name, configs) in sets {
            let mut set = Set {
                fixed: fixed_groups(configs),
                providers: Vec::new(),
            };
            for config in configs.running() {
                let id = self.provider(config, &mut old);
                if !set.providers.contains(&id) {
                    set.providers.push(id);
                }
            }
            new_sets.insert(name.clone(), set);
        }
        for provider in old {
            provider.task.abort();
        }
        let alive: BTreeSet<u64> = self.providers.iter().map(|provider| provider.id).collect();
        for gone in state
            .sets
            .keys()
            .filter(|name| !new_sets.contains_key(*name))
        {
            self.metrics
                .discovered_targets
                .remove(&[self.name.as_str(), gone]);
        }
        state.sets = new_sets;
        state.found.retain(|id, _| alive.contains(id));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// What mechanisms complain about at the moment, by the set; sets without problems are not there.
    pub fn problems(&self) -> BTreeMap<String, Vec<Problem>> {
        let state = self.shared.state.lock();
        let of = |set: &Set| -> Vec<Problem> {
            let ours = self.providers.iter();
            let ours = ours.filter(|provider| set.providers.contains(&provider.id));
            ours.flat_map(|provider| provider.problems.lock().clone().into_values())
                .collect()
        };
        let sets = state.sets.iter().map(|(name, set)| (name.clone(), of(set)));
        sets.filter(|(_, problems)| !problems.is_empty()).collect()
    }

    /// The running provider of this configuration, started if there is none.
    fn provider(&mut self, config: Running, old: &mut Vec<Provider>) -> u64 {
        if let Some(provider) = self.providers.iter().find(|p| p.config == config) {
            return provider.id;
        }
        let provider = match old.iter().position(|p| p.config == config) {
            Some(at) => old.swap_remove(at),
            None => {
                self.next_id += 1;
                let problems = Problems::default();
                let updates = Updates {
                    problems: Arc::clone(&problems),
                    provider: self.next_id,
                    manager: self.name.as_str().into(),
                    sender: self.sender.clone(),
                };
                let run = config
                    .clone()
                    .mechanism()
                    .run(updates, self.metrics.clone());
                Provider {
                    id: self.next_id,
                    config,
                    task: tokio::spawn(run),
                    problems,
                }
            }
        };
        let id = provider.id;
        self.providers.push(provider);
        id
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let providers = self.providers.iter().map(|provider| &provider.task);
        for task in providers.chain(&self.tasks) {
            task.abort();
        }
    }
}

fn fixed_groups(configs: &Configs) -> Vec<Arc<TargetGroup>> {
    let sections = configs.static_configs.iter().flatten().enumerate();
    sections
        .map(|(i, section)| Arc::new(section.clone().into_group(i.to_string(), &[])))
        .collect()
}

async fn receive(
    shared: Arc<Shared>,
    mut incoming: mpsc::Receiver<(u64, Vec<TargetGroup>)>,
    name: String,
    metrics: Metrics,
) {
    let received = metrics.received_updates.with(&[&name]);
    while let Some((provider, groups)) = incoming.recv().await {
        received.inc();
        let mut state = shared.state.lock();
        if !state
            .sets
            .values()
            .any(|set| set.providers.contains(&provider))
        {
            // Sent before it was stopped.
            continue;
        }
        let found = state.found.entry(provider).or_default();
        let mut changed = false;
        for group in groups {
            if group.targets.is_empty() {
                changed |= found.remove(&group.source).is_some();
            } else if found
                .get(&group.source)
                .is_none_or(|known| **known != group)
            {
                found.insert(group.source.clone(), Arc::new(group));
                changed = true;
            }
        }
        drop(state);
        if changed {
            shared.changed.notify_one();
        }
    }
}

async fn publish(
    shared: Arc<Shared>,
    publisher: watch::Sender<TargetSets>,
    name: String,
    metrics: Metrics,
) {
    let (sent, delayed) = (
        metrics.sent_updates.with(&[&name]),
        metrics.delayed_updates.with(&[&name]),
    );
    delayed.add(0);
    loop {
        shared.changed.notified().await;
        let sets = shared.state.lock().publish();
        for (set, groups) in &sets {
            let count: usize = groups.iter().map(|group| group.targets.len()).sum();
            metrics
                .discovered_targets
                .with(&[&name, set])
                .set(count as f64);
        }
        if publisher.send(sets).is_err() {
            return;
        }
        sent.inc();
        tokio::time::sleep(QUIET_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(yaml: &str) -> Configs {
        yaml_config::from_str(yaml).unwrap()
    }

    fn addresses(sets: &TargetSets, name: &str) -> Vec<String> {
        let targets = sets[name].iter().flat_map(|group| &group.targets);
        let mut addresses: Vec<String> = targets
            .map(|target| target.get("__address__").to_owned())
            .collect();
        addresses.sort();
        addresses
    }

    async fn until(
        published: &mut watch::Receiver<TargetSets>,
        accept: impl Fn(&TargetSets) -> bool + Send,
    ) -> TargetSets {
        let found =
            tokio::time::timeout(Duration::from_secs(10), published.wait_for(|s| accept(s)));
        found.await.unwrap().unwrap().clone()
    }

    /// What mechanisms find while others are still being started is not lost.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_found_at_once_counts() {
        const SETS: usize = 400;
        let dir = tempfile::tempdir().unwrap();
        let sets: BTreeMap<String, Configs> = (0..SETS)
            .map(|i| {
                let path = dir.path().join(format!("{i}.yml"));
                std::fs::write(&path, format!("[{{targets: ['a:{i}']}}]")).unwrap();
                let yaml = format!("file_sd_configs: [{{files: ['{}']}}]", path.display());
                (i.to_string(), configs(&yaml))
            })
            .collect();
        let metrics = Metrics::new(&telemetry::Registry::new());
        let (mut manager, mut published) = Manager::new("scrape", metrics);
        manager.apply(&sets);
        let all = until(&mut published, |sets| {
            sets.len() == SETS && sets.values().all(|groups| groups.len() == 1)
        });
        assert_eq!(addresses(&all.await, "7"), ["a:7"]);
    }

    #[tokio::test]
    async fn files_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yml");
        let metrics = Metrics::new(&telemetry::Registry::new());
        let (mut manager, mut published) = Manager::new("scrape", metrics.clone());
        let yaml = format!(
            "file_sd_configs: [{{files: ['{}/*.yml']}}]\nstatic_configs: [{{targets: ['s:1']}}]\n",
            dir.path().display()
        );
        let sets = BTreeMap::from([("job".to_owned(), configs(&yaml))]);
        manager.apply(&sets);
        let first = until(&mut published, |sets| sets.contains_key("job")).await;
        assert_eq!(addresses(&first, "job"), ["s:1"]);

        std::fs::write(&path, "- targets: ['f:1', 'f:2']\n").unwrap();
        until(&mut published, |sets| {
            addresses(sets, "job") == ["f:1", "f:2", "s:1"]
        })
        .await;
        // Not right: the last good list holds.
        std::fs::write(&path, "- target: ['f:9']\n").unwrap();
        let failed = async {
            while metrics.file_read_errors.get() == 0.0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), failed)
            .await
            .unwrap();
        assert_eq!(addresses(&published.borrow(), "job"), ["f:1", "f:2", "s:1"]);
        std::fs::remove_file(&path).unwrap();
        until(&mut published, |sets| addresses(sets, "job") == ["s:1"]).await;
    }

    #[tokio::test]
    async fn a_docker_engine_is_asked_over_its_socket() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).await.unwrap();
                let request = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let body = if request.starts_with(
                    "GET /containers/json?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D ",
                ) {
                    r#"[{"Id":"c","Names":["/x"],"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"IPAddress":"","NetworkID":"n"}}}}]"#
                } else {
                    "[]"
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(body.as_bytes()).await.unwrap();
            }
        });
        let metrics = Metrics::new(&telemetry::Registry::new());
        let (mut manager, mut published) = Manager::new("scrape", metrics);
        let yaml = format!(
            "docker_sd_configs: [{{host: 'unix://{}', port: 9100, filters: [{{name: label, values: [a]}}]}}]\n",
            path.display()
        );
        manager.apply(&BTreeMap::from([("job".to_owned(), configs(&yaml))]));
        until(&mut published, |sets| {
            sets.contains_key("job") && addresses(sets, "job") == ["localhost:9100"]
        })
        .await;
    }

    #[tokio::test]
    async fn a_reload_keeps_what_has_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yml"), "- targets: ['f:1']\n").unwrap();
        let metrics = Metrics::new(&telemetry::Registry::new());
        let (mut manager, mut published) = Manager::new("scrape", metrics);
        let yaml = format!(
            "file_sd_configs: [{{files: ['{}/a.yml']}}]\n",
            dir.path().display()
        );
        manager.apply(&BTreeMap::from([
            ("one".to_owned(), configs(&yaml)),
            ("two".to_owned(), configs(&yaml)),
        ]));
        assert_eq!(manager.providers.len(), 1, "equal mechanisms run once");
        let id = manager.providers[0].id;
        until(&mut published, |sets| {
            sets.contains_key("two")
                && addresses(sets, "one") == ["f:1"]
                && addresses(sets, "two") == ["f:1"]
        })
        .await;
        manager.apply(&BTreeMap::from([
            ("two".to_owned(), configs(&yaml)),
            (
                "three".to_owned(),
                configs("static_configs: [{targets: ['s:1']}]\n"),
            ),
        ]));
        assert_eq!(manager.providers[0].id, id, "it was not started again");
        let sets = until(&mut published, |sets| !sets.contains_key("one")).await;
        assert_eq!(addresses(&sets, "two"), ["f:1"]);
        assert_eq!(addresses(&sets, "three"), ["s:1"]);
        manager.apply(&BTreeMap::new());
        until(&mut published, BTreeMap::is_empty).await;
        assert!(manager.providers.is_empty());
    }
}
