//! Receivers over real sockets: what may be tried again, what is remembered, what is kept secret.
//! What they send is compared with the real Alertmanager's messages in tests/e2e.

// The lint spares `#[test]` functions only, not what they share.
#![allow(clippy::unwrap_used)]

// Shared with the test of the service; each uses a part.
#[allow(dead_code)]
#[path = "service/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alert_router::alert::Alert;
use alert_router::engine::Live;
use alert_router::group::Flushed;
use alert_router::live;
use alert_router::matcher::Mode;
use alert_router::nflog::{Reason, Value as Remembered};
use alert_router::notify::pushover::{Pushover, PushoverConfig};
use alert_router::notify::render::Expander;
use alert_router::notify::{Failure, FailureReason, Memory, Notification, Notifier};
use alert_router::template::Templates;
use model::Labels;
use serde_json::Value;

use http::{Behaviour, Hook};

fn notification(resolved: bool, memory: Memory) -> Notification {
    let now = jiff::Timestamp::now();
    let alert = Alert {
        labels: Labels::from_pairs([("alertname", "Disk full"), ("severity", "critical")]),
        annotations: Labels::from_pairs([("summary", "it is full")]),
        starts_at: now,
        ends_at: now,
        generator_url: Arc::from("http://g/"),
        updated_at: now,
        timeout: false,
    };
    Notification {
        receiver: Arc::from("r"),
        group_key: Arc::from("{}:{alertname=\"Disk full\"}"),
        group_labels: Labels::from_pairs([("alertname", "Disk full")]),
        route_labels: BTreeMap::new(),
        alerts: vec![Flushed {
            fingerprint: alert.fingerprint(),
            alert: Arc::new(alert),
            resolved,
        }],
        reason: Reason::FirstNotification,
        memory,
        now,
    }
}

/// The integrations that a receiver's section describes; `{hook}` is where the hook listens.
fn load(section: &str, hook: &Hook, dir: &Path) -> Live {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let section = section.replace("{hook}", &format!("http://{}", hook.address));
    let file = dir.join("am.yml");
    let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n{section}");
    std::fs::write(&file, text).unwrap();
    live::load(&file, Mode::Fallback, "http://am", "host").unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn send(section: &str, hook: &Hook, memory: Memory) -> Result<Memory, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let live = load(section, hook, dir.path());
    let integration = &live.receivers["r"][0];
    runtime().block_on(integration.notifier.notify(&notification(false, memory)))
}

const KINDS: [(&str, &str); 9] = [
    ("webhook", "  webhook_configs: [{url: '{hook}/s3cret'}]"),
    (
        "slack",
        "  slack_configs: [{api_url: '{hook}/s3cret', channel: '#c'}]",
    ),
    (
        "pagerduty",
        "  pagerduty_configs: [{routing_key: s3cret, url: '{hook}/x'}]",
    ),
    (
        "opsgenie",
        "  opsgenie_configs: [{api_key: s3cret, api_url: '{hook}/'}]",
    ),
    (
        "telegram",
        "  telegram_configs: [{bot_token: s3cret, chat_id: 1, api_url: '{hook}'}]",
    ),
    (
        "discord",
        "  discord_configs: [{webhook_url: '{hook}/s3cret'}]",
    ),
    (
        "msteamsv2",
        "  msteamsv2_configs: [{webhook_url: '{hook}/s3cret'}]",
    ),
    (
        "mattermost",
        "  mattermost_configs: [{webhook_url: '{hook}/s3cret', channel: c}]",
    ),
    (
        "slackapp",
        "  slack_configs: [{app_token: s3cret, app_url: '{hook}/x', channel: C}]",
    ),
];

#[test]
fn what_may_be_tried_again() {
    for (status, reason, retry) in [
        (400, FailureReason::ClientError, false),
        (401, FailureReason::AuthError, false),
        (404, FailureReason::ClientError, false),
        (429, FailureReason::RateLimited, true),
        (500, FailureReason::ServerError, true),
        (503, FailureReason::ServerError, true),
    ] {
        let hook = Hook::start(Behaviour::Says(status, "text/plain", "go away"));
        for (kind, section) in KINDS {
            let failure = send(section, &hook, Memory::new()).unwrap_err();
            // Whatever Telegram refuses may pass later.
            let retry = retry || kind == "telegram";
            assert_eq!(
                (failure.reason, failure.retry),
                (reason, retry),
                "{kind} {status}"
            );
            let text = failure.to_string();
            assert!(text.contains(&status.to_string()), "{kind}: {text}");
            assert!(!text.contains("s3cret"), "{kind}: {text}");
        }
    }
}

#[test]
fn a_receiver_that_is_not_there_may_come_back() {
    let mut hook = Hook::start(Behaviour::Good);
    hook.address = "127.0.0.1:1".to_owned();
    for (kind, section) in KINDS {
        let failure = send(section, &hook, Memory::new()).unwrap_err();
        assert!(failure.retry, "{kind}");
        let text = failure.to_string();
        assert!(text.contains("connection refused"), "{kind}: {text}");
        assert!(!text.contains("s3cret"), "{kind}: {text}");
    }
}

#[test]
fn timeouts_are_the_receivers_own() {
    let hook = Hook::start(Behaviour::Hangs);
    for section in [
        "  webhook_configs: [{url: '{hook}/s3cret', timeout: 200ms}]",
        "  slack_configs: [{api_url: '{hook}/s3cret', channel: c, timeout: 200ms}]",
    ] {
        let begin = std::time::Instant::now();
        let failure = send(section, &hook, Memory::new()).unwrap_err();
        assert_eq!(failure.reason, FailureReason::ContextDeadlineExceeded);
        assert!(failure.retry && begin.elapsed().as_secs() < 10, "{failure}");
    }
}

#[test]
fn slack_changes_the_message_that_is_there() {
    let answer = r#"{"ok":true,"ts":"17.5","channel":"C9"}"#;
    let hook = Hook::start(Behaviour::Says(200, "application/json", answer));
    let section = "  slack_configs: [{app_token: t, app_url: '{hook}/api/chat.postMessage', channel: '#c', update_message: true}]";
    let memory = send(section, &hook, Memory::new()).unwrap();
    let text = |key: &str| match memory.get(key) {
        Some(Remembered::Text(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(
        (text("threadTs"), text("channelId")),
        ("17.5".to_owned(), "C9".to_owned())
    );
    send(section, &hook, memory.clone()).unwrap();
    let lines: Vec<String> = hook.requests().into_iter().map(|(line, _)| line).collect();
    assert_eq!(
        lines,
        ["POST /api/chat.postMessage", "POST /api/chat.update"]
    );
    let bodies = hook.bodies();
    assert_eq!(
        (&bodies[0]["channel"], &bodies[0]["ts"]),
        (&"#c".into(), &Value::Null)
    );
    assert_eq!(
        (&bodies[1]["channel"], &bodies[1]["ts"]),
        (&"C9".into(), &"17.5".into())
    );
}

#[test]
fn slack_says_in_the_body_what_is_wrong() {
    for (answer, retry, reason) in [
        (
            r#"{"ok":false,"error":"channel_not_found"}"#,
            false,
            FailureReason::ClientError,
        ),
        (
            r#"{"ok":false,"error":"invalid_auth"}"#,
            false,
            FailureReason::AuthError,
        ),
        (
            r#"{"ok":false,"error":"ratelimited"}"#,
            true,
            FailureReason::RateLimited,
        ),
        ("no json", true, FailureReason::Other),
    ] {
        let hook = Hook::start(Behaviour::Says(200, "application/json", answer));
        let (_, section) = KINDS[8];
        let failure = send(section, &hook, Memory::new()).unwrap_err();
        assert_eq!((failure.retry, failure.reason), (retry, reason), "{answer}");
    }
}

#[test]
fn secrets_are_read_from_their_files_at_each_use() {
    let hook = Hook::start(Behaviour::Good);
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("url");
    let section = format!(
        "  webhook_configs: [{{url_file: '{0}'}}]\n  discord_configs: [{{webhook_url_file: '{0}'}}]\n  \
         mattermost_configs: [{{webhook_url_file: '{0}', channel: c}}]\n  msteamsv2_configs: [{{webhook_url_file: '{0}'}}]",
        secret.display()
    );
    let live = load(&section, &hook, dir.path());
    let (runtime, first) = (runtime(), notification(false, Memory::new()));
    for path in ["first", "second"] {
        std::fs::write(&secret, format!("http://{}/{path}\n", hook.address)).unwrap();
        for integration in &live.receivers["r"] {
            runtime
                .block_on(integration.notifier.notify(&first))
                .unwrap();
        }
    }
    let lines: Vec<String> = hook.requests().into_iter().map(|(line, _)| line).collect();
    let wanted = [["POST /first"; 4], ["POST /second"; 4]].concat();
    assert_eq!(lines, wanted);
    std::fs::remove_file(&secret).unwrap();
    let told = live.receivers["r"][0].notifier.notify(&first);
    assert!(!runtime.block_on(told).unwrap_err().retry);
}

#[test]
fn opsgenie_closes_what_is_over_and_pushover_gets_a_form() {
    let hook = Hook::start(Behaviour::Good);
    let dir = tempfile::tempdir().unwrap();
    let live = load(
        "  opsgenie_configs: [{api_key: k, api_url: '{hook}/'}]",
        &hook,
        dir.path(),
    );
    let over = notification(true, Memory::new());
    runtime()
        .block_on(live.receivers["r"][0].notifier.notify(&over))
        .unwrap();
    let alias = over.key_hash();
    assert_eq!(
        hook.requests()[0].0,
        format!("POST /v2/alerts/{alias}/close?identifierType=alias")
    );
    let config: PushoverConfig = yaml_config::from_str(
        "user_key: u\ntoken: t\ntitle: '{{ .Status }} & more'\nmessage: 'm'\nttl: 90s\npriority: '1'\nsound: siren\n",
    )
    .unwrap();
    let render = Expander {
        templates: Templates::new().unwrap(),
        external_url: "http://am".to_owned(),
    };
    let pushover = Pushover::new(config, Arc::new(render)).unwrap();
    let pushover = pushover.with_url(format!("http://{}/1/messages.json", hook.address));
    runtime()
        .block_on(pushover.notify(&notification(false, Memory::new())))
        .unwrap();
    let (line, form) = hook.requests().remove(1);
    assert_eq!(line, "POST /1/messages.json");
    for pair in [
        "token=t",
        "user=u",
        "title=firing+%26+more",
        "message=m",
        "ttl=90",
        "priority=1",
        "sound=siren",
        "retry=60",
        "expire=3600",
    ] {
        assert!(form.split('&').any(|p| p == pair), "no {pair} in {form}");
    }
}
