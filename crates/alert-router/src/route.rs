//! The routing tree: which receivers an alert goes to and how it is grouped there
//! (prometheus/alertmanager `dispatch/route.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;

use crate::config::route::RouteConfig;
use crate::matcher::{self, Matcher};

/// All routes, the root first, each before its children.
#[derive(Debug)]
pub struct Tree {
    routes: Vec<Route>,
}

/// Where a route stands in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(usize);

/// A node: what it matches, and what holds for the alerts that end here.
#[derive(Debug)]
pub struct Route {
    /// All of them must match; sorted.
    pub matchers: Vec<Matcher>,
    /// Whether siblings behind this one are tried too.
    pub goes_on: bool,
    /// The settings, with what was inherited.
    pub options: Arc<Options>,
    /// The matchers from the root to here, as group keys begin.
    pub key: Arc<str>,
    /// The key with positions, different for each route.
    pub id: Arc<str>,
    children: Vec<usize>,
}

/// Settings of a route, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The name of the receiver.
    pub receiver: Arc<str>,
    /// The labels that alerts of a group share; ignored under `group_by_all`.
    pub group_by: BTreeSet<String>,
    /// Whether each label set is a group of its own.
    pub group_by_all: bool,
    /// How long a new group waits for company.
    pub group_wait: Duration,
    /// How long until a group is looked at again.
    pub group_interval: Duration,
    /// After how long an unchanged group is sent again.
    pub repeat_interval: Duration,
    /// Time intervals in which nothing is sent.
    pub mute_time_intervals: Vec<String>,
    /// Time intervals outside of which nothing is sent; none means always.
    pub active_time_intervals: Vec<String>,
    /// Labels of the route for templates; the values may be templates.
    pub labels: BTreeMap<String, String>,
}

impl RouteIndex {
    /// The place in [`Tree::iter`].
    pub fn position(self) -> usize {
        self.0
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            receiver: Arc::from(""),
            group_by: BTreeSet::new(),
            group_by_all: false,
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(5 * 60),
            repeat_interval: Duration::from_secs(4 * 60 * 60),
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl Tree {
    /// Builds the tree that a configuration describes.
    pub fn new(root: &RouteConfig) -> Tree {
        let mut tree = Tree { routes: Vec::new() };
        tree.add(root, None, 0);
        tree
    }

    fn add(&mut self, config: &RouteConfig, parent: Option<usize>, position: usize) -> usize {
        let matchers = config.all_matchers();
        let printed = matcher::list_to_string(&matchers);
        let (options, key, id) = match parent.map(|parent| &self.routes[parent]) {
            None => (Options::default(), printed.clone(), printed),
            Some(parent) => (
                Options::clone(&parent.options),
                format!("{}/{printed}", parent.key),
                format!("{}/{printed}/{position}", parent.id),
            ),
        };
        let index = self.routes.len();
        self.routes.push(Route {
            matchers,
            goes_on: config.goes_on,
            options: Arc::new(options.overridden_by(config)),
            key: Arc::from(key),
            id: Arc::from(id),
            children: Vec::new(),
        });
        self.routes[index].children = config
            .routes
            .iter()
            .enumerate()
            .map(|(position, child)| self.add(child, Some(index), position))
            .collect();
        index
    }

    /// The route at an index of this tree.
    pub fn get(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0]
    }

    /// Every route, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (RouteIndex, &Route)> {
        self.routes
            .iter()
            .enumerate()
            .map(|(i, route)| (RouteIndex(i), route))
    }

    /// The root.
    pub fn root(&self) -> RouteIndex {
        RouteIndex(0)
    }

    /// The routes right below one, in order.
    pub fn children(&self, index: RouteIndex) -> impl Iterator<Item = RouteIndex> + '_ {
        let children = self.routes[index.0].children.iter();
        children.map(|&child| RouteIndex(child))
    }

    /// The routes that an alert with these labels ends at, in order; at least the root.
    pub fn matching(&self, labels: &Labels) -> Vec<RouteIndex> {
        let mut found = Vec::new();
        self.collect(0, labels, &mut found);
        found
    }

    /// Depth first; a route takes an alert itself only if none of its children does.
    fn collect(&self, index: usize, labels: &Labels, found: &mut Vec<RouteIndex>) -> bool {
        let route = &self.routes[index];
        if !matcher::all_match(&route.matchers, labels) {
            return false;
        }
        let before = found.len();
        for &child in &route.children {
            if self.collect(child, labels, found) && !self.routes[child].goes_on {
                break;
            }
        }
        if found.len() == before {
            found.push(RouteIndex(index));
        }
        true
    }
}

impl Route {
    /// The routes below, in order.
    pub fn children(&self) -> impl Iterator<Item = RouteIndex> {
        self.children.iter().map(|&child| RouteIndex(child))
    }

    /// The part of an alert's labels that its group has.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        if self.options.group_by_all {
            return labels.clone();
        }
        Labels::from_sorted(
            labels
                .iter()
                .filter(|(name, _)| self.options.group_by.contains(*name)),
        )
    }

    /// The key of a group, as webhooks see it.
    pub fn group_key(&self, group_labels: &Labels) -> String {
        format!("{}:{}", self.key, label_set_string(group_labels))
    }
}

impl Options {
    fn overridden_by(mut self, config: &RouteConfig) -> Options {
        if !config.receiver.is_empty() {
            self.receiver = Arc::from(config.receiver.as_str());
        }
        match &config.group_by {
            None => {}
            Some(names) if names.iter().any(|name| name == "...") => self.group_by_all = true,
            Some(names) => {
                self.group_by = names.iter().cloned().collect();
                self.group_by_all = false;
            }
        }
        self.group_wait = config.group_wait.unwrap_or(self.group_wait);
        self.group_interval = config.group_interval.unwrap_or(self.group_interval);
        self.repeat_interval = config.repeat_interval.unwrap_or(self.repeat_interval);
        // Time intervals are not inherited.
        self.mute_time_intervals = config.mute_time_intervals.clone();
        self.active_time_intervals = config.active_time_intervals.clone();
        self.labels.extend(config.labels.clone());
        self
    }
}

/// A label set as `model.LabelSet` of prometheus/common prints it: names are never quoted.
pub fn label_set_string(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", golang::strconv::quote(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
