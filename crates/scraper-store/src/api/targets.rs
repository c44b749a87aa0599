//! `/api/v1/targets`, `/api/v1/targets/relabel_steps` and `/api/v1/scrape_pools`: what is scraped, how it
//! goes, and what a pool's rules make of labels.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use http_api::{ApiError, Envelope};
use model::Labels;
use relabel::JsonConfig;
use scrape::{Health, PoolSnapshot, TargetSnapshot};
use serde::Serialize;
use serde_json::json;

use super::{Answer, Api, Call};

/// The answer; members in upstream's order.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<ActiveTarget>,
    dropped_targets: Vec<DroppedTarget>,
    /// `None` where dropped targets were not asked for.
    dropped_target_counts: Option<BTreeMap<String, usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: Labels,
    labels: Labels,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: Labels,
    scrape_pool: String,
}

pub(super) fn active_and_dropped(api: &Api, call: &Call) -> Answer {
    let wanted = call.params.get("scrapePool");
    let state = call.params.get("state").to_ascii_lowercase();
    let show = |kind: &str| state.is_empty() || state == "any" || state == kind;
    let mut answer = Targets::default();
    if show("dropped") {
        answer.dropped_target_counts = Some(BTreeMap::new());
    }
    for pool in pools(api) {
        if let Some(counts) = &mut answer.dropped_target_counts {
            // Of all pools, whichever was asked for.
            counts.insert(pool.name.clone(), pool.dropped_count);
        }
        if !wanted.is_empty() && pool.name != wanted {
            continue;
        }
        if show("active") {
            let active = pool.active.into_iter();
            (answer.active_targets).extend(active.map(|target| active_target(api, target)));
        }
        if show("dropped") {
            let dropped = pool.dropped.into_iter().map(|target| DroppedTarget {
                discovered_labels: target.discovered_labels,
                scrape_pool: pool.name.clone(),
            });
            answer.dropped_targets.extend(dropped);
        }
    }
    Ok(Envelope::data(&answer))
}

fn pools(api: &Api) -> Vec<PoolSnapshot> {
    let scrapes = api.scrapes.as_ref();
    scrapes.map_or_else(Vec::new, |scrapes| scrapes.lock().targets())
}

fn active_target(api: &Api, target: TargetSnapshot) -> ActiveTarget {
    let status = &api.status;
    let global_url = target.global_url(
        &status.listen_port,
        &status.external_scheme,
        &status.external_host,
    );
    ActiveTarget {
        global_url,
        last_scrape: match target
            .last_scrape
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        {
            Some(since) => super::status::rfc3339(since.as_millis() as i64),
            None => "0001-01-01T00:00:00Z".to_owned(),
        },
        last_scrape_duration: target.last_scrape_duration.as_secs_f64(),
        health: match target.health {
            Health::Up => "up",
            Health::Down => "down",
            Health::Unknown => "unknown",
        },
        scrape_interval: printed(target.scrape_interval),
        scrape_timeout: printed(target.scrape_timeout),
        discovered_labels: target.discovered_labels,
        labels: target.labels,
        scrape_pool: target.scrape_pool,
        scrape_url: target.scrape_url,
        last_error: target.last_error,
    }
}

fn printed(duration: Duration) -> String {
    model::format_duration(duration)
}

pub(super) fn scrape_pools(api: &Api, _: &Call) -> Answer {
    let names: Vec<String> = pools(api).into_iter().map(|pool| pool.name).collect();
    Ok(Envelope::data(&json!({ "scrapePools": names })))
}

#[derive(Serialize)]
struct Steps<'a> {
    steps: Vec<Step<'a>>,
}

/// What a rule did.
#[derive(Serialize)]
struct Step<'a> {
    rule: JsonConfig<'a>,
    output: &'a Labels,
    keep: bool,
}

/// What each rule of the pool `scrapePool` makes of `labels`, a JSON object; it ends with the rule that
/// drops them.
pub(super) fn relabel_steps(api: &Api, call: &Call) -> Answer {
    let pool = match call.params.get("scrapePool") {
        "" => return Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => pool,
    };
    let labels: BTreeMap<String, String> = match call.params.get("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        text => serde_json::from_str(text)
            .map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?,
    };
    let labels = Labels::from_pairs(&labels);
    let scrapes = api.scrapes.as_ref();
    let steps = scrapes.and_then(|scrapes| scrapes.lock().relabel_steps(pool, &labels));
    let steps = steps.ok_or_else(|| {
        ApiError::bad_data(format!(
            "error retrieving scrape config: scrape pool {} not found",
            golang::strconv::quote(pool)
        ))
    })?;
    let steps: Vec<Step<'_>> = steps
        .iter()
        .map(|step| Step {
            rule: JsonConfig(step.rule.config()),
            output: &step.output,
            keep: step.keep,
        })
        .collect();
    Ok(Envelope::data(&Steps { steps }))
}
