//! Against an API server of the tests' own: lists, watches, bookmarks, 410 Gone, and what becomes labels.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use crate::fake::within;
use crate::manager::{Manager, TargetSets};
use crate::{Configs, Metrics};

/// A server that keeps objects by the path of their list.
#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    url: String,
    state: Mutex<State>,
    /// Lines for watches: the path of the list and the event.
    events: broadcast::Sender<(String, Value)>,
}

#[derive(Default)]
struct State {
    version: u64,
    lists: HashMap<String, BTreeMap<String, Value>>,
    /// What watches have been told, with the version and the list.
    told: Vec<(u64, String, Value)>,
    /// What was asked for, as it came.
    requests: Vec<String>,
    /// Versions below this are gone.
    oldest: u64,
    refuse: bool,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server(Arc::new(Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Mutex::default(),
            events: broadcast::channel(64).0,
        }));
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    /// Adds or changes an object, quietly or told to watches.
    fn put(&self, list: &str, mut object: Value, tell: bool) {
        let mut state = self.0.state.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let known = state.lists.entry(list.to_owned()).or_default();
        let before = known.insert(name, object.clone());
        let kind = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        if tell {
            self.change(&mut state, list, json!({"type": kind, "object": object}));
        }
    }

    fn delete(&self, list: &str, name: &str, tell: bool) {
        let mut state = self.0.state.lock();
        state.version += 1;
        let mut object = state.lists.get_mut(list).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        if tell {
            self.change(
                &mut state,
                list,
                json!({"type": "DELETED", "object": object}),
            );
        }
    }

    /// Kept for watches that begin later, too.
    fn change(&self, state: &mut State, list: &str, event: Value) {
        let version = state.version;
        state.told.push((version, list.to_owned(), event.clone()));
        let _ = self.0.events.send((list.to_owned(), event));
    }

    fn tell(&self, list: &str, event: Value) {
        let _ = self.0.events.send((list.to_owned(), event));
    }

    fn requests(&self) -> Vec<String> {
        self.0.state.lock().requests.clone()
    }

    /// Waits until as many watches are open as there are reflectors.
    async fn watched(&self, count: usize) {
        within("watches", || {
            (self.0.events.receiver_count() >= count).then_some(())
        })
        .await;
    }

    async fn serve(self, stream: TcpStream) {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        loop {
            let mut head = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.is_empty() {
                    break;
                }
                head.push(line);
            }
            let Some(first) = head.first() else {
                return;
            };
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let parameter = |name: &str| {
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs
                    .filter(|(key, _)| *key == name)
                    .map(|(_, v)| v.to_owned())
                    .next()
            };
            let version: u64 = parameter("resourceVersion")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            let (status, body, watch) = {
                let mut state = self.0.state.lock();
                state.requests.push(target.clone());
                let is_watch = parameter("watch").is_some();
                if state.refuse {
                    let refusal =
                        json!({"kind": "Status", "message": "pods is forbidden", "code": 403});
                    ("403 Forbidden", refusal, None)
                } else if is_watch && version < state.oldest {
                    let gone = json!({"kind": "Status", "message": "too old", "code": 410});
                    ("410 Gone", gone, None)
                } else if is_watch {
                    // With the state held still, so that nothing falls between.
                    let missed = state.told.iter();
                    let missed = missed.filter(|(at, list, _)| *at > version && list == path);
                    let missed: Vec<Value> = missed.map(|(_, _, event)| event.clone()).collect();
                    (
                        "200 OK",
                        Value::Null,
                        Some((missed, self.0.events.subscribe())),
                    )
                } else {
                    ("200 OK", page(&state, path, parameter("continue")), None)
                }
            };
            let Some((missed, mut events)) = watch else {
                let text = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                );
                if writer.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                continue;
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            writer.write_all(head.as_bytes()).await.unwrap();
            for event in missed {
                if send_event(&mut writer, &event).await.is_err() {
                    return;
                }
            }
            while let Ok((list, event)) = events.recv().await {
                if list != path {
                    continue;
                }
                if event == Value::Null {
                    // The end of the watch.
                    let _ = writer.write_all(b"0\r\n\r\n").await;
                    break;
                }
                if send_event(&mut writer, &event).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// In two pieces: events do not keep to the borders of what is sent.
async fn send_event(writer: &mut OwnedWriteHalf, event: &Value) -> std::io::Result<()> {
    let line = format!("{event}\n");
    let (a, b) = line.as_bytes().split_at(line.len() / 2);
    for part in [a, b] {
        let size = format!("{:x}\r\n", part.len());
        let chunk = [size.as_bytes(), part, b"\r\n"].concat();
        writer.write_all(&chunk).await?;
    }
    Ok(())
}

/// Two objects a page, whatever limit is asked for.
fn page(state: &State, path: &str, from: Option<String>) -> Value {
    let none = BTreeMap::new();
    let all: Vec<&Value> = state.lists.get(path).unwrap_or(&none).values().collect();
    let from: usize = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let items: Vec<&Value> = all.iter().skip(from).take(2).copied().collect();
    let mut metadata = json!({"resourceVersion": state.version.to_string()});
    if from + 2 < all.len() {
        metadata["continue"] = json!((from + 2).to_string());
    }
    json!({"kind": "List", "metadata": metadata, "items": items})
}

/// A manager that follows the server with a section.
struct Bench {
    manager: Manager,
    published: watch::Receiver<TargetSets>,
    metrics: Metrics,
}

impl Bench {
    fn new(server: &Server, section: &str) -> Bench {
        let metrics = Metrics::new(&telemetry::Registry::new());
        let (mut manager, published) = Manager::new("scrape", metrics.clone());
        let text = format!(
            "kubernetes_sd_configs: [{{api_server: '{}', {section}}}]\n",
            server.0.url
        );
        let configs: Configs = yaml_config::from_str(&text).unwrap();
        manager.apply(&BTreeMap::from([("job".to_owned(), configs)]));
        Bench {
            manager,
            published,
            metrics,
        }
    }

    /// All targets with their group's labels, by address, once they are what is expected.
    async fn until(&mut self, accept: impl Fn(&Targets) -> bool) -> Targets {
        let targets = within("the targets", || {
            let targets = Targets::of(&self.published.borrow_and_update());
            accept(&targets).then_some(targets)
        });
        targets.await
    }
}

#[derive(Debug)]
struct Targets(BTreeMap<String, BTreeMap<String, String>>);

impl Targets {
    fn of(sets: &TargetSets) -> Targets {
        let mut all = BTreeMap::new();
        for group in sets.get("job").into_iter().flatten() {
            for target in &group.targets {
                let pairs = group.labels.iter().chain(target.iter());
                let pairs: BTreeMap<String, String> = pairs
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                all.insert(target.get("__address__").to_owned(), pairs);
            }
        }
        Targets(all)
    }

    fn addresses(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn label(&self, address: &str, name: &str) -> &str {
        let name = format!("__meta_kubernetes_{name}");
        self.0
            .get(address)
            .and_then(|labels| labels.get(&name))
            .map_or("", String::as_str)
    }

    /// All labels of a target but its address, without the prefix.
    fn check(&self, address: &str, expected: &[(&str, &str)]) {
        let found: BTreeMap<&str, &str> = self.0[address]
            .iter()
            .filter(|(name, _)| *name != "__address__")
            .map(|(name, value)| {
                (
                    name.trim_start_matches("__meta_kubernetes_"),
                    value.as_str(),
                )
            })
            .collect();
        assert_eq!(found, expected.iter().copied().collect());
    }
}

const PODS: &str = "/api/v1/pods";

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": "u1",
            "labels": {"app.kubernetes.io/name": "web"},
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}]
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]},
                {"name": "side", "image": "side:1", "ports": [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]}
            ],
            "initContainers": [{"name": "first", "image": "first:1"}]
        },
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": "10.1.1.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "containerID": "docker://w"}]
        }
    })
}

const POD_LABELS: [(&str, &str); 12] = [
    ("pod_annotation_prometheus_io_scrape", "true"),
    ("pod_annotationpresent_prometheus_io_scrape", "true"),
    ("pod_controller_kind", "ReplicaSet"),
    ("pod_controller_name", "web-1"),
    ("pod_host_ip", "10.1.1.1"),
    ("pod_label_app_kubernetes_io_name", "web"),
    ("pod_labelpresent_app_kubernetes_io_name", "true"),
    ("pod_name", "a"),
    ("pod_node_name", "n1"),
    ("pod_phase", "Running"),
    ("pod_ready", "true"),
    ("pod_uid", "u1"),
];

#[tokio::test]
async fn pods_come_change_and_go() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.put(
            PODS,
            pod(name, &format!("10.0.0.{}", name.as_bytes()[0] - b'a' + 1)),
            false,
        );
    }
    let mut bench = Bench::new(
        &server,
        "role: pod, selectors: [{role: pod, label: 'app=web', field: 'status.phase=Running'}]",
    );
    // Three pages' worth, with three targets each.
    let targets = bench.until(|targets| targets.0.len() == 9).await;
    let mut expected = POD_LABELS.to_vec();
    expected.extend([
        ("namespace", "shop"),
        ("pod_container_id", "docker://w"),
        ("pod_container_image", "web:1"),
        ("pod_container_init", "false"),
        ("pod_container_name", "web"),
        ("pod_container_port_name", "http"),
        ("pod_container_port_number", "8080"),
        ("pod_container_port_protocol", "TCP"),
        ("pod_ip", "10.0.0.1"),
    ]);
    targets.check("10.0.0.1:8080", &expected);
    // One without a port: the address has none, relabelling has to add it.
    assert_eq!(targets.label("10.0.0.1", "pod_container_init"), "true");

    server.watched(1).await;
    server.put(PODS, pod("b", "10.0.0.22"), true);
    bench
        .until(|targets| targets.addresses().contains(&"10.0.0.22:9090"))
        .await;
    server.delete(PODS, "c", true);
    bench.until(|targets| targets.0.len() == 6).await;
    let events = |event| bench.metrics.kubernetes_events.with(&["pod", event]).get();
    assert_eq!(
        (events("add"), events("update"), events("delete")),
        (3.0, 1.0, 1.0)
    );

    // The watch goes on from the bookmark when it has ended, with the same selectors.
    server.tell(PODS, json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "4711"}}}));
    server.tell(PODS, Value::Null);
    let request = within("a new watch", || {
        let mut requests = server.requests().into_iter();
        requests.find(|request| request.contains("resourceVersion=4711"))
    })
    .await;
    assert!(
        request.contains("labelSelector=app%3Dweb&fieldSelector=status.phase%3DRunning"),
        "{request}"
    );
    assert!(request.contains("allowWatchBookmarks=true"), "{request}");
}

#[tokio::test]
async fn what_is_forgotten_over_there_is_listed_again() {
    let server = Server::start().await;
    server.put(PODS, pod("a", "10.0.0.1"), false);
    server.put(PODS, pod("b", "10.0.0.2"), false);
    let mut bench = Bench::new(&server, "role: pod");
    bench.until(|targets| targets.0.len() == 6).await;
    server.watched(1).await;
    // Missed by the watch; then it is told that its version is too old.
    server.delete(PODS, "a", false);
    server.put(PODS, pod("d", "10.0.0.4"), false);
    server.tell(PODS, json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}));
    bench
        .until(|targets| {
            targets.addresses().contains(&"10.0.0.4") && !targets.addresses().contains(&"10.0.0.1")
        })
        .await;
    // The same by status, when a watch is opened.
    server.watched(1).await;
    {
        let mut state = server.0.state.lock();
        state.oldest = 1000;
        state.version = 2000;
    }
    server.put(PODS, pod("e", "10.0.0.5"), false);
    server.tell(PODS, Value::Null);
    bench
        .until(|targets| targets.addresses().contains(&"10.0.0.5"))
        .await;
}

#[tokio::test]
async fn refusals_are_told_and_what_was_known_holds() {
    let server = Server::start().await;
    server.put(PODS, pod("a", "10.0.0.1"), false);
    let mut bench = Bench::new(&server, "role: pod, bearer_token: t");
    bench.until(|targets| targets.0.len() == 3).await;
    assert!(bench.manager.problems().is_empty());
    server.watched(1).await;
    server.0.state.lock().refuse = true;
    server.tell(PODS, Value::Null);
    let problems = within("a problem", || {
        let problems = bench.manager.problems();
        problems.get("job").cloned()
    })
    .await;
    assert_eq!(problems[0].mechanism, "kubernetes");
    assert_eq!(problems[0].error, "pods is forbidden");
    assert!(bench.metrics.kubernetes_failures.get() >= 1.0);
    assert_eq!(Targets::of(&bench.published.borrow()).0.len(), 3);
    server.0.state.lock().refuse = false;
    within("the end of the problem", || {
        bench.manager.problems().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn slices_know_their_service_their_pods_and_their_nodes() {
    let server = Server::start().await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
    let (pods, services) = (
        "/api/v1/namespaces/shop/pods",
        "/api/v1/namespaces/shop/services",
    );
    server.put(pods, pod("a", "10.0.0.1"), false);
    let service = |tier: &str| json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"tier": tier}}});
    server.put(services, service("front"), false);
    server.put(
        "/api/v1/nodes",
        json!({"metadata": {"name": "n1", "labels": {"zone": "z1"}}}),
        false,
    );
    server.put(
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop", "annotations": {"team": "t"}}}),
        false,
    );
    server.put(
        slices,
        json!({
            "metadata": {"name": "web-x1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
                 "nodeName": "n1", "zone": "z1", "hostname": "h",
                 "targetRef": {"kind": "Pod", "namespace": "shop", "name": "a"}},
                {"addresses": ["10.9.9.9"], "conditions": {}}
            ],
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": "http"}]
        }),
        false,
    );
    let mut bench = Bench::new(
        &server,
        "role: endpointslice, namespaces: {names: [shop]}, attach_metadata: {node: true, namespace: true}",
    );
    // The slice's own, and the port of the pod that no service covers.
    let targets = bench.until(|targets| targets.0.len() == 3).await;
    let mut expected = POD_LABELS.to_vec();
    let group = [
        ("endpointslice_address_type", "IPv4"),
        ("endpointslice_label_kubernetes_io_service_name", "web"),
        (
            "endpointslice_labelpresent_kubernetes_io_service_name",
            "true",
        ),
        ("endpointslice_name", "web-x1"),
        ("namespace", "shop"),
        ("namespace_annotation_team", "t"),
        ("namespace_annotationpresent_team", "true"),
        ("service_label_tier", "front"),
        ("service_labelpresent_tier", "true"),
        ("service_name", "web"),
    ];
    expected.extend(group);
    expected.extend([
        ("endpointslice_address_target_kind", "Pod"),
        ("endpointslice_address_target_name", "a"),
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_serving", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_hostname", "h"),
        ("endpointslice_endpoint_node_name", "n1"),
        ("endpointslice_endpoint_zone", "z1"),
        ("endpointslice_port", "8080"),
        ("endpointslice_port_app_protocol", "http"),
        ("endpointslice_port_name", "http"),
        ("endpointslice_port_protocol", "TCP"),
        ("node_label_zone", "z1"),
        ("node_labelpresent_zone", "true"),
        ("node_name", "n1"),
        ("pod_container_image", "web:1"),
        ("pod_container_init", "false"),
        ("pod_container_name", "web"),
        ("pod_container_port_name", "http"),
        ("pod_container_port_number", "8080"),
        ("pod_container_port_protocol", "TCP"),
        ("pod_ip", "10.0.0.1"),
    ]);
    targets.check("10.0.0.1:8080", &expected);
    assert_eq!(targets.label("10.0.0.1:9090", "pod_container_name"), "side");
    assert_eq!(targets.label("10.9.9.9:8080", "service_name"), "web");
    assert_eq!(targets.label("10.9.9.9:8080", "pod_name"), "");

    // A change of what is around changes the group.
    server.watched(5).await;
    server.put(services, service("back"), true);
    bench
        .until(|t| t.label("10.9.9.9:8080", "service_label_tier") == "back")
        .await;
    let mut other = pod("a", "10.0.0.1");
    other["status"]["phase"] = json!("Failed");
    server.put(pods, other, true);
    bench
        .until(|t| t.label("10.0.0.1:8080", "pod_phase") == "Failed")
        .await;
    server.put(
        "/api/v1/nodes",
        json!({"metadata": {"name": "n1", "labels": {"zone": "z2"}}}),
        true,
    );
    bench
        .until(|t| t.label("10.0.0.1:8080", "node_label_zone") == "z2")
        .await;
    server.delete("/api/v1/namespaces", "shop", true);
    bench
        .until(|t| {
            t.label("10.0.0.1:8080", "namespace_annotation_team")
                .is_empty()
        })
        .await;
    server.delete(slices, "web-x1", true);
    bench.until(|targets| targets.0.is_empty()).await;
}

#[tokio::test]
async fn endpoints_nodes_services_and_ingresses() {
    let server = Server::start().await;
    server.put("/api/v1/pods", pod("a", "10.0.0.1"), false);
    server.put(
        "/api/v1/endpoints",
        json!({
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"x": "y"}},
            "subsets": [{
                "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "hostname": "h", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "a"}}],
                "notReadyAddresses": [{"ip": "10.0.0.9"}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]
            }]
        }),
        false,
    );
    server.put(
        "/api/v1/services",
        json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "loadBalancerIP": "1.2.3.4",
                     "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        }),
        false,
    );
    server.put(
        "/api/v1/nodes",
        json!({
            "metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}},
            "spec": {"providerID": "aws:///i-1"},
            "status": {"addresses": [{"type": "Hostname", "address": "n1.local"}, {"type": "InternalIP", "address": "10.1.1.1"}],
                       "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
        }),
        false,
    );
    server.put(
        "/apis/networking.k8s.io/v1/ingresses",
        json!({
            "metadata": {"name": "in", "namespace": "shop"},
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example.com"]}], "rules": [
                {"host": "a.example.com", "http": {"paths": [{"path": "/x"}, {}]}},
                {"host": "a.b.example.com"}
            ]}
        }),
        false,
    );
    let mut endpoints = Bench::new(&server, "role: endpoints");
    let targets = endpoints.until(|targets| targets.0.len() == 3).await;
    targets.check(
        "10.0.0.9:8080",
        &[
            ("endpoint_port_name", "http"),
            ("endpoint_port_protocol", "TCP"),
            ("endpoint_ready", "false"),
            ("endpoints_annotation_x", "y"),
            ("endpoints_annotationpresent_x", "true"),
            ("endpoints_name", "web"),
            ("namespace", "shop"),
            ("service_name", "web"),
        ],
    );
    for (name, value) in [
        ("endpoint_ready", "true"),
        ("endpoint_hostname", "h"),
        ("endpoint_node_name", "n1"),
        ("endpoint_address_target_kind", "Pod"),
        ("endpoint_address_target_name", "a"),
        ("pod_container_name", "web"),
    ] {
        assert_eq!(targets.label("10.0.0.1:8080", name), value, "{name}");
    }

    let mut nodes = Bench::new(&server, "role: node");
    let targets = nodes.until(|targets| targets.0.len() == 1).await;
    targets.check(
        "10.1.1.1:10250",
        &[
            ("instance", "n1"),
            ("node_address_Hostname", "n1.local"),
            ("node_address_InternalIP", "10.1.1.1"),
            ("node_label_kubernetes_io_os", "linux"),
            ("node_labelpresent_kubernetes_io_os", "true"),
            ("node_name", "n1"),
            ("node_provider_id", "aws:///i-1"),
        ],
    );

    let mut services = Bench::new(&server, "role: service");
    let targets = services.until(|targets| targets.0.len() == 1).await;
    targets.check(
        "web.shop.svc:80",
        &[
            ("namespace", "shop"),
            ("service_cluster_ip", "10.96.0.1"),
            ("service_loadbalancer_ip", "1.2.3.4"),
            ("service_name", "web"),
            ("service_port_name", "http"),
            ("service_port_number", "80"),
            ("service_port_protocol", "TCP"),
            ("service_type", "LoadBalancer"),
        ],
    );

    let mut ingresses = Bench::new(&server, "role: ingress");
    let targets = ingresses.until(|targets| targets.0.len() == 2).await;
    targets.check(
        "a.b.example.com",
        &[
            ("ingress_class_name", "nginx"),
            ("ingress_host", "a.b.example.com"),
            ("ingress_name", "in"),
            ("ingress_path", "/"),
            ("ingress_scheme", "http"),
            ("namespace", "shop"),
        ],
    );
    assert_eq!(targets.label("a.example.com", "ingress_scheme"), "https");
}
