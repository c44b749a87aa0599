//! `alert query` and `alert add`.

use alert_router::matcher::Mode;

use super::{api_time, label_set, time, with_alert_name};
use crate::cli::Invocation;
use crate::client::{Client, GET_ALERTS, POST_ALERTS, json};
use crate::format::Format;
use crate::models::{Alert, NewAlert};

/// Go's zero time, as the API writes it: nothing is said.
const UNSAID: &str = "0001-01-01T00:00:00.000Z";

pub async fn query(invocation: &Invocation, mode: Mode) -> Result<(), String> {
    let states = ["silenced", "inhibited", "active", "unprocessed"];
    let any = states.iter().any(|name| invocation.is_on(name));
    let mut query: Vec<(&str, String)> = states
        .iter()
        .map(|&name| {
            let on = invocation.is_on(name) || (!any && name == "active");
            (name, on.to_string())
        })
        .collect();
    let filter = with_alert_name(&invocation.words, mode);
    query.extend(filter.into_iter().map(|word| ("filter", word)));
    if !invocation.text("receiver").is_empty() {
        query.push(("receiver", invocation.text("receiver").to_owned()));
    }
    let client = Client::new(invocation).await?;
    let mut alerts: Vec<Alert> = client.call(&GET_ALERTS, "", &query, None).await?;
    print!("{}", Format::new(invocation).alerts(&mut alerts));
    Ok(())
}

pub async fn add(invocation: &Invocation, mode: Mode) -> Result<(), String> {
    let words = with_alert_name(&invocation.words, mode);
    let labels = label_set(&words, mode, "labels")?;
    let annotations = label_set(invocation.list("annotation"), mode, "annotations")?;
    let at = |flag: &str| match invocation.text(flag) {
        "" => Ok(UNSAID.to_owned()),
        text => time(text).map(|time| api_time(&time)),
    };
    let alert = NewAlert {
        annotations,
        starts_at: at("start")?,
        ends_at: at("end")?,
        generator_url: invocation.text("generator-url").to_owned(),
        labels,
    };
    let client = Client::new(invocation).await?;
    let body = json(&[alert])?;
    client.send(&POST_ALERTS, "", &[], Some(body)).await?;
    Ok(())
}
