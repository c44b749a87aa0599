//! `thanos.Rules` and `thanos.info.Info`.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt, stream};
use http_api::rules::{ActiveAlert, Rule, RuleGroup};
use model::{Labels, Matcher};
use proto::thanos::info::info_server::{Info, InfoServer};
use proto::thanos::info::{InfoRequest, InfoResponse, RulesInfo};
use proto::thanos::rules_request::Type;
use proto::thanos::rules_server::{Rules, RulesServer};
use proto::thanos::{self, AlertState, LabelSet, RulesRequest, RulesResponse, rules_response};
use proto::{Timestamp, convert::labels_to_thanos};
use rules::PartialResponse;
use service::GrpcServices;
use tonic::{Request, Response, Status};

use crate::manager::Manager;

struct Service {
    manager: Arc<Manager>,
    external_labels: Arc<ArcSwap<Labels>>,
}

/// The services of the gRPC listener, health and reflection among them.
///
/// # Errors
/// Only if the built-in descriptors did not decode.
pub async fn routes(
    manager: Arc<Manager>,
    external_labels: Arc<ArcSwap<Labels>>,
) -> Result<axum::Router, service::Error> {
    let service = Arc::new(Service {
        manager,
        external_labels,
    });
    let mut services = GrpcServices::new(proto::DESCRIPTORS)?;
    services
        .add(RulesServer::from_arc(Arc::clone(&service)))
        .await;
    services.add(InfoServer::from_arc(service)).await;
    Ok(services.into_router())
}

#[tonic::async_trait]
impl Info for Service {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let labels = labels_to_thanos(&self.external_labels.load());
        let label_sets = if labels.is_empty() {
            Vec::new()
        } else {
            vec![LabelSet { labels }]
        };
        Ok(Response::new(InfoResponse {
            label_sets,
            component_type: "rule-evaluator".to_owned(),
            rules: Some(RulesInfo {}),
            ..InfoResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl Rules for Service {
    type RulesStream = Pin<Box<dyn Stream<Item = Result<RulesResponse, Status>> + Send>>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        let request = request.into_inner();
        let mut matchers = Vec::new();
        for text in &request.matcher_string {
            let set = promql::parse::parse_metric_selector(text)
                .map_err(|e| Status::invalid_argument(format!("matcher {text}: {e}")))?;
            matchers.push(set);
        }
        let groups = self.manager.groups().into_iter();
        let groups = groups.filter_map(move |group| select(group, &request, &matchers));
        let frames = groups.map(|group| {
            let result = Some(rules_response::Result::Group(group_to_wire(group)));
            Ok(RulesResponse { result })
        });
        let frames: Vec<_> = frames.collect();
        Ok(Response::new(stream::iter(frames).boxed()))
    }
}

/// The part of a group that a request asks for, if any.
fn select(
    mut group: RuleGroup,
    request: &RulesRequest,
    matchers: &[Vec<Matcher>],
) -> Option<RuleGroup> {
    let listed = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    if !listed(&request.rule_group, &group.name) || !listed(&request.file, &group.file) {
        return None;
    }
    group.rules.retain(|rule| {
        let (kind, name, labels) = match rule {
            Rule::Alerting(rule) => (Type::Alert, &rule.name, &rule.labels),
            Rule::Recording(rule) => (Type::Record, &rule.name, &rule.labels),
        };
        let kind_wanted = request.r#type() == Type::All || request.r#type() == kind;
        let matches = |set: &Vec<Matcher>| set.iter().all(|m| m.matches_labels(labels));
        kind_wanted
            && listed(&request.rule_name, name)
            && (matchers.is_empty() || matchers.iter().any(matches))
    });
    Some(group)
}

fn group_to_wire(group: RuleGroup) -> thanos::RuleGroup {
    thanos::RuleGroup {
        name: group.name,
        file: group.file,
        rules: group.rules.into_iter().map(rule_to_wire).collect(),
        interval: group.interval,
        evaluation_duration_seconds: group.evaluation_time,
        last_evaluation: timestamp(group.last_evaluation),
        limit: group.limit,
        partial_response_strategy: match group.partial_response {
            PartialResponse::Warn => thanos::PartialResponseStrategy::Warn,
            PartialResponse::Abort => thanos::PartialResponseStrategy::Abort,
        } as i32,
    }
}

fn rule_to_wire(rule: Rule) -> thanos::Rule {
    let result = match rule {
        Rule::Alerting(rule) => thanos::rule::Result::Alert(thanos::Alert {
            state: state(&rule.state) as i32,
            name: rule.name,
            query: rule.query,
            duration_seconds: rule.duration,
            labels: label_set(&rule.labels),
            annotations: label_set(&rule.annotations),
            alerts: rule
                .alerts
                .unwrap_or_default()
                .into_iter()
                .map(alert_to_wire)
                .collect(),
            health: rule.health,
            last_error: rule.last_error,
            evaluation_duration_seconds: rule.evaluation_time,
            last_evaluation: timestamp(rule.last_evaluation),
            keep_firing_for_seconds: rule.keep_firing_for,
        }),
        Rule::Recording(rule) => thanos::rule::Result::Recording(thanos::RecordingRule {
            name: rule.name,
            query: rule.query,
            labels: label_set(&rule.labels),
            health: rule.health,
            last_error: rule.last_error,
            evaluation_duration_seconds: rule.evaluation_time,
            last_evaluation: timestamp(rule.last_evaluation),
        }),
    };
    thanos::Rule {
        result: Some(result),
    }
}

fn alert_to_wire(alert: ActiveAlert) -> thanos::AlertInstance {
    thanos::AlertInstance {
        labels: label_set(&alert.labels),
        annotations: label_set(&alert.annotations),
        state: state(&alert.state) as i32,
        active_at: timestamp(alert.active_at),
        value: alert.value,
        ..thanos::AlertInstance::default()
    }
}

fn label_set(labels: &Labels) -> Option<LabelSet> {
    Some(LabelSet {
        labels: labels_to_thanos(labels),
    })
}

/// The wire knows no "unknown": a rule that was not evaluated yet has no alerts.
fn state(word: &str) -> AlertState {
    match word {
        "firing" => AlertState::Firing,
        "pending" => AlertState::Pending,
        _ => AlertState::Inactive,
    }
}

fn timestamp(ms: Option<i64>) -> Option<Timestamp> {
    ms.map(|ms| Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: (ms.rem_euclid(1000) * 1_000_000) as i32,
    })
}
