//! The real program: killed in the middle, talking to real receivers on loopback.

// The lint spares `#[test]` functions only, not what they share.
#![allow(clippy::unwrap_used)]

// Shared with the test of receivers; each uses a part.
#[allow(dead_code)]
mod http;
mod smtp;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use http::{Behaviour, Hook, request};

/// A running alert-router, killed when it is dropped.
struct Router {
    child: Child,
    url: String,
    grpc: String,
}

impl Router {
    fn start(dir: &Path, config: &str) -> Router {
        let file: PathBuf = dir.join("alertmanager.yml");
        std::fs::write(&file, config).unwrap();
        let (http, grpc) = (free_port(), free_port());
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_alert-router"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{http}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let router = Router {
            child,
            url: format!("127.0.0.1:{http}"),
            grpc: format!("http://127.0.0.1:{grpc}"),
        };
        wait_for("the router to be ready", || {
            request(&router.url, "GET", "/-/ready", None).is_some_and(|(status, _)| status == 200)
        });
        router
    }

    fn post(&self, path: &str, body: Value) -> String {
        let (status, text) = request(&self.url, "POST", path, Some(&body)).expect("an answer");
        assert_eq!(status, 200, "{text}");
        text
    }

    fn get(&self, path: &str) -> Value {
        let (status, text) = request(&self.url, "GET", path, None).expect("an answer");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// SIGKILL: no chance to write anything more.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited too long for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn alert(name: &str) -> Value {
    json!([{"labels": {"alertname": name}, "annotations": {"summary": "it broke"}}])
}

#[test]
fn killed_in_the_middle_it_loses_nothing_and_sends_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::start(Behaviour::Good);
    let config = format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 200ms, group_interval: 300ms, repeat_interval: 1h}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        hook.address
    );
    let names: Vec<String> = (0..6).map(|i| format!("alert{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        let router = Router::start(dir.path(), &config);
        router.post("/api/v2/alerts", alert(name));
        // Killed right after the answer, or a while later: before, in and after the notification.
        std::thread::sleep(Duration::from_millis(if i % 2 == 0 { 0 } else { 1500 }));
        router.kill();
    }
    let router = Router::start(dir.path(), &config);
    let count = |name: &str| {
        hook.bodies()
            .iter()
            .filter(|b| b["groupLabels"]["alertname"] == name)
            .count()
    };
    wait_for("all notifications", || {
        names.iter().all(|name| count(name) > 0)
    });
    // More than one interval of the group: time enough to send something twice.
    std::thread::sleep(Duration::from_millis(1000));
    for name in &names {
        assert_eq!(count(name), 1, "{name}");
    }
    assert!(
        hook.bodies().iter().all(|body| body["status"] == "firing"),
        "nothing resolved"
    );
    assert_eq!(
        router.get("/api/v2/alerts").as_array().unwrap().len(),
        names.len()
    );
}

#[test]
fn silences_survive_a_kill_and_hold_alerts_back() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::start(Behaviour::Good);
    let config = format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 100ms, group_interval: 200ms}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        hook.address
    );
    let router = Router::start(dir.path(), &config);
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "quiet", "isRegex": false}],
        "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2124-01-01T00:00:00Z",
        "createdBy": "me", "comment": "c",
    });
    let answer: Value = serde_json::from_str(&router.post("/api/v2/silences", silence)).unwrap();
    router.kill();
    let router = Router::start(dir.path(), &config);
    router.post("/api/v2/alerts", alert("quiet"));
    router.post("/api/v2/alerts", alert("loud"));
    wait_for("the other alert", || !hook.bodies().is_empty());
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(hook.bodies().len(), 1);
    assert_eq!(hook.bodies()[0]["groupLabels"]["alertname"], "loud");
    let alerts = router.get("/api/v2/alerts?active=false");
    assert_eq!(alerts[0]["status"]["silencedBy"][0], answer["silenceID"]);
}

#[test]
fn a_receiver_in_trouble_delays_nobody_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (good, hangs, flaky, garbage) = (
        Hook::start(Behaviour::Good),
        Hook::start(Behaviour::Hangs),
        Hook::start(Behaviour::FailsFirst(2, 503)),
        Hook::start(Behaviour::Garbage),
    );
    let mut config = "route: {receiver: good, group_by: [alertname], group_wait: 100ms, group_interval: 10s, routes: [\
         {receiver: hangs, continue: true, matchers: ['alertname=~\".+\"']}, {receiver: flaky, continue: true, matchers: ['alertname=~\".+\"']},\
         {receiver: garbage, continue: true, matchers: ['alertname=~\".+\"']}, {receiver: good, matchers: ['alertname=~\".+\"']}]}\n\
         receivers:\n"
        .to_owned();
    for (name, hook) in [
        ("good", &good),
        ("hangs", &hangs),
        ("flaky", &flaky),
        ("garbage", &garbage),
    ] {
        config.push_str(&format!(
            "- {{name: {name}, slack_configs: [{{api_url: 'http://{}/secret-path', channel: '#c', title: '{{{{ .CommonLabels.alertname }}}}', fields: [{{title: t, value: v}}]}}]}}\n",
            hook.address
        ));
    }
    let router = Router::start(dir.path(), &config);
    let begin = Instant::now();
    router.post("/api/v2/alerts", alert("a"));
    wait_for("the good receiver", || !good.bodies().is_empty());
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "delayed by the others"
    );
    let message = &good.bodies()[0];
    assert_eq!(message["channel"], "#c");
    assert_eq!(message["attachments"][0]["title"], "a");
    assert_eq!(message["attachments"][0]["color"], "danger");
    assert_eq!(
        message["attachments"][0]["fields"],
        json!([{"title": "t", "value": "v", "short": false}])
    );
    wait_for("the third attempt", || flaky.bodies().len() >= 3);
    wait_for("the metrics", || {
        let (_, page) = request(&router.url, "GET", "/metrics", None).expect("metrics");
        page.contains("alertmanager_notification_requests_failed_total{integration=\"slack\"} 3")
            && page.contains("alertmanager_notifications_failed_total{integration=\"slack\",reason=\"clientError\"} 1")
    });
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("unexpected status code 503"), "{log}");
    assert!(!log.contains("secret-path"), "{log}");
}

#[test]
fn mail_with_every_mechanism_and_starttls() {
    for (mechanism, tls) in [("LOGIN", false), ("CRAM-MD5", false), ("PLAIN", true)] {
        let dir = tempfile::tempdir().unwrap();
        let server = smtp::Server::start(mechanism, tls.then(|| dir.path().join("ca.pem")));
        let config = format!(
            "global: {{smtp_smarthost: 'localhost:{}', smtp_from: 'am@example.org', smtp_require_tls: {tls}, \
             smtp_auth_username: user, smtp_auth_password: pass word, smtp_auth_secret: tanstaaf{}}}\n\
             route: {{receiver: r, group_wait: 100ms}}\n\
             receivers:\n\
             - name: r\n  email_configs:\n  - to: 'Team <a@example.org>, b@example.org'\n    text: 'plain {{{{ .CommonAnnotations.summary }}}}'\n    \
             headers: {{X-Team: 'größe'}}\n    threading: {{enabled: true, thread_by_date: none}}\n",
            server.port,
            if tls {
                format!(
                    ", smtp_tls_config: {{ca_file: '{}'}}",
                    dir.path().join("ca.pem").display()
                )
            } else {
                String::new()
            },
        );
        let router = Router::start(dir.path(), &config);
        router.post("/api/v2/alerts", alert("mailed"));
        wait_for("the mail", || !server.mails().is_empty());
        let mail = server.mails().remove(0);
        assert_eq!(mail.from, "am@example.org", "{mechanism}");
        assert_eq!(mail.to, ["a@example.org", "b@example.org"]);
        assert_eq!(mail.login, "user:ok");
        assert_eq!(mail.encrypted, tls);
        for part in [
            "Subject: [FIRING:1]",
            "In-Reply-To: <alert-",
            "multipart/alternative",
            "text/plain; charset=utf-8",
            "plain it broke",
            "text/html; charset=utf-8",
        ] {
            assert!(
                mail.data.contains(part),
                "{mechanism}: no {part:?} in\n{}",
                mail.data
            );
        }
        assert!(!mail.data.contains("größe"), "headers are ASCII");
    }
}

#[test]
fn grpc_answers_when_the_batch_is_safe() {
    use proto::firewatch::alerts::v1::alerts_client::AlertsClient;
    use proto::firewatch::alerts::v1::{Alert, PushRequest};
    let dir = tempfile::tempdir().unwrap();
    let config = "route: {receiver: r}\nreceivers: [{name: r}]\n";
    let router = Router::start(dir.path(), config);
    let batch = |batch_id, name: &str| PushRequest {
        batch_id,
        alerts: vec![
            Alert {
                labels: [("alertname".to_owned(), name.to_owned())].into(),
                ..Alert::default()
            },
            Alert::default(),
        ],
    };
    let requests = vec![batch(7, "first"), batch(8, "second")];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answers: Vec<_> = runtime.block_on(async {
        let mut client = AlertsClient::connect(router.grpc.clone()).await.unwrap();
        let mut answers = client
            .push(futures::stream::iter(requests))
            .await
            .unwrap()
            .into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            all.push((
                answer.batch_id,
                answer.accepted,
                answer.refused.len(),
                answer.error,
            ));
        }
        all
    });
    assert_eq!(
        answers,
        [(7, 1, 1, String::new()), (8, 1, 1, String::new())]
    );
    router.kill();
    let router = Router::start(dir.path(), config);
    assert_eq!(router.get("/api/v2/alerts").as_array().unwrap().len(), 2);
}
