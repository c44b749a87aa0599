//! Rules and alerts from rule-evaluator, over `thanos.Rules`.

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use http_api::rules::{
    ActiveAlert, AlertingKind, AlertingRule, RecordingKind, RecordingRule, Rule, RuleGroup,
};
use http_api::{ApiError, ErrorType};
use model::Labels;
use proto::thanos::rules_client::RulesClient;
use proto::thanos::{self, AlertState, RulesRequest, rule, rules_response};
use service::GrpcClient;

use crate::api::RulesSource;

/// How long rule-evaluator may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A rule-evaluator at an address; connected when first asked and again whenever needed.
pub struct RemoteRules {
    address: String,
    client: RulesClient<GrpcClient>,
}

impl RemoteRules {
    /// The rule-evaluator at `address` (`host:port`).
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(address: &str) -> Result<RemoteRules, String> {
        let server = GrpcClient::new(address, TIMEOUT)?;
        let client = RulesClient::new(server).max_decoding_message_size(256 << 20);
        Ok(RemoteRules {
            address: address.to_owned(),
            client,
        })
    }

    /// What rule-evaluator answers, frame by frame.
    ///
    /// # Errors
    /// Nobody there, or a request that is refused.
    pub(super) async fn stream(
        &self,
        request: RulesRequest,
    ) -> Result<tonic::Streaming<thanos::RulesResponse>, tonic::Status> {
        Ok(self.client.clone().rules(request).await?.into_inner())
    }

    async fn fetch(&self) -> Result<Vec<RuleGroup>, tonic::Status> {
        let mut frames = self.stream(RulesRequest::default()).await?;
        let mut groups = Vec::new();
        while let Some(frame) = frames.next().await {
            match frame?.result {
                Some(rules_response::Result::Group(group)) => groups.push(group_from_wire(group)),
                Some(rules_response::Result::Warning(text)) => {
                    tracing::warn!(
                        address = self.address,
                        warning = text,
                        "rule-evaluator warns"
                    );
                }
                None => {}
            }
        }
        groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        Ok(groups)
    }
}

impl RulesSource for RemoteRules {
    fn groups(&self) -> BoxFuture<'_, Result<Vec<RuleGroup>, ApiError>> {
        Box::pin(async move {
            self.fetch().await.map_err(|status| {
                let text = format!("rule-evaluator at {}: {}", self.address, status.message());
                ApiError::new(ErrorType::Unavailable, text)
            })
        })
    }
}

fn group_from_wire(group: thanos::RuleGroup) -> RuleGroup {
    RuleGroup {
        name: group.name,
        file: group.file,
        rules: group.rules.into_iter().filter_map(rule_from_wire).collect(),
        interval: group.interval,
        limit: group.limit,
        evaluation_time: group.evaluation_duration_seconds,
        last_evaluation: group.last_evaluation.map(millis),
        ..RuleGroup::default()
    }
}

fn rule_from_wire(rule: thanos::Rule) -> Option<Rule> {
    Some(match rule.result? {
        rule::Result::Alert(rule) => Rule::Alerting(AlertingRule {
            state: state_name(rule.state()).to_owned(),
            name: rule.name,
            query: rule.query,
            duration: rule.duration_seconds,
            keep_firing_for: rule.keep_firing_for_seconds,
            labels: labels(rule.labels),
            annotations: labels(rule.annotations),
            alerts: Some(rule.alerts.into_iter().map(alert_from_wire).collect()),
            health: rule.health,
            last_error: rule.last_error,
            evaluation_time: rule.evaluation_duration_seconds,
            last_evaluation: rule.last_evaluation.map(millis),
            kind: AlertingKind::Alerting,
        }),
        rule::Result::Recording(rule) => Rule::Recording(RecordingRule {
            name: rule.name,
            query: rule.query,
            labels: labels(rule.labels),
            health: rule.health,
            last_error: rule.last_error,
            evaluation_time: rule.evaluation_duration_seconds,
            last_evaluation: rule.last_evaluation.map(millis),
            kind: RecordingKind::Recording,
        }),
    })
}

fn alert_from_wire(alert: thanos::AlertInstance) -> ActiveAlert {
    ActiveAlert {
        state: state_name(alert.state()).to_owned(),
        labels: labels(alert.labels),
        annotations: labels(alert.annotations),
        active_at: alert.active_at.map(millis),
        keep_firing_since: None,
        value: alert.value,
    }
}

fn labels(set: Option<thanos::LabelSet>) -> Labels {
    set.map(|set| proto::convert::labels_from_thanos(&set.labels))
        .unwrap_or_default()
}

fn millis(time: proto::Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(time.nanos) / 1_000_000)
}

fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}
