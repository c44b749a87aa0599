//! All objects that are known, and the groups that they make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::config::{AttachMetadata, Role};
use super::labels::{self, Built, Ref};
use super::objects::{
    EndpointSlice, Endpoints, Ingress, Meta, Namespace, Node, Object, Pod, Service,
};
use super::reflector::Change;
use crate::group::TargetGroup;

/// Objects of a kind by their key.
pub(super) type Store<T> = BTreeMap<String, Arc<T>>;

/// What the API server told.
#[derive(Debug)]
pub(super) enum News {
    Namespace(Change<Namespace>),
    Node(Change<Node>),
    Pod(Change<Pod>),
    Service(Change<Service>),
    Endpoints(Change<Endpoints>),
    EndpointSlice(Change<EndpointSlice>),
    Ingress(Change<Ingress>),
}

/// How an object changed: the `event` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Add,
    Update,
    Delete,
}

/// The objects, and which groups have to be made anew.
pub(super) struct View {
    role: Role,
    pub attach: AttachMetadata,
    pub namespaces: Store<Namespace>,
    pub nodes: Store<Node>,
    pub pods: Store<Pod>,
    pub services: Store<Service>,
    endpoints: Store<Endpoints>,
    slices: Store<EndpointSlice>,
    ingresses: Store<Ingress>,
    /// Keys of the role's own objects whose groups are out of date.
    dirty: BTreeSet<String>,
    /// What a group was made of, by the key of its own object; and the other way round.
    refs_of: HashMap<String, Vec<Ref>>,
    users_of: HashMap<Ref, BTreeSet<String>>,
}

impl View {
    pub fn new(role: Role, attach: AttachMetadata) -> View {
        View {
            role,
            attach,
            namespaces: Store::new(),
            nodes: Store::new(),
            pods: Store::new(),
            services: Store::new(),
            endpoints: Store::new(),
            slices: Store::new(),
            ingresses: Store::new(),
            dirty: BTreeSet::new(),
            refs_of: HashMap::new(),
            users_of: HashMap::new(),
        }
    }

    /// Takes in what happened in a namespace (all, if `None`); answers with what kind of object was
    /// concerned and how.
    pub fn take(&mut self, news: News, scope: Option<&str>) -> Vec<(&'static str, Kind)> {
        let (resource, changed) = match news {
            News::Namespace(change) => {
                let changed = apply(&mut self.namespaces, change, None);
                self.touch(&changed, Ref::Namespace);
                ("namespace", changed)
            }
            News::Node(change) => {
                let changed = apply(&mut self.nodes, change, None);
                self.touch(&changed, Ref::Node);
                (self.own(Role::Node, &changed), changed)
            }
            News::Pod(change) => {
                let changed = apply(&mut self.pods, change, scope);
                self.touch(&changed, Ref::Pod);
                (self.own(Role::Pod, &changed), changed)
            }
            News::Service(change) => {
                let changed = apply(&mut self.services, change, scope);
                self.touch(&changed, Ref::Service);
                (self.own(Role::Service, &changed), changed)
            }
            News::Endpoints(change) => {
                let changed = apply(&mut self.endpoints, change, scope);
                (self.own(Role::Endpoints, &changed), changed)
            }
            News::EndpointSlice(change) => {
                let changed = apply(&mut self.slices, change, scope);
                (self.own(Role::EndpointSlice, &changed), changed)
            }
            News::Ingress(change) => {
                let changed = apply(&mut self.ingresses, change, scope);
                (self.own(Role::Ingress, &changed), changed)
            }
        };
        changed
            .into_iter()
            .map(|(_, kind)| (resource, kind))
            .collect()
    }

    /// Objects of the role itself: their groups.
    fn own(&mut self, role: Role, changed: &[(String, Kind)]) -> &'static str {
        if self.role == role {
            self.dirty
                .extend(changed.iter().map(|(key, _)| key.clone()));
        }
        role.name()
    }

    /// Objects that groups are made of besides.
    fn touch(&mut self, changed: &[(String, Kind)], of: fn(String) -> Ref) {
        for (key, _) in changed {
            if let Some(users) = self.users_of.get(&of(key.clone())) {
                self.dirty.extend(users.iter().cloned());
            }
        }
    }

    /// The groups that are out of date, made anew; those of objects that are gone are empty.
    pub fn groups(&mut self) -> Vec<TargetGroup> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut groups = Vec::with_capacity(dirty.len());
        for key in dirty {
            let built = self.build(&key);
            self.remember(key, built.refs);
            groups.push(built.group);
        }
        groups
    }

    fn build(&self, key: &str) -> Built {
        fn of<T>(store: &Store<T>, key: &str, build: impl FnOnce(&T) -> Built) -> Option<Built> {
            store.get(key).map(|object| build(object))
        }
        let built = match self.role {
            Role::Node => of(&self.nodes, key, |o| labels::node(o, self)),
            Role::Pod => of(&self.pods, key, |o| labels::pod(o, self)),
            Role::Service => of(&self.services, key, |o| labels::service(o, self)),
            Role::Endpoints => of(&self.endpoints, key, |o| labels::endpoints(o, self)),
            Role::EndpointSlice => of(&self.slices, key, |o| labels::endpoint_slice(o, self)),
            Role::Ingress => of(&self.ingresses, key, |o| labels::ingress(o, self)),
        };
        built.unwrap_or_else(|| Built {
            group: labels::gone(self.source(key)),
            refs: Vec::new(),
        })
    }

    fn source(&self, key: &str) -> String {
        match self.role {
            Role::Service => format!("svc/{key}"),
            role => format!("{}/{key}", role.name()),
        }
    }

    fn remember(&mut self, key: String, refs: Vec<Ref>) {
        for old in self.refs_of.remove(&key).unwrap_or_default() {
            if let Some(users) = self.users_of.get_mut(&old) {
                users.remove(&key);
                if users.is_empty() {
                    self.users_of.remove(&old);
                }
            }
        }
        if refs.is_empty() {
            return;
        }
        for new in &refs {
            let users = self.users_of.entry(new.clone()).or_default();
            users.insert(key.clone());
        }
        self.refs_of.insert(key, refs);
    }
}

/// Puts a change into a store; the keys of what is different now.
fn apply<T: Object>(
    store: &mut Store<T>,
    change: Change<T>,
    scope: Option<&str>,
) -> Vec<(String, Kind)> {
    match change {
        Change::Applied(object) => {
            let key = object.meta().key();
            let before = store.insert(key.clone(), Arc::new(object));
            let kind = if before.is_some() {
                Kind::Update
            } else {
                Kind::Add
            };
            vec![(key, kind)]
        }
        Change::Deleted(object) => {
            let key = object.meta().key();
            let before = store.remove(&key);
            before.map(|_| (key, Kind::Delete)).into_iter().collect()
        }
        Change::Listed(objects) => {
            let in_scope = |meta: &Meta| scope.is_none_or(|scope| meta.namespace == scope);
            let mut gone: BTreeSet<String> = store
                .iter()
                .filter(|(_, object)| in_scope(object.meta()))
                .map(|(key, _)| key.clone())
                .collect();
            let mut changed = Vec::new();
            for object in objects {
                let key = object.meta().key();
                gone.remove(&key);
                let version = &object.meta().resource_version;
                let kind = match store.get(&key) {
                    Some(known) if known.meta().resource_version == *version => continue,
                    Some(_) => Kind::Update,
                    None => Kind::Add,
                };
                store.insert(key.clone(), Arc::new(object));
                changed.push((key, kind));
            }
            for key in gone {
                store.remove(&key);
                changed.push((key, Kind::Delete));
            }
            changed
        }
    }
}
