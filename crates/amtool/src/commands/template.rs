//! `template render`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use alert_router::live;
use alert_router::template::Data;
use golang::time::{RFC3339, Time};
use serde_json::{Value, json};

use crate::cli::Invocation;

pub fn render(invocation: &Invocation) -> Result<(), String> {
    let globs: Vec<PathBuf> = invocation
        .list("template.glob")
        .iter()
        .map(PathBuf::from)
        .collect();
    let templates = live::templates(&globs).map_err(|e| e.to_string())?;
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now = Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX), 0);
    let data = match invocation.text("template.data") {
        "" => example(&now),
        file => {
            let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
            serde_json::from_str(&text).map_err(|e| e.to_string())?
        }
    };
    let data: Data = serde_json::from_value(data).map_err(|e| e.to_string())?;
    let text = invocation.text("template.text");
    let rendered = if invocation.text("template.type") == "html" {
        templates.execute_html(text, &data, &now)
    } else {
        templates.execute_text(text, &data, &now)
    };
    print!("{}", rendered.map_err(|e| e.to_string())?);
    Ok(())
}

/// The alerts that upstream renders if it is given none.
fn example(now: &Time) -> Value {
    const MINUTE: i64 = 60_000_000_000;
    let at = |minutes: i64| now.add(-minutes * MINUTE).format(RFC3339);
    let common = [
        ("commonlabelkey1", "commonlabelvalue1"),
        ("commonlabelkey2", "commonlabelvalue2"),
    ];
    let notes = [
        ("commonannotationkey1", "commonannotationvalue1"),
        ("commonannotationkey2", "commonannotationvalue2"),
    ];
    let with = |own: &[(&str, &str)], shared: &[(&str, &str)]| -> Value {
        let all = own.iter().chain(shared);
        all.map(|(k, v)| ((*k).to_owned(), Value::from(*v)))
            .collect()
    };
    json!({
        "receiver": "receiver",
        "status": "alertstatus",
        "alerts": [
            {
                "status": "alertstatus",
                "labels": with(&[("label1", "value1"), ("label2", "value2"), ("instance", "foo.bar:1234")], &common),
                "annotations": with(&[("annotation1", "value1"), ("annotation2", "value2")], &notes),
                "startsAt": at(5), "endsAt": at(0),
                "generatorURL": "https://generatorurl.com", "fingerprint": "fingerprint1",
            },
            {
                "status": "alertstatus",
                "labels": with(&[("foo", "bar"), ("baz", "qux")], &common),
                "annotations": with(&[("aaa", "bbb"), ("ccc", "ddd")], &notes),
                "startsAt": at(10), "endsAt": at(0),
                "generatorURL": "https://generatorurl.com", "fingerprint": "fingerprint2",
            },
        ],
        "groupLabels": {"grouplabelkey1": "grouplabelvalue1", "grouplabelkey2": "grouplabelvalue2"},
        "commonLabels": with(&[], &common),
        "commonAnnotations": with(&[], &notes),
        "externalURL": "https://example.com",
    })
}
