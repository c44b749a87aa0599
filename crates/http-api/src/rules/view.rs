//! Groups as they are evaluated, turned into what the API shows.

use model::Labels;
use rules::{AlertState, Entry, Group, Health, Rule};

use super::{
    ActiveAlert, AlertingKind, AlertingRule, RecordingKind, RecordingRule, Rule as RuleView,
    RuleGroup,
};

/// A group as it is now.
pub fn view(group: &Group) -> RuleGroup {
    RuleGroup {
        name: group.name.clone(),
        file: group.file.clone(),
        rules: group.entries.iter().map(rule).collect(),
        interval: group.interval_ms as f64 / 1000.0,
        limit: group.limit as i64,
        evaluation_time: group.evaluation_seconds,
        last_evaluation: group.last_evaluation_ms,
        partial_response: group.partial_response,
    }
}

fn rule(entry: &Entry) -> RuleView {
    let last_error = match &entry.health {
        Health::Bad(error) => error.clone(),
        Health::Good | Health::Unknown => String::new(),
    };
    match &entry.rule {
        Rule::Recording(rule) => RuleView::Recording(RecordingRule {
            name: rule.name.clone(),
            query: rule.expr.clone(),
            labels: Labels::from_pairs(rule.labels.iter().map(|(n, v)| (n, v))),
            health: entry.health.as_str().to_owned(),
            last_error,
            evaluation_time: entry.evaluation_seconds,
            last_evaluation: entry.last_evaluation_ms,
            kind: RecordingKind::Recording,
        }),
        Rule::Alerting(rule) => RuleView::Alerting(AlertingRule {
            state: rule
                .state(entry.last_evaluation_ms.is_some())
                .as_str()
                .to_owned(),
            name: rule.spec.name.clone(),
            query: rule.spec.expr.clone(),
            duration: rule.spec.hold_ms as f64 / 1000.0,
            keep_firing_for: rule.spec.keep_firing_for_ms as f64 / 1000.0,
            labels: Labels::from_pairs(rule.spec.labels.iter().map(|(n, v)| (n, v))),
            annotations: Labels::from_pairs(rule.spec.annotations.iter().map(|(n, v)| (n, v))),
            alerts: Some(rule.active.values().filter_map(alert).collect()),
            health: entry.health.as_str().to_owned(),
            last_error,
            evaluation_time: entry.evaluation_seconds,
            last_evaluation: entry.last_evaluation_ms,
            kind: AlertingKind::Alerting,
        }),
    }
}

/// An alert that is pending or firing; resolved ones are kept only to be sent.
fn alert(alert: &rules::ActiveAlert) -> Option<ActiveAlert> {
    if alert.state == AlertState::Inactive {
        return None;
    }
    Some(ActiveAlert {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state.as_str().to_owned(),
        active_at: Some(alert.active_at_ms),
        keep_firing_since: alert.keep_firing_since_ms,
        value: golang::strconv::format_float(alert.value, 'e', -1, 64),
    })
}
