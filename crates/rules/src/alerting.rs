//! Alerting rules (prometheus/prometheus `rules/alerting.go` for the order of things).

use std::collections::BTreeMap;

use model::Labels;
use model::labels::{ALERT_NAME, METRIC_NAME};

use crate::source::{QuerySource, Sample};
use crate::state::{ActiveAlert, AlertState, RESOLVED_RETENTION_MS};
use crate::template::{self, AlertData};

/// The series that shows alerts.
pub const ALERTS: &str = "ALERTS";
/// The series that keeps since when alerts are active, for restarts.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// What an alerting rule says, without its state.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingRuleSpec {
    pub name: String,
    /// The expression in its canonical form.
    pub expr: String,
    pub hold_ms: i64,
    pub keep_firing_for_ms: i64,
    /// Templates.
    pub labels: Vec<(String, String)>,
    /// Templates.
    pub annotations: Vec<(String, String)>,
}

/// An alerting rule and its alerts.
#[derive(Clone, Debug)]
pub struct AlertingRule {
    pub spec: AlertingRuleSpec,
    /// By label set, so that everything that follows is in a fixed order.
    pub active: BTreeMap<Labels, ActiveAlert>,
    /// Whether the state from before a restart has been looked for; until then nothing is written
    /// about alerts.
    pub restored: bool,
}

/// What is the same for all rules of an evaluator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertContext {
    pub external_labels: Labels,
    pub external_url: String,
}

impl AlertingRule {
    /// A rule without alerts.
    pub fn new(spec: AlertingRuleSpec) -> AlertingRule {
        AlertingRule {
            spec,
            active: BTreeMap::new(),
            restored: false,
        }
    }

    /// Moves the rule's alerts on to `t_ms`, from the answer to its expression; `query_offset_ms` is
    /// how far back the query looked, and `source` answers queries of templates. Returns the samples of
    /// `ALERTS` and `ALERTS_FOR_STATE`.
    ///
    /// # Errors
    /// Two alerts with one label set, more than `limit` alerts (0: no limit).
    pub fn advance(
        &mut self,
        answer: Vec<Sample>,
        source: &dyn QuerySource,
        context: &AlertContext,
        t_ms: i64,
        query_offset_ms: i64,
        limit: usize,
    ) -> Result<Vec<Sample>, String> {
        let found = self.instances(answer, source, context, t_ms)?;
        let mut present: Vec<Labels> = Vec::with_capacity(found.len());
        for alert in found {
            present.push(alert.labels.clone());
            match self.active.get_mut(&alert.labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    known.value = alert.value;
                    known.annotations = alert.annotations;
                }
                _ => {
                    self.active.insert(alert.labels.clone(), alert);
                }
            }
        }
        present.sort();
        let mut samples = Vec::new();
        let mut active = 0;
        let (spec, restored) = (&self.spec, self.restored);
        self.active.retain(|labels, alert| {
            if present.binary_search(labels).is_ok() {
                alert.keep_firing_since_ms = None;
            } else {
                let keep = keep_firing(alert, spec.keep_firing_for_ms, t_ms);
                let forget = alert.state == AlertState::Pending
                    || alert
                        .resolved_at_ms
                        .is_some_and(|at| t_ms - at > RESOLVED_RETENTION_MS);
                if alert.state != AlertState::Inactive && !keep {
                    alert.state = AlertState::Inactive;
                    alert.resolved_at_ms = Some(t_ms);
                }
                if !keep {
                    return !forget;
                }
            }
            active += 1;
            if alert.state == AlertState::Pending && t_ms - alert.active_at_ms >= spec.hold_ms {
                alert.state = AlertState::Firing;
                alert.fired_at_ms = Some(t_ms);
            }
            if restored {
                samples.push(alert_sample(spec, alert, t_ms - query_offset_ms));
                samples.push(for_state_sample(spec, alert, t_ms - query_offset_ms));
            }
            true
        });
        if limit > 0 && active > limit {
            self.active.clear();
            return Err(format!("exceeded limit of {limit} with {active} alerts"));
        }
        Ok(samples)
    }

    /// The alerts that an answer asks for, with templates expanded.
    fn instances(
        &self,
        answer: Vec<Sample>,
        source: &dyn QuerySource,
        context: &AlertContext,
        t_ms: i64,
    ) -> Result<Vec<ActiveAlert>, String> {
        let mut found: BTreeMap<Labels, ActiveAlert> = BTreeMap::new();
        for sample in answer {
            let query = |text: &str, t_ms: i64| -> Result<Vec<template::Sample>, String> {
                let samples = source.instant(text, t_ms)?;
                Ok(samples.into_iter().map(Sample::into_template).collect())
            };
            let data = AlertData {
                labels: &sample.labels,
                external_labels: &context.external_labels,
                external_url: &context.external_url,
                value: sample.value.to_template(),
            };
            let expand = |text: &str| match template::expand_alert(
                &self.spec.name,
                text,
                &data,
                t_ms,
                &query,
            ) {
                Ok(text) => text,
                Err(error) => format!("<error expanding template: {error}>"),
            };
            let mut labels = sample.labels.builder();
            labels.del(METRIC_NAME);
            for (name, text) in &self.spec.labels {
                labels.set(name, &expand(text));
            }
            labels.set(ALERT_NAME, &self.spec.name);
            let labels = labels.build();
            let annotations = self
                .spec
                .annotations
                .iter()
                .map(|(name, text)| (name, expand(text)));
            let alert = ActiveAlert {
                annotations: Labels::from_pairs(annotations),
                state: AlertState::Pending,
                value: sample.as_float(),
                active_at_ms: t_ms,
                fired_at_ms: None,
                resolved_at_ms: None,
                last_sent_at_ms: None,
                keep_firing_since_ms: None,
                valid_until_ms: 0,
                labels: labels.clone(),
            };
            if found.insert(labels, alert).is_some() {
                let text =
                    "vector contains metrics with the same labelset after applying alert labels";
                return Err(text.to_owned());
            }
        }
        Ok(found.into_values().collect())
    }

    /// The alerts that are to be sent at `now_ms`; marks them as sent. They stay valid for four
    /// rounds, so that two of them may fail.
    pub fn alerts_to_send(
        &mut self,
        now_ms: i64,
        resend_delay_ms: i64,
        interval_ms: i64,
        generator_url: &str,
    ) -> Vec<model::Alert> {
        let mut alerts = Vec::new();
        for alert in self.active.values_mut() {
            if alert.needs_sending(now_ms, resend_delay_ms) {
                alert.last_sent_at_ms = Some(now_ms);
                alert.valid_until_ms = now_ms + 4 * interval_ms.max(resend_delay_ms);
                alerts.push(alert.to_alert(generator_url));
            }
        }
        alerts
    }

    /// The state of the worst alert.
    pub fn state(&self, evaluated: bool) -> AlertState {
        let worst = self.active.values().map(|alert| alert.state).max();
        match worst {
            Some(state) => state,
            None if evaluated => AlertState::Inactive,
            None => AlertState::Unknown,
        }
    }

    /// The selector of the series that keep this rule's state.
    pub fn for_state_selector(&self) -> String {
        let quoted = golang::strconv::quote(&self.spec.name);
        format!("{ALERTS_FOR_STATE}{{{ALERT_NAME}={quoted}}}")
    }
}

/// Whether an alert whose expression no longer holds goes on firing, for `keep_firing_for`.
fn keep_firing(alert: &mut ActiveAlert, keep_firing_for_ms: i64, t_ms: i64) -> bool {
    if alert.state != AlertState::Firing || keep_firing_for_ms == 0 {
        return false;
    }
    let since = *alert.keep_firing_since_ms.get_or_insert(t_ms);
    t_ms - since < keep_firing_for_ms
}

fn alert_sample(spec: &AlertingRuleSpec, alert: &ActiveAlert, t_ms: i64) -> Sample {
    let mut labels = alert.labels.builder();
    labels.set(METRIC_NAME, ALERTS);
    labels.set(ALERT_NAME, &spec.name);
    labels.set("alertstate", alert.state.as_str());
    Sample::float(labels.build(), t_ms, 1.0)
}

fn for_state_sample(spec: &AlertingRuleSpec, alert: &ActiveAlert, t_ms: i64) -> Sample {
    let mut labels = alert.labels.builder();
    labels.set(METRIC_NAME, ALERTS_FOR_STATE);
    labels.set(ALERT_NAME, &spec.name);
    Sample::float(
        labels.build(),
        t_ms,
        alert.active_at_ms.div_euclid(1000) as f64,
    )
}
