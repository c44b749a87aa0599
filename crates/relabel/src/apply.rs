//! Applying rules.

use std::borrow::Cow;

use md5::{Digest, Md5};
use model::{Labels, LabelsBuilder};

use crate::config::Compiled;
use crate::{Action, Rule};

/// Applies the rules in order; `false` if one of them drops the set, whose labels are then as that rule
/// found them.
pub fn apply(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| apply_rule(rule, labels))
}

/// [`apply`] for a whole set; `None` if it is dropped.
pub fn relabel(labels: &Labels, rules: &[Rule]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.builder();
    apply(rules, &mut builder).then(|| builder.build())
}

/// What one rule came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub rule: Rule,
    /// The labels after it.
    pub output: Labels,
    /// Whether the set goes on; nothing follows a step that drops it.
    pub keep: bool,
}

/// Every step on the way of a label set through the rules, for people to see.
pub fn steps(labels: &Labels, rules: &[Rule]) -> Vec<Step> {
    let mut builder = labels.builder();
    let mut steps = Vec::with_capacity(rules.len());
    for rule in rules {
        let keep = apply_rule(rule, &mut builder);
        steps.push(Step {
            rule: rule.clone(),
            output: if keep {
                builder.build()
            } else {
                Labels::empty()
            },
            keep,
        });
        if !keep {
            break;
        }
    }
    steps
}

/// Applies one rule; `false` if it drops the set.
pub fn apply_rule(rule: &Rule, labels: &mut LabelsBuilder) -> bool {
    let rule = rule.compiled();
    let target = rule.config.target_label.as_str();
    match rule.action {
        Action::Drop => !rule.regex.is_match(&source(rule, labels)),
        Action::Keep => rule.regex.is_match(&source(rule, labels)),
        Action::DropEqual => labels.get(target) != source(rule, labels),
        Action::KeepEqual => labels.get(target) == source(rule, labels),
        Action::Replace => {
            replace(rule, labels);
            true
        }
        Action::Lowercase => {
            let value: String = source(rule, labels).chars().map(lower).collect();
            labels.set(target, &value);
            true
        }
        Action::Uppercase => {
            let value: String = source(rule, labels).chars().map(upper).collect();
            labels.set(target, &value);
            true
        }
        Action::HashMod => {
            let hash = hash(&source(rule, labels)) % rule.config.modulus.max(1);
            labels.set(target, &hash.to_string());
            true
        }
        Action::LabelMap => {
            let mapped: Vec<(String, String)> = labels
                .iter()
                .filter(|(name, _)| rule.regex.is_match(name))
                .map(|(name, value)| {
                    let name = rule.regex.replace_all(name, &rule.config.replacement);
                    (name, value.to_owned())
                })
                .collect();
            for (name, value) in mapped {
                labels.set(&name, &value);
            }
            true
        }
        Action::LabelDrop => {
            remove(labels, |name| rule.regex.is_match(name));
            true
        }
        Action::LabelKeep => {
            remove(labels, |name| !rule.regex.is_match(name));
            true
        }
    }
}

fn source<'a>(rule: &Compiled, labels: &'a LabelsBuilder) -> Cow<'a, str> {
    match rule.config.sources() {
        [] => Cow::Borrowed(""),
        [name] => Cow::Borrowed(labels.get(name)),
        names => {
            let mut joined = String::with_capacity(64);
            for (i, name) in names.iter().enumerate() {
                if i > 0 {
                    joined.push_str(&rule.config.separator);
                }
                joined.push_str(labels.get(name));
            }
            Cow::Owned(joined)
        }
    }
}

fn replace(rule: &Compiled, labels: &mut LabelsBuilder) {
    let config = &rule.config;
    let source = source(rule, labels);
    if rule.plain {
        if rule.regex.is_match(&source) && rule.scheme.is_label_name(&config.target_label) {
            labels.set(&config.target_label, &config.replacement);
        }
        return;
    }
    let (target, value);
    if config.regex.is_none() && config.replacement == "$1" && !config.target_label.contains('$') {
        // The rule that people write most: copy a label.
        (target, value) = (
            Cow::Borrowed(config.target_label.as_str()),
            source.into_owned(),
        );
    } else {
        let Some(captures) = rule.regex.captures(&source) else {
            return;
        };
        let expand = |template: &str| {
            let mut out = String::new();
            rule.regex.expand(&mut out, template, &captures);
            out
        };
        (target, value) = (
            Cow::Owned(expand(&config.target_label)),
            expand(&config.replacement),
        );
    }
    if rule.scheme.is_label_name(&target) {
        labels.set(&target, &value);
    }
}

fn remove(labels: &mut LabelsBuilder, matches: impl Fn(&str) -> bool) {
    let names: Vec<String> = labels
        .iter()
        .map(|(name, _)| name)
        .filter(|name| matches(name))
        .map(str::to_owned)
        .collect();
    for name in names {
        labels.del(&name);
    }
}

/// The last eight bytes of the MD5 sum.
fn hash(text: &str) -> u64 {
    let sum = Md5::digest(text.as_bytes());
    let mut last = [0; 8];
    last.copy_from_slice(&sum[8..]);
    u64::from_be_bytes(last)
}

/// Go maps characters one by one, to one character each.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use model::names::ValidationScheme;

    use super::*;
    use crate::{Config, JsonConfig, compile_all};

    fn rules(yaml: &str) -> Vec<Rule> {
        let configs: Vec<Config> = yaml_config::from_str(yaml).unwrap();
        compile_all(&configs, ValidationScheme::Utf8).unwrap()
    }

    #[test]
    fn steps_end_where_the_set_is_dropped() {
        let rules = rules(
            "- {source_labels: [a], target_label: b}\n- {source_labels: [b], regex: x, action: drop}\n- {target_label: c, replacement: y}\n",
        );
        let steps = steps(&Labels::from([("a", "x")]), &rules);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].output, Labels::from([("a", "x"), ("b", "x")]));
        assert!(steps[0].keep && !steps[1].keep);
        assert!(steps[1].output.is_empty());
    }

    #[test]
    fn case_goes_character_by_character() {
        let rules = rules(
            "- {source_labels: [a], target_label: u, action: uppercase}\n- {source_labels: [a], target_label: l, action: lowercase}\n",
        );
        let out = relabel(&Labels::from([("a", "Straße İ")]), &rules).unwrap();
        assert_eq!((out.get("u"), out.get("l")), ("STRAßE İ", "straße i"));
    }

    #[test]
    fn printed_with_defaults() {
        let text = "- source_labels: [a]\n  regex: f(.*)\n  target_label: b\n";
        let configs: Vec<Config> = yaml_config::from_str(text).unwrap();
        let printed = yaml_config::to_string(&configs).unwrap();
        let back: Vec<Config> = yaml_config::from_str(&printed).unwrap();
        assert_eq!(back, configs);
        assert!(
            printed.contains("separator: ;\n") && printed.contains("action: replace\n"),
            "{printed}"
        );
        assert_eq!(
            serde_json::to_string(&JsonConfig(&configs[0])).unwrap(),
            r#"{"source_labels":["a"],"separator":";","regex":"f(.*)","target_label":"b","replacement":"$1","action":"replace"}"#
        );
    }
}
