//! The section `route`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use yaml_config::Duration as ModelDuration;

use super::matchers::{MatchRegexps, MatcherLines};
use super::settings::{settings, unset};
use super::{Error, matchers};
use crate::matcher::{self, Matcher, Mode};

settings! {
    /// A route as it is written.
    "config.plain" RouteSection {
        /// The name of a receiver.
        receiver: String = String::new(), skip "unset";
        /// Labels to group by, or `...` for all.
        group_by: Option<Vec<String>> = None, skip "no_names";
        /// Labels of the route for templates.
        labels: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// Deprecated: labels and the values they must have.
        r#match: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// Deprecated: labels and patterns for them.
        match_re: MatchRegexps = MatchRegexps::default(), skip "unset";
        /// Matchers.
        matchers: MatcherLines = MatcherLines::default(), skip "unset";
        /// Names of time intervals.
        mute_time_intervals: Vec<String> = Vec::new(), skip "unset";
        /// Names of time intervals.
        active_time_intervals: Vec<String> = Vec::new(), skip "unset";
        /// Whether siblings that follow are tried too.
        r#continue: bool = false;
        /// Child routes.
        routes: Vec<RouteSection> = Vec::new(), skip "unset";
        /// See [`crate::route::Options`].
        group_wait: Option<ModelDuration> = None, skip "unset";
        /// See [`crate::route::Options`].
        group_interval: Option<ModelDuration> = None, skip "unset";
        /// See [`crate::route::Options`].
        repeat_interval: Option<ModelDuration> = None, skip "unset";
    }
}

fn no_names(names: &Option<Vec<String>>) -> bool {
    names.as_ref().is_none_or(Vec::is_empty)
}

/// A route that has been checked.
#[derive(Clone, Debug, Default)]
pub struct RouteConfig {
    /// Empty: that of the parent.
    pub receiver: String,
    /// `None`: that of the parent.
    pub group_by: Option<Vec<String>>,
    /// Labels for templates.
    pub labels: BTreeMap<String, String>,
    matchers: Vec<Matcher>,
    /// Names of time intervals.
    pub mute_time_intervals: Vec<String>,
    /// Names of time intervals.
    pub active_time_intervals: Vec<String>,
    /// `continue`.
    pub goes_on: bool,
    /// Child routes.
    pub routes: Vec<RouteConfig>,
    /// `None`: that of the parent.
    pub group_wait: Option<Duration>,
    /// `None`: that of the parent.
    pub group_interval: Option<Duration>,
    /// `None`: that of the parent.
    pub repeat_interval: Option<Duration>,
}

impl RouteConfig {
    /// All matchers, of whatever notation, sorted.
    pub fn all_matchers(&self) -> Vec<Matcher> {
        let mut matchers = self.matchers.clone();
        matcher::sort(&mut matchers);
        matchers
    }

    /// Whether there is any matcher.
    pub fn has_matchers(&self) -> bool {
        !self.matchers.is_empty()
    }
}

impl RouteSection {
    /// Checks the route and those below it; `matchers` are replaced by how they are printed.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn resolve(&mut self, mode: Mode) -> Result<RouteConfig, Error> {
        let mut routes = Vec::with_capacity(self.routes.len());
        for route in &mut self.routes {
            routes.push(route.resolve(mode)?);
        }
        let mut all = matchers::equal(&self.r#match)?;
        all.extend(self.match_re.resolve()?);
        all.extend(self.matchers.resolve(mode)?);
        self.check_group_by(mode)?;
        let zero = |d: Option<ModelDuration>| d.is_some_and(|d| Duration::from(d).is_zero());
        if zero(self.group_interval) {
            return Err(Error::new("group_interval cannot be zero"));
        }
        if zero(self.repeat_interval) {
            return Err(Error::new("repeat_interval cannot be zero"));
        }
        Ok(RouteConfig {
            receiver: self.receiver.clone(),
            group_by: self.group_by.clone(),
            labels: self.labels.clone(),
            matchers: all,
            mute_time_intervals: self.mute_time_intervals.clone(),
            active_time_intervals: self.active_time_intervals.clone(),
            goes_on: self.r#continue,
            routes,
            group_wait: self.group_wait.map(Duration::from),
            group_interval: self.group_interval.map(Duration::from),
            repeat_interval: self.repeat_interval.map(Duration::from),
        })
    }

    fn check_group_by(&self, mode: Mode) -> Result<(), Error> {
        let names = self.group_by.as_deref().unwrap_or_default();
        let quote = golang::strconv::quote;
        if let Some(name) = names.iter().find(|n| *n != "..." && !mode.is_label_name(n)) {
            return Err(Error::new(format!(
                "invalid label name {} in group_by list",
                quote(name)
            )));
        }
        let all = names.iter().any(|name| name == "...");
        if all && names.iter().any(|name| name != "...") {
            return Err(Error::new(
                "cannot have wildcard group_by (`...`) and other labels at the same time",
            ));
        }
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !all && !seen.insert(*name)) {
            Some(name) => Err(Error::new(format!(
                "duplicated label {} in group_by",
                quote(name)
            ))),
            None => Ok(()),
        }
    }
}

/// Calls `check` with a route and all below it, children first, as upstream walks the tree.
pub(super) fn walk(
    route: &RouteConfig,
    check: &mut impl FnMut(&RouteConfig) -> Result<(), Error>,
) -> Result<(), Error> {
    for child in &route.routes {
        walk(child, check)?;
    }
    check(route)
}
