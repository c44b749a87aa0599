//! Rule files: reading and checking (prometheus/prometheus `model/rulefmt`).

use std::collections::{BTreeMap, HashSet};

use golang::strconv::quote;
use model::names::ValidationScheme;
use serde::Deserialize;
use yaml_config::{Duration, Spanned};

use crate::template;

/// A rule file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.RuleGroups", deny_unknown_fields)]
pub struct RuleFile {
    #[serde(default)]
    pub groups: Vec<GroupSpec>,
}

/// A group as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.RuleGroup", deny_unknown_fields)]
pub struct GroupSpec {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub interval: Option<Duration>,
    #[serde(default)]
    pub query_offset: Option<Duration>,
    #[serde(default)]
    pub limit: usize,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Thanos' word on what to do when a part of the data cannot be had.
    #[serde(default)]
    pub partial_response_strategy: Option<PartialResponse>,
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
}

/// Whether a group goes on with a part of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PartialResponse {
    #[serde(rename = "warn", alias = "WARN")]
    Warn,
    #[default]
    #[serde(rename = "abort", alias = "ABORT")]
    Abort,
}

/// A rule as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename = "rulefmt.Rule", deny_unknown_fields)]
pub struct RuleSpec {
    #[serde(default)]
    pub record: Spanned<String>,
    #[serde(default)]
    pub alert: Spanned<String>,
    #[serde(default)]
    pub expr: Spanned<String>,
    #[serde(default, rename = "for")]
    pub hold: Duration,
    #[serde(default)]
    pub keep_firing_for: Duration,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// How strictly names are checked, and what expressions may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    pub names: ValidationScheme,
    pub features: promql::features::Features,
}

impl RuleFile {
    /// Reads and checks a rule file; of several documents the first counts.
    ///
    /// # Errors
    /// Everything that is wrong, in upstream's words, with line and column where upstream has them.
    pub fn parse(text: &str, options: &CheckOptions) -> Result<RuleFile, Vec<String>> {
        RuleFile::checked(yaml_config::from_str(text), options)
    }

    /// [`RuleFile::parse`] that passes over unknown fields: promtool's `--ignore-unknown-fields`.
    ///
    /// # Errors
    /// As [`RuleFile::parse`].
    pub fn parse_ignoring_unknown(
        text: &str,
        options: &CheckOptions,
    ) -> Result<RuleFile, Vec<String>> {
        RuleFile::checked(yaml_config::from_str_ignoring_unknown(text), options)
    }

    fn checked(
        decoded: Result<RuleFile, yaml_config::Error>,
        options: &CheckOptions,
    ) -> Result<RuleFile, Vec<String>> {
        let file = decoded.map_err(|e| vec![e.to_string()])?;
        let errors = file.check(options);
        if errors.is_empty() {
            Ok(file)
        } else {
            Err(errors)
        }
    }

    /// What is wrong with the groups and their rules.
    pub fn check(&self, options: &CheckOptions) -> Vec<String> {
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        for group in &self.groups {
            if group.name.is_empty() {
                errors.push("0:0: Groupname must not be empty".to_owned());
            }
            if !names.insert(group.name.as_str()) {
                errors.push(format!(
                    "0:0: groupname: {} is repeated in the same file",
                    quote(&group.name)
                ));
            }
            for name in group.labels.keys() {
                if !is_settable_label(options.names, name) {
                    errors.push(format!("invalid label name: {name}"));
                }
            }
            for (i, rule) in group.rules.iter().enumerate() {
                let place = format!(
                    "group {}, rule {}, {}",
                    quote(&group.name),
                    i + 1,
                    quote(rule.name())
                );
                rule.check(options, &place, &mut errors);
            }
        }
        errors
    }
}

fn is_settable_label(names: ValidationScheme, name: &str) -> bool {
    names.is_label_name(name) && name != model::labels::METRIC_NAME
}

fn at<T>(node: &Spanned<T>) -> String {
    format!("{}:{}: ", node.line, node.column)
}

impl RuleSpec {
    /// The name of the alert or of the recorded metric.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() {
            &self.record
        } else {
            &self.alert
        }
    }

    fn check(&self, options: &CheckOptions, place: &str, errors: &mut Vec<String>) {
        if !self.record.is_empty() && !self.alert.is_empty() {
            errors.push(format!(
                "{}{}{place}: only one of 'record' and 'alert' must be set",
                at(&self.record),
                at(&self.alert)
            ));
        }
        if self.record.is_empty() && self.alert.is_empty() {
            errors.push(format!(
                "0:0: 0:0: {place}: one of 'record' or 'alert' must be set"
            ));
        }
        if self.expr.is_empty() {
            errors.push(format!(
                "{}{place}: field 'expr' must be set in rule",
                at(&self.expr)
            ));
        } else if let Err(error) = promql::parse_expr(&self.expr, options.features) {
            errors.push(format!(
                "{}{place}: could not parse expression: {error}",
                at(&self.expr)
            ));
        }
        if !self.record.is_empty() {
            self.check_recording(options, place, errors);
        }
        for name in self.labels.keys() {
            if !is_settable_label(options.names, name) {
                errors.push(format!("{place}: invalid label name: {name}"));
            }
        }
        for name in self.annotations.keys() {
            if !options.names.is_label_name(name) {
                errors.push(format!("{place}: invalid annotation name: {name}"));
            }
        }
        if !self.alert.is_empty() {
            let labels = self.labels.iter().map(|(n, text)| ("label", n, text));
            let annotations = self
                .annotations
                .iter()
                .map(|(n, text)| ("annotation", n, text));
            for (what, name, text) in labels.chain(annotations) {
                if let Err(error) = template::check_alert(&self.alert, text) {
                    errors.push(format!("{place}: {what} {}: {error}", quote(name)));
                }
            }
        }
    }

    fn check_recording(&self, options: &CheckOptions, place: &str, errors: &mut Vec<String>) {
        let record = &self.record;
        for (field, given) in [
            ("annotations", !self.annotations.is_empty()),
            ("for", self.hold.as_ms() != 0),
            ("keep_firing_for", self.keep_firing_for.as_ms() != 0),
        ] {
            if given {
                errors.push(format!(
                    "{}{place}: invalid field '{field}' in recording rule",
                    at(record)
                ));
            }
        }
        if !options.names.is_metric_name(record) {
            errors.push(format!(
                "{}{place}: invalid recording rule name: {}",
                at(record),
                record.value
            ));
        }
        // A name that looks like a selector is what the author did not mean, valid or not.
        if record.contains(['{', '}']) {
            errors.push(format!(
                "{}{place}: braces present in the recording rule name; should it be in expr?: {}",
                at(record),
                record.value
            ));
        }
    }
}
