//! Looking for the state of `for` from before a restart, in the store.

use std::collections::BTreeMap;

use model::Labels;
use rules::{Group, PartialResponse, Rule, Sample, StateSample};

use crate::manager::{Shared, now_ms};

/// How far back an instant looks; within it the store itself tells whether a series has ended.
const LOOKBACK_MS: i64 = 5 * 60_000;

/// Restores the alerts of a group; says whether it could look for all of them.
pub(crate) async fn restore_group(shared: &Shared, group: &mut Group) -> bool {
    let now = now_ms();
    let tolerance_s = (shared.limits.outage_tolerance_ms / 1000).max(1);
    let mut complete = true;
    for entry in &mut group.entries {
        let Rule::Alerting(rule) = &mut entry.rule else {
            continue;
        };
        if rule.restored {
            continue;
        }
        if !rule.wants_restore() {
            rule.restored = true;
            continue;
        }
        let selector = rule.for_state_selector();
        let found = match shared
            .source
            .ask(
                &format!("{selector}[{tolerance_s}s]"),
                now,
                group.partial_response,
            )
            .await
        {
            Ok(samples) => {
                let states = last_of_each(samples);
                ended_left_out(shared, &selector, states, now, group.partial_response).await
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(states) => rule.restore(now, &shared.limits, &states),
            Err(error) => {
                complete = false;
                tracing::warn!(
                    group = group.name,
                    rule = rule.spec.name,
                    err = error,
                    "the state of alerts could not be looked up; trying again at the next evaluation"
                );
            }
        }
    }
    complete
}

fn last_of_each(samples: Vec<Sample>) -> Vec<StateSample> {
    let mut last: BTreeMap<Labels, StateSample> = BTreeMap::new();
    for sample in samples {
        let state = StateSample {
            active_at_s: sample.as_float(),
            t_ms: sample.t_ms,
            labels: sample.labels,
        };
        match last.get_mut(&state.labels) {
            Some(known) if known.t_ms >= state.t_ms => {}
            Some(known) => *known = state,
            None => {
                last.insert(state.labels.clone(), state);
            }
        }
    }
    last.into_values().collect()
}

/// Leaves out series that ended with a stale marker: their alerts had resolved. A range shows no
/// markers, but shortly after its last sample a series that ended is not there for an instant.
async fn ended_left_out(
    shared: &Shared,
    selector: &str,
    states: Vec<StateSample>,
    now: i64,
    partial: PartialResponse,
) -> Result<Vec<StateSample>, String> {
    let mut by_time: BTreeMap<i64, Vec<StateSample>> = BTreeMap::new();
    for state in states {
        by_time
            .entry((state.t_ms + LOOKBACK_MS - 1).min(now))
            .or_default()
            .push(state);
    }
    let mut alive = Vec::new();
    for (t_ms, states) in by_time {
        let present = shared.source.ask(selector, t_ms, partial).await?;
        alive.extend(
            states
                .into_iter()
                .filter(|s| present.iter().any(|p| p.labels == s.labels)),
        );
    }
    Ok(alive)
}
