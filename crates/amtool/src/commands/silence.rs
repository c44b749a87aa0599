//! `silence query`, `add`, `expire`, `update`, `import`.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alert_router::matcher::Mode;
use alert_router::silence::api_flags;
use futures::{StreamExt, stream};
use golang::time::Time;
use serde::Deserialize;

use super::{api_time, label_set, matchers, time, with_alert_name};
use crate::cli::Invocation;
use crate::client::{Client, DELETE_SILENCE, GET_SILENCE, GET_SILENCES, POST_SILENCES, json};
use crate::format::Format;
use crate::models::{Matcher, NewSilence, Silence};

#[derive(Deserialize)]
struct Posted {
    #[serde(rename = "silenceID")]
    id: String,
}

async fn post(client: &Client, silence: &NewSilence) -> Result<String, String> {
    let body = json(silence)?;
    let posted: Posted = client.call(&POST_SILENCES, "", &[], Some(body)).await?;
    Ok(posted.id)
}

fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Time::from_unix(seconds, i64::from(since.subsec_nanos()))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration of a silence, in Prometheus' notation.
fn duration(text: &str) -> Result<i64, String> {
    let duration = model::parse_duration(text).map_err(|e| e.to_string())?;
    if duration.is_zero() {
        return Err("silence duration must be greater than 0".to_owned());
    }
    Ok(nanoseconds(duration))
}

pub async fn query(invocation: &Invocation, mode: Mode) -> Result<(), String> {
    let filter = with_alert_name(&invocation.words, mode);
    let filter: Vec<(&str, String)> = filter.into_iter().map(|word| ("filter", word)).collect();
    let within = nanoseconds(invocation.duration("within")?);
    let expired = invocation.is_on("expired");
    let (created_by, id) = (invocation.text("created-by"), invocation.text("id"));
    let client = Client::new(invocation).await?;
    let mut silences: Vec<Silence> = client.call(&GET_SILENCES, "", &filter, None).await?;
    let now = now();
    silences.retain(|silence| {
        let Ok(ends_at) = time(&silence.ends_at) else {
            return false;
        };
        let over = ends_at.before(&now);
        let near = match (within, expired) {
            (0, _) => true,
            (_, false) => !now.add(within).before(&ends_at),
            (_, true) => !ends_at.before(&now.add(-within)),
        };
        over == expired
            && near
            && (created_by.is_empty() || silence.created_by == created_by)
            && (id.is_empty() || silence.id == id)
    });
    show(invocation, &mut silences);
    Ok(())
}

fn show(invocation: &Invocation, silences: &mut [Silence]) {
    if invocation.is_on("quiet") {
        for silence in silences {
            println!("{}", silence.id);
        }
    } else {
        print!("{}", Format::new(invocation).silences(silences));
    }
}

pub async fn add(invocation: &Invocation, mode: Mode) -> Result<(), String> {
    let words = with_alert_name(&invocation.words, mode);
    let matchers = matchers(&words, mode)?;
    if matchers.is_empty() {
        return Err("no matchers specified".to_owned());
    }
    let starts_at = match invocation.text("start") {
        "" => now(),
        text => time(text)?,
    };
    let ends_at = match invocation.text("end") {
        "" => starts_at.add(duration(invocation.text("duration"))?),
        text => time(text)?,
    };
    if ends_at.before(&starts_at) {
        return Err("silence cannot start after it ends".to_owned());
    }
    let comment = invocation.text("comment").to_owned();
    if invocation.is_on("require-comment") && comment.is_empty() {
        return Err("comment required by config".to_owned());
    }
    let author = if invocation.is_given("author") {
        invocation.text("author").to_owned()
    } else {
        user_name()
    };
    let silence = NewSilence {
        id: String::new(),
        annotations: label_set(invocation.list("annotation"), mode, "annotations")?,
        comment: Some(comment),
        created_by: Some(author),
        ends_at: Some(api_time(&ends_at)),
        starts_at: Some(api_time(&starts_at)),
        matchers: Some(
            matchers
                .iter()
                .map(|matcher| {
                    let (is_regex, is_equal) = api_flags(matcher.kind);
                    Matcher {
                        is_equal,
                        is_regex,
                        name: matcher.name.to_string(),
                        value: matcher.value.to_string(),
                    }
                })
                .collect(),
        ),
    };
    let client = Client::new(invocation).await?;
    println!("{}", post(&client, &silence).await?);
    Ok(())
}

/// Who runs this, by the system's list of users.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    entry
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_default()
}

pub async fn expire(invocation: &Invocation) -> Result<(), String> {
    if invocation.words.is_empty() {
        return Err("no silence IDs specified".to_owned());
    }
    let client = Client::new(invocation).await?;
    for id in &invocation.words {
        client.send(&DELETE_SILENCE, id, &[], None).await?;
    }
    Ok(())
}

pub async fn update(invocation: &Invocation) -> Result<(), String> {
    if invocation.words.is_empty() {
        return Err("no silence IDs specified".to_owned());
    }
    let client = Client::new(invocation).await?;
    let mut updated = Vec::new();
    for id in &invocation.words {
        let mut silence: Silence = client.call(&GET_SILENCE, id, &[], None).await?;
        let mut starts_at = time(&silence.starts_at)?;
        if !invocation.text("start").is_empty() {
            starts_at = time(invocation.text("start"))?;
        }
        let ends_at = match (invocation.text("end"), invocation.text("duration")) {
            ("", "") => time(&silence.ends_at)?,
            ("", text) => starts_at.add(duration(text)?),
            (text, _) => time(text)?,
        };
        if ends_at.before(&starts_at) {
            return Err("silence cannot start after it ends".to_owned());
        }
        silence.starts_at = api_time(&starts_at);
        silence.ends_at = api_time(&ends_at);
        if !invocation.text("comment").is_empty() {
            silence.comment = invocation.text("comment").to_owned();
        }
        silence.id = post(&client, &changed(&silence)).await?;
        updated.push(silence);
    }
    show(invocation, &mut updated);
    Ok(())
}

fn changed(silence: &Silence) -> NewSilence {
    NewSilence {
        id: silence.id.clone(),
        annotations: silence.annotations.clone(),
        comment: Some(silence.comment.clone()),
        created_by: Some(silence.created_by.clone()),
        ends_at: Some(silence.ends_at.clone()),
        matchers: Some(silence.matchers.clone()),
        starts_at: Some(silence.starts_at.clone()),
    }
}

pub async fn import(invocation: &Invocation) -> Result<(), String> {
    let text = match invocation.words.first() {
        Some(file) => std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?,
        None => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|e| e.to_string())?;
            text
        }
    };
    let mut silences: Vec<NewSilence> = serde_json::from_str(&text)
        .map_err(|e| format!("couldn't unmarshal input data, is it JSON?: {e}"))?;
    if invocation.is_on("force") {
        silences.iter_mut().for_each(|silence| silence.id.clear());
    }
    let workers = invocation.text("worker").parse().unwrap_or(1).max(1);
    let client = Client::new(invocation).await?;
    let posts = silences.iter().map(|silence| import_one(&client, silence));
    let results: Vec<Result<String, String>> =
        stream::iter(posts).buffered(workers).collect().await;
    let mut failed = 0;
    for (silence, result) in silences.iter().zip(results) {
        match result {
            Ok(id) => println!("{id}"),
            Err(error) => {
                failed += 1;
                eprintln!("Error adding silence id='{}': {error}", silence.id);
            }
        }
    }
    if failed > 0 {
        let all = silences.len();
        return Err(format!("couldn't import {failed} out of {all} silences"));
    }
    Ok(())
}

/// One that the server does not know (any more) is made anew.
async fn import_one(client: &Client, silence: &NewSilence) -> Result<String, String> {
    match post(client, silence).await {
        Err(error) if error.contains("postSilencesNotFound") => {
            let anew = NewSilence {
                id: String::new(),
                ..silence.clone()
            };
            post(client, &anew).await
        }
        other => other,
    }
}
