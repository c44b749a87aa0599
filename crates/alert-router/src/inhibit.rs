//! Inhibition: alerts that are muted while another alert fires (prometheus/alertmanager `inhibit`).
//!
//! Firing sources are kept by rule and by the values of the rule's `equal` labels, so that the
//! question whether a target is inhibited is one look-up a rule that matches it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use model::Labels;

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
    /// By the values of the `equal` labels; each list is sorted by fingerprint.
    sources: HashMap<Box<[Box<str>]>, Vec<Source>, RandomState>,
}

#[derive(Debug)]
struct Source {
    fingerprint: u64,
    ends_at: Timestamp,
    /// Matches the target side too; such a source does not inhibit others like it.
    both_sides: bool,
}

/// Which rules look at a label set, from which side; computed once an alert.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    targets: Box<[Side]>,
    sources: Box<[Side]>,
}

/// One rule that looks at a label set from one side.
#[derive(Clone, Debug)]
struct Side {
    rule: usize,
    /// The other side of the rule matches too.
    both_sides: bool,
    /// The values of the `equal` labels.
    key: Box<[Box<str>]>,
}

impl Inhibitor {
    /// An inhibitor that knows no alerts yet.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Inhibitor {
        let rules = rules
            .into_iter()
            .map(|rule| Indexed {
                rule,
                sources: HashMap::default(),
            })
            .collect();
        Inhibitor { rules }
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// What the other calls need to know of a label set.
    pub fn sides(&self, labels: &Labels) -> Sides {
        let (mut targets, mut sources) = (Vec::new(), Vec::new());
        for (rule, indexed) in self.rules.iter().enumerate() {
            let is_target = matcher::all_match(&indexed.rule.target, labels);
            let is_source = matcher::all_match(&indexed.rule.source, labels);
            let side = || Side {
                rule,
                both_sides: is_target && is_source,
                key: equal_values(&indexed.rule, labels),
            };
            if is_target {
                targets.push(side());
            }
            if is_source {
                sources.push(side());
            }
        }
        Sides {
            targets: targets.into(),
            sources: sources.into(),
        }
    }

    /// Takes note of a new or changed alert, by the sides of its labels and its fingerprint.
    pub fn update(&mut self, sides: &Sides, fingerprint: u64, ends_at: Timestamp) {
        for side in &sides.sources {
            let Some(indexed) = self.rules.get_mut(side.rule) else {
                continue;
            };
            let source = Source {
                fingerprint,
                ends_at,
                both_sides: side.both_sides,
            };
            // Most are known: their key is not copied again.
            let sources = match indexed.sources.get_mut(&side.key) {
                Some(sources) => sources,
                None => indexed.sources.entry(side.key.clone()).or_default(),
            };
            match sources.binary_search_by_key(&fingerprint, |source| source.fingerprint) {
                Ok(at) => sources[at] = source,
                Err(at) => sources.insert(at, source),
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

    /// The fingerprint of a firing alert that mutes the label set that `sides` was made for.
    pub fn inhibited_by(&self, sides: &Sides, now: Timestamp) -> Option<u64> {
        sides.targets.iter().find_map(|target| {
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
