//! Inhibition: alerts that are muted while another alert fires (prometheus/alertmanager `inhibit`).
//!
//! Firing sources are kept by rule and by the values of the rule's `equal` labels, so that the
//! question whether a target is inhibited is one look-up a rule that matches it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::Labels;

use crate::alert::Alert;
use crate::matcher::{self, Matcher};

/// A rule as the configuration gives it.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Shown in metrics; may be empty.
    pub name: String,
    /// What a source must match.
    pub source: Vec<Matcher>,
    /// What a target must match.
    pub target: Vec<Matcher>,
    /// Labels that must agree; a label that is missing is the empty string.
    pub equal: Vec<String>,
}

/// The rules and the alerts that are sources of one of them.
#[derive(Debug, Default)]
pub struct Inhibitor {
    rules: Vec<Indexed>,
}

#[derive(Debug)]
struct Indexed {
    rule: Rule,
    /// By the values of the `equal` labels.
    sources: HashMap<Box<[Box<str>]>, Vec<Source>>,
}

#[derive(Debug)]
struct Source {
    fingerprint: u64,
    ends_at: Timestamp,
    /// Matches the target side too; such a source does not inhibit others like it.
    both_sides: bool,
}

/// Which rules look at a label set from the target side; computed once an alert.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<[Target]>);

#[derive(Clone, Debug)]
struct Target {
    rule: usize,
    both_sides: bool,
    key: Box<[Box<str>]>,
}

impl Inhibitor {
    /// An inhibitor that knows no alerts yet.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Inhibitor {
        let rules = rules
            .into_iter()
            .map(|rule| Indexed {
                rule,
                sources: HashMap::new(),
            })
            .collect();
        Inhibitor { rules }
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Takes note of a new or changed alert.
    pub fn update(&mut self, alert: &Alert) {
        let fingerprint = alert.fingerprint();
        for indexed in &mut self.rules {
            if !matcher::all_match(&indexed.rule.source, &alert.labels) {
                continue;
            }
            let source = Source {
                fingerprint,
                ends_at: alert.ends_at,
                both_sides: matcher::all_match(&indexed.rule.target, &alert.labels),
            };
            let sources = indexed
                .sources
                .entry(equal_values(&indexed.rule, &alert.labels))
                .or_default();
            match sources.iter_mut().find(|s| s.fingerprint == fingerprint) {
                Some(known) => *known = source,
                None => sources.push(source),
            }
        }
    }

    /// Forgets sources that have ended.
    pub fn remove_ended(&mut self, now: Timestamp) {
        for indexed in &mut self.rules {
            indexed.sources.retain(|_, sources| {
                sources.retain(|source| source.ends_at > now);
                !sources.is_empty()
            });
        }
    }

    /// What [`Inhibitor::inhibited_by`] needs to know of a label set.
    pub fn targets(&self, labels: &Labels) -> Targets {
        let targets = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, indexed)| matcher::all_match(&indexed.rule.target, labels))
            .map(|(rule, indexed)| Target {
                rule,
                both_sides: matcher::all_match(&indexed.rule.source, labels),
                key: equal_values(&indexed.rule, labels),
            })
            .collect();
        Targets(targets)
    }

    /// The fingerprint of a firing alert that mutes the label set that `targets` was made for.
    pub fn inhibited_by(&self, targets: &Targets, now: Timestamp) -> Option<u64> {
        targets.0.iter().find_map(|target| {
            self.rules
                .get(target.rule)?
                .sources
                .get(&target.key)?
                .iter()
                .find(|source| source.ends_at > now && !(target.both_sides && source.both_sides))
                .map(|source| source.fingerprint)
        })
    }
}

fn equal_values(rule: &Rule, labels: &Labels) -> Box<[Box<str>]> {
    rule.equal
        .iter()
        .map(|name| Box::from(labels.get(name)))
        .collect()
}
