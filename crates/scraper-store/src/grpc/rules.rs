//! `thanos.Rules`: those of rule-evaluator, with the external labels on them, as Thanos' sidecar puts them.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt};
use model::Labels;
use proto::convert::{labels_from_thanos, labels_to_thanos};
use proto::thanos::rules_server::Rules;
use proto::thanos::{LabelSet, RuleGroup, RulesRequest, RulesResponse, rule, rules_response};
use tonic::{Request, Response, Status};

use super::RemoteRules;

pub(super) struct RulesService {
    pub source: RemoteRules,
    pub external_labels: Arc<ArcSwap<Labels>>,
}

#[tonic::async_trait]
impl Rules for RulesService {
    type RulesStream = Pin<Box<dyn Stream<Item = Result<RulesResponse, Status>> + Send>>;

    async fn rules(
        &self,
        request: Request<RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        let external = self.external_labels.load_full();
        let frames = self.source.stream(request.into_inner()).await?;
        let frames = frames.map(move |frame| {
            let mut frame = frame?;
            if let Some(rules_response::Result::Group(group)) = &mut frame.result {
                label(group, &external);
            }
            Ok(frame)
        });
        Ok(Response::new(frames.boxed()))
    }
}

/// Puts external labels on the rules and alerts of a group.
fn label(group: &mut RuleGroup, external: &Labels) {
    for rule in &mut group.rules {
        match &mut rule.result {
            Some(rule::Result::Recording(rule)) => extend(&mut rule.labels, external),
            Some(rule::Result::Alert(rule)) => {
                extend(&mut rule.labels, external);
                for alert in &mut rule.alerts {
                    extend(&mut alert.labels, external);
                }
            }
            None => {}
        }
    }
}

fn extend(set: &mut Option<LabelSet>, external: &Labels) {
    let set = set.get_or_insert_default();
    let mut builder = labels_from_thanos(&set.labels).builder();
    for (name, value) in external {
        builder.set(name, value);
    }
    set.labels = labels_to_thanos(&builder.build());
}

#[cfg(test)]
mod tests {
    use proto::thanos::{Alert, AlertInstance, Rule};

    use super::*;

    #[test]
    fn external_labels_are_on_rules_and_their_alerts() {
        let own = Labels::from([("job", "a"), ("zone", "own")]);
        let set = || {
            Some(LabelSet {
                labels: labels_to_thanos(&own),
            })
        };
        let alert = Alert {
            labels: set(),
            alerts: vec![AlertInstance {
                labels: set(),
                ..AlertInstance::default()
            }],
            ..Alert::default()
        };
        let mut group = RuleGroup {
            rules: vec![Rule {
                result: Some(rule::Result::Alert(alert)),
            }],
            ..RuleGroup::default()
        };
        label(&mut group, &Labels::from([("zone", "eu")]));
        let Some(rule::Result::Alert(alert)) = &group.rules[0].result else {
            panic!("it was an alert");
        };
        let expected = Labels::from([("job", "a"), ("zone", "eu")]);
        for set in [&alert.labels, &alert.alerts[0].labels] {
            let labels = labels_from_thanos(&set.as_ref().unwrap().labels);
            assert_eq!(labels, expected);
        }
    }
}
