//! `kubernetes_sd_configs`: the objects of a Kubernetes cluster (prometheus/prometheus
//! `discovery/kubernetes`).
//!
//! ```text
//! reflector (a kind of objects in a namespace)  --news-->  view (objects, groups)  --groups-->  manager
//! ```
//!
//! Every reflector lists, then watches. Nothing is published before all of them have listed, so that no
//! target is seen without the labels of its pod or its service. Objects are kept as far as they become
//! labels; a change makes only those groups anew that it concerns.

mod cluster;
mod config;
mod labels;
mod objects;
mod reflector;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use futures::future::BoxFuture;
use http_client::{Client, ClientOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::cluster::Cluster;
pub use self::config::{
    AttachMetadata, KubernetesConfig, KubernetesSection, Namespaces, Role, Selector,
};
use self::objects::Object;
use self::reflector::{As, Change, Decode, Reflector, Told};
use self::view::{Kind, News, View};
use super::{Mechanism, Updates};
use crate::metrics::Metrics;

/// News that are taken in before groups are made.
const BATCH: usize = 1024;

impl Mechanism for KubernetesConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        self.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let env = |name: &str| std::env::var(name).ok();
            let cluster = match Cluster::of(&self, &env) {
                Ok(cluster) => cluster,
                Err(error) => {
                    updates.unusable("kubernetes", "", &error, &metrics);
                    return;
                }
            };
            let options = ClientOptions {
                // A connection for each watch: one that is slow holds up no other.
                http1_only: true,
                ..ClientOptions::default()
            };
            let described = ("kubernetes", cluster.url.as_str());
            let Some(client) = updates.client(described, &cluster.http, options, &metrics) else {
                return;
            };
            let section = self.0.own;
            let Some(role) = section.role else {
                // The section was checked when it was read.
                return;
            };
            Following {
                namespaces: namespaces(&section.namespaces, &cluster),
                section,
                role,
                url: cluster.url,
                client,
                updates,
                metrics,
            }
            .run()
            .await;
        })
    }
}

/// The namespaces to look at; `None` is all of them.
fn namespaces(section: &Namespaces, cluster: &Cluster) -> Vec<Option<String>> {
    let mut names: Vec<String> = cluster.own_namespace.iter().cloned().collect();
    names.extend(section.names.iter().cloned());
    names.sort();
    names.dedup();
    if names.is_empty() {
        return vec![None];
    }
    names.into_iter().map(Some).collect()
}

struct Following {
    section: KubernetesSection,
    role: Role,
    namespaces: Vec<Option<String>>,
    url: String,
    client: Client,
    updates: Updates,
    metrics: Metrics,
}

/// News of one reflector: its number, and its namespace.
struct FromOne {
    reflector: usize,
    scope: Option<String>,
    told: Told,
}

impl Following {
    async fn run(self) {
        let (sender, mut told) = mpsc::channel::<FromOne>(BATCH);
        let mut tasks = JoinSet::new();
        let count = self.start(&sender, &mut tasks);
        drop(sender);
        let mut view = View::new(self.role, self.section.attach_metadata);
        let mut listed = vec![false; count];
        let mut batch = Vec::with_capacity(BATCH);
        while told.recv_many(&mut batch, BATCH).await > 0 {
            for one in batch.drain(..) {
                listed[one.reflector] |= one.told.is_list;
                for (resource, kind) in view.take(one.told.news, one.scope.as_deref()) {
                    let event = match kind {
                        Kind::Add => "add",
                        Kind::Update => "update",
                        Kind::Delete => "delete",
                    };
                    self.metrics
                        .kubernetes_events
                        .with(&[resource, event])
                        .inc();
                }
            }
            if listed.iter().all(|listed| *listed) {
                let groups = view.groups();
                if !groups.is_empty() && !self.updates.send(groups).await {
                    return;
                }
            }
        }
    }

    /// Starts what the role needs; answers with how many reflectors that are.
    fn start(&self, sender: &mpsc::Sender<FromOne>, tasks: &mut JoinSet<()>) -> usize {
        let mut start = Start {
            following: self,
            sender,
            tasks,
            count: 0,
        };
        let attach = self.section.attach_metadata;
        let core = "/api/v1";
        match self.role {
            Role::Node => start.follow(core, None, "nodes", Some(Role::Node), News::Node),
            role => {
                for scope in &self.namespaces {
                    let scope = scope.as_deref();
                    start.in_namespace(role, scope);
                }
                if attach.node && matches!(role, Role::Pod | Role::Endpoints | Role::EndpointSlice)
                {
                    start.follow(core, None, "nodes", Some(Role::Node), News::Node);
                }
                if attach.namespace {
                    start.follow(core, None, "namespaces", None, News::Namespace);
                }
            }
        }
        start.count
    }
}

struct Start<'a> {
    following: &'a Following,
    sender: &'a mpsc::Sender<FromOne>,
    tasks: &'a mut JoinSet<()>,
    count: usize,
}

impl Start<'_> {
    fn in_namespace(&mut self, role: Role, scope: Option<&str>) {
        let core = "/api/v1";
        match role {
            // Nodes are in no namespace.
            Role::Node => {}
            Role::Pod => self.follow(core, scope, "pods", Some(Role::Pod), News::Pod),
            Role::Service => {
                self.follow(core, scope, "services", Some(Role::Service), News::Service);
            }
            Role::Ingress => {
                let api = "/apis/networking.k8s.io/v1";
                self.follow(api, scope, "ingresses", Some(Role::Ingress), News::Ingress);
            }
            Role::Endpoints | Role::EndpointSlice => {
                if role == Role::Endpoints {
                    self.follow(core, scope, "endpoints", Some(role), News::Endpoints);
                } else {
                    let api = "/apis/discovery.k8s.io/v1";
                    self.follow(
                        api,
                        scope,
                        "endpointslices",
                        Some(role),
                        News::EndpointSlice,
                    );
                }
                self.follow(core, scope, "services", Some(Role::Service), News::Service);
                self.follow(core, scope, "pods", Some(Role::Pod), News::Pod);
            }
        }
    }

    /// Starts a reflector, and what carries its changes on as news.
    fn follow<T: Object>(
        &mut self,
        api: &str,
        scope: Option<&str>,
        resource: &str,
        selected_as: Option<Role>,
        news: fn(Change<T>) -> News,
    ) {
        self.start(api, scope, resource, selected_as, Box::new(As::new(news)));
    }

    fn start(
        &mut self,
        api: &str,
        scope: Option<&str>,
        resource: &str,
        selected_as: Option<Role>,
        objects: Box<dyn Decode>,
    ) {
        let following = self.following;
        let selectors = following.section.selectors.iter();
        let selector = selected_as.and_then(|role| {
            let mut selectors = selectors.filter(|selector| selector.role == Some(role));
            selectors.next().cloned()
        });
        let selector = selector.unwrap_or_default();
        let url = match scope {
            Some(namespace) => {
                format!("{}{api}/namespaces/{namespace}/{resource}", following.url)
            }
            None => format!("{}{api}/{resource}", following.url),
        };
        let reflector = Reflector {
            objects,
            client: following.client.clone(),
            updates: following.updates.clone(),
            metrics: following.metrics.clone(),
            url,
            label_selector: selector.label,
            field_selector: selector.field,
        };
        let (changes, mut changed) = mpsc::channel(64);
        self.tasks.spawn(reflector.run(changes));
        let (sender, number) = (self.sender.clone(), self.count);
        let scope = scope.map(str::to_owned);
        self.tasks.spawn(async move {
            while let Some(told) = changed.recv().await {
                let from = FromOne {
                    reflector: number,
                    scope: scope.clone(),
                    told,
                };
                if sender.send(from).await.is_err() {
                    return;
                }
            }
        });
        self.count += 1;
    }
}
