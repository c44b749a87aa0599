//! `/api/v1/metadata` and `/api/v1/targets/metadata`: types, units and help texts.

use std::collections::{BTreeMap, BTreeSet};

use http_api::{ApiError, Envelope};
use model::{Labels, Matcher, Metadata};
use scrape::TargetSnapshot;
use serde::Serialize;

use super::{Answer, Api, Call};

/// A number parameter as these endpoints read it: absent or negative means no limit.
fn limit(call: &Call, name: &str, error: &str) -> Result<usize, ApiError> {
    match call.params.get(name) {
        "" => Ok(usize::MAX),
        text => {
            let number: i64 = text.parse().map_err(|_| ApiError::bad_data(error))?;
            Ok(usize::try_from(number).unwrap_or(usize::MAX))
        }
    }
}

/// What differs between two targets' ideas of one metric.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Entry {
    pub r#type: &'static str,
    pub unit: String,
    pub help: String,
}

fn entry(metadata: Metadata) -> Entry {
    Entry {
        r#type: metadata.metric_type.as_str(),
        unit: metadata.unit,
        help: metadata.help,
    }
}

/// A metric's metadata at one target.
#[derive(Serialize)]
struct OfTarget<'a> {
    target: &'a Labels,
    /// Empty where the request names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    r#type: &'static str,
    help: String,
    unit: String,
}

fn active_targets(api: &Api) -> Vec<TargetSnapshot> {
    let pools = api
        .scrapes
        .as_ref()
        .map(|s| s.lock().targets())
        .unwrap_or_default();
    pools.into_iter().flat_map(|pool| pool.active).collect()
}

/// What targets say of a metric, or of all where it is empty, each opinion once.
pub(crate) fn families(api: &Api, metric: &str) -> BTreeMap<String, BTreeSet<Entry>> {
    let mut families: BTreeMap<String, BTreeSet<Entry>> = BTreeMap::new();
    for target in active_targets(api) {
        if metric.is_empty() {
            for found in target.metadata.list() {
                families
                    .entry(found.metric)
                    .or_default()
                    .insert(entry(found.metadata));
            }
        } else if let Some(found) = target.metadata.get(metric) {
            families
                .entry(metric.to_owned())
                .or_default()
                .insert(entry(found));
        }
    }
    families
}

pub(super) fn handle(api: &Api, call: &Call) -> Answer {
    let most = limit(call, "limit", "limit must be a number")?;
    let most_per_metric = limit(
        call,
        "limit_per_metric",
        "limit_per_metric must be a number",
    )?;
    let data: BTreeMap<String, Vec<Entry>> = families(api, call.params.get("metric"))
        .into_iter()
        .take(most)
        .map(|(name, entries)| (name, entries.into_iter().take(most_per_metric).collect()))
        .collect();
    Ok(Envelope::data(&data))
}

pub(super) fn of_targets(api: &Api, call: &Call) -> Answer {
    let most = limit(call, "limit", "limit must be a number")?;
    let matchers: Vec<Matcher> = match call.params.get("match_target") {
        "" => Vec::new(),
        text => promql::parse::parse_metric_selector(text)
            .map_err(|e| ApiError::parameter("match_target", e))?,
    };
    let metric = call.params.get("metric");
    let targets = active_targets(api);
    let mut found: Vec<OfTarget<'_>> = Vec::new();
    for target in &targets {
        if !matchers.iter().all(|m| m.matches_labels(&target.labels)) {
            continue;
        }
        let entries = if metric.is_empty() {
            target.metadata.list()
        } else {
            let known = target.metadata.get(metric);
            let metric = String::new();
            known
                .map(|metadata| scrape::MetadataEntry { metric, metadata })
                .into_iter()
                .collect()
        };
        for entry in entries.into_iter().take(most - found.len().min(most)) {
            found.push(OfTarget {
                target: &target.labels,
                metric: entry.metric,
                r#type: entry.metadata.metric_type.as_str(),
                help: entry.metadata.help,
                unit: entry.metadata.unit,
            });
        }
    }
    Ok(Envelope::data(&found))
}
