//! Against an agent written from the API's documentation: blocking questions, services that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Check, ConsulConfig, Instance, next_index};
use crate::fake::{Asked, Reply, serve, within};
use crate::manager::{Manager, TargetSets};
use crate::{Configs, Metrics};

/// The agent's state; an answer waits until the index is beyond the one that was asked with.
#[derive(Clone)]
struct Agent {
    state: Arc<watch::Sender<State>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Default)]
struct State {
    index: u64,
    /// Tags and ports of instances by the service's name.
    services: BTreeMap<String, (Vec<String>, Vec<u16>)>,
    refuse: bool,
}

impl Agent {
    fn new() -> Agent {
        let state = State {
            index: 5,
            ..State::default()
        };
        Agent {
            state: Arc::new(watch::channel(state).0),
            asked: Arc::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(|state| {
            state.index += 1;
            change(state);
        });
    }

    fn register(&self, name: &str, tags: &[&str], ports: &[u16]) {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.change(|state| {
            state
                .services
                .insert(name.to_owned(), (tags, ports.to_vec()));
        });
    }

    fn asked(&self, path: &str) -> Option<Asked> {
        let asked = self.asked.lock();
        asked.iter().rev().find(|asked| asked.path == path).cloned()
    }

    async fn answer(self, asked: Asked) -> Reply {
        self.asked.lock().push(asked.clone());
        if asked.path == "/prefix/v1/agent/self" {
            return Reply::ok(json!({"Config": {"Datacenter": "dc7"}}).to_string());
        }
        let index: u64 = asked.parameter("index").parse().unwrap_or(0);
        let mut state = self.state.subscribe();
        let state = state
            .wait_for(|state| state.index > index || state.refuse)
            .await;
        let state = state.unwrap().clone();
        if state.refuse {
            return Reply::status(500, "No cluster leader");
        }
        let body: Value = if asked.path == "/prefix/v1/catalog/services" {
            let services = state.services.iter();
            services
                .map(|(name, (tags, _))| (name.clone(), json!(tags)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        } else {
            let name = asked.path.rsplit('/').next().unwrap();
            let (tags, ports) = state.services.get(name).cloned().unwrap_or_default();
            let instance = |port: &u16| {
                json!({
                    "Node": {"Node": "n", "Address": "10.0.0.1"},
                    "Service": {"ID": format!("{name}-{port}"), "Tags": tags, "Port": port},
                    "Checks": []
                })
            };
            ports.iter().map(instance).collect()
        };
        Reply::ok(body.to_string()).header("X-Consul-Index", state.index.to_string())
    }
}

async fn follow(agent: &Agent, section: &str) -> (Manager, watch::Receiver<TargetSets>, Metrics) {
    let answering = agent.clone();
    let url = serve(move |asked| answering.clone().answer(asked)).await;
    let metrics = Metrics::new(&telemetry::Registry::new());
    let (mut manager, published) = Manager::new("scrape", metrics.clone());
    let server = url.trim_start_matches("http://");
    let text = format!(
        "consul_sd_configs: [{{server: '{server}', path_prefix: /prefix, refresh_interval: 20ms, {section}}}]\n"
    );
    let configs: Configs = yaml_config::from_str(&text).unwrap();
    manager.apply(&BTreeMap::from([("job".to_owned(), configs)]));
    (manager, published, metrics)
}

/// Addresses with their service and their datacenter.
fn found(sets: &TargetSets) -> Vec<String> {
    let mut found = Vec::new();
    for group in sets.get("job").into_iter().flatten() {
        let label = |name: &str| {
            group
                .labels
                .get(&format!("__meta_consul_{name}"))
                .to_owned()
        };
        for target in &group.targets {
            found.push(format!(
                "{} {} {}",
                target.get("__address__"),
                label("service"),
                label("dc")
            ));
        }
    }
    found.sort();
    found
}

async fn until(published: &mut watch::Receiver<TargetSets>, expected: &[&str]) {
    within(&format!("{expected:?}"), || {
        (found(&published.borrow_and_update()) == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn services_of_the_catalog_come_change_and_go() {
    let agent = Agent::new();
    agent.register("web", &["prod"], &[80, 81]);
    agent.register("test", &["dev"], &[90]);
    let section = "token: t, tags: [prod], node_meta: {rack: a}, filter: F, health_filter: H, namespace: ns, partition: p";
    let (manager, mut published, metrics) = follow(&agent, section).await;
    until(
        &mut published,
        &["10.0.0.1:80 web dc7", "10.0.0.1:81 web dc7"],
    )
    .await;
    let catalog = agent.asked("/prefix/v1/catalog/services").unwrap();
    let health = agent.asked("/prefix/v1/health/service/web").unwrap();
    for (asked, filter) in [(&catalog, "F"), (&health, "H")] {
        assert_eq!(asked.header("x-consul-token"), "t");
        for (name, value) in [
            ("dc", "dc7"),
            ("ns", "ns"),
            ("partition", "p"),
            ("wait", "120000ms"),
            ("node-meta", "rack:a"),
            ("filter", filter),
        ] {
            assert_eq!(asked.parameter(name), value, "{name} of {}", asked.path);
        }
        assert_eq!(asked.all("stale"), [""]);
    }
    assert_eq!(health.all("tag"), ["prod"]);
    assert!(agent.asked("/prefix/v1/health/service/test").is_none());

    agent.register("web", &["prod"], &[82]);
    until(&mut published, &["10.0.0.1:82 web dc7"]).await;
    agent.register("db", &["x", "prod"], &[70]);
    until(
        &mut published,
        &["10.0.0.1:70 db dc7", "10.0.0.1:82 web dc7"],
    )
    .await;
    agent.change(|state| {
        state.services.remove("web");
    });
    until(&mut published, &["10.0.0.1:70 db dc7"]).await;

    // It cannot answer: that is told, and what it said last holds.
    agent.change(|state| state.refuse = true);
    let problem = within("a problem", || manager.problems().get("job").cloned()).await;
    assert!(
        problem[0]
            .error
            .contains("Unexpected response code: 500 (No cluster leader)"),
        "{problem:?}"
    );
    assert!(metrics.consul_rpc_failures.get() >= 1.0);
    assert_eq!(found(&published.borrow()), ["10.0.0.1:70 db dc7"]);
}

#[tokio::test]
async fn named_services_are_watched_without_the_catalog() {
    let agent = Agent::new();
    agent.register("web", &[], &[80]);
    agent.register("db", &[], &[70]);
    let (_manager, mut published, _) =
        follow(&agent, "services: [web], datacenter: d, allow_stale: false").await;
    until(&mut published, &["10.0.0.1:80 web d"]).await;
    assert!(agent.asked("/prefix/v1/catalog/services").is_none());
    assert!(agent.asked("/prefix/v1/agent/self").is_none());
    let health = agent.asked("/prefix/v1/health/service/web").unwrap();
    assert!(health.all("stale").is_empty());
    agent.register("web", &[], &[99]);
    until(&mut published, &["10.0.0.1:99 web d"]).await;
}

const INSTANCE: &str = r#"{
  "Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"rack.no": "7"}, "TaggedAddresses": {"wan": "1.2.3.4"}},
  "Service": {"ID": "web-1", "Service": "web", "Tags": ["a", "b"], "Address": "", "Port": 3341,
              "Meta": {"version": "2"}, "Namespace": "default", "Partition": "p"},
  "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "web", "Status": "warning"}]
}"#;

#[test]
fn an_instance_becomes_a_target() {
    let mut instance: Instance = serde_json::from_str(INSTANCE).unwrap();
    let expected = Labels::from([
        ("__address__", "10.0.0.1:3341"),
        ("__meta_consul_address", "10.0.0.1"),
        ("__meta_consul_health", "warning"),
        ("__meta_consul_metadata_rack_no", "7"),
        ("__meta_consul_namespace", "default"),
        ("__meta_consul_node", "n1"),
        ("__meta_consul_partition", "p"),
        ("__meta_consul_service_id", "web-1"),
        ("__meta_consul_service_metadata_version", "2"),
        ("__meta_consul_service_port", "3341"),
        ("__meta_consul_tagged_address_wan", "1.2.3.4"),
        ("__meta_consul_tags", ",a,b,"),
    ]);
    assert_eq!(instance.labels(","), expected);
    instance.service.address = "fe80::1".to_owned();
    instance.service.tags = None;
    let labels = instance.labels(",");
    assert_eq!(labels.get("__address__"), "[fe80::1]:3341");
    assert_eq!(labels.get("__meta_consul_tags"), ",,");
    for (checks, health) in [
        (&[("x", "passing")][..], "passing"),
        (&[("x", "warning"), ("y", "critical")], "critical"),
        (&[("_service_maintenance:web", "critical")], "maintenance"),
        (&[], "passing"),
    ] {
        let check = |(id, status): &(&str, &str)| Check {
            check_id: (*id).to_owned(),
            status: (*status).to_owned(),
        };
        instance.checks = Some(checks.iter().map(check).collect());
        assert_eq!(instance.health(), health);
    }
}

#[test]
fn sections() {
    let error = |text: &str| {
        let parsed = yaml_config::from_str::<ConsulConfig>(text);
        parsed.unwrap_err().message()
    };
    assert_eq!(
        error("{server: ' '}"),
        "consul SD configuration requires a server address"
    );
    assert_eq!(
        error("{username: u, basic_auth: {username: u}}"),
        "at most one of consul SD configuration username and password and basic auth can be configured"
    );
    assert_eq!(
        error("{token: t, authorization: {credentials: c}}"),
        "at most one of consul SD token, authorization, or oauth2 can be configured"
    );
    let config: ConsulConfig = yaml_config::from_str("{username: u, password: p}").unwrap();
    assert_eq!(config.http().basic_auth.unwrap().username, "u");
    assert_eq!(next_index(5, 7), 7);
    assert_eq!(next_index(5, 3), 0);
}
