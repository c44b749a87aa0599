//! `/api/v1/firewatch/discovery`, ours: discoveries that cannot look at the moment, and why. What they found
//! last still holds, so nothing else shows it.

use http_api::Envelope;
use serde::Serialize;

use super::{Answer, Api, Call};

#[derive(Serialize)]
struct Data {
    problems: Vec<Problem>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    scrape_pool: String,
    mechanism: &'static str,
    config: String,
    error: String,
}

pub(super) fn handle(api: &Api, _: &Call) -> Answer {
    let scrapes = api.scrapes.as_ref();
    let problems = scrapes.map(|scrapes| scrapes.lock().discovery_problems());
    let problems = problems.unwrap_or_default().into_iter();
    let problems = problems.flat_map(|(pool, problems)| {
        problems.into_iter().map(move |problem| Problem {
            scrape_pool: pool.clone(),
            mechanism: problem.mechanism,
            config: problem.config,
            error: problem.error,
        })
    });
    Ok(Envelope::data(&Data {
        problems: problems.collect(),
    }))
}
