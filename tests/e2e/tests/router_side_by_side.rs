//! The real Alertmanager and alert-router side by side: one configuration, the same alerts at the
//! same time, and the same notifications come out of both.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use e2e::{Receiver, Request, Router, part, post};
use serde_json::{Value, json};

/// Both routers with the same configuration; in it `{sink}` is where a router's messages go.
struct Pair {
    theirs: Side,
    ours: Side,
}

struct Side {
    router: Router,
    sink: Receiver,
}

impl Pair {
    fn start(config: &str, answer: e2e::Answer, dir: &Path) -> Option<Pair> {
        let theirs = part::peer("prometheus-alertmanager")?;
        let ours = part::build(&["alert-router"]).join("alert-router");
        let side = |name: &str, program: &Path| {
            let sink = Receiver::answering(answer);
            let config = config.replace("{sink}", sink.url("").trim_end_matches('/'));
            let args = [
                "--web.external-url=http://router.example/am".to_owned(),
                "--web.route-prefix=/".to_owned(),
            ];
            let router = Router::start(program, name, &config, &args, dir);
            Side { router, sink }
        };
        Some(Pair {
            theirs: side("theirs", &theirs),
            ours: side("ours", &ours),
        })
    }

    /// The same request to both; answers of both.
    fn post(&self, path: &str, body: &Value) -> [String; 2] {
        [&self.theirs, &self.ours].map(|side| {
            let url = format!("{}{path}", side.router.url);
            let json = [("Content-Type", "application/json")];
            let (status, text) =
                post(&url, &json, body.to_string().as_bytes()).expect("the router answers");
            assert_eq!(status, 200, "{url}: {text}");
            text
        })
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("it is after 1970").as_secs()).expect("it is before 2262")
}

/// RFC 3339 of seconds since the epoch.
fn time(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    // Civil date from days (the usual era arithmetic, March first).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

fn alert(labels: &Value, starts_at: i64, ends_at: i64) -> Value {
    let name = labels["alertname"].as_str().unwrap_or("").to_owned();
    json!({
        "labels": labels,
        "annotations": {"summary": format!("{name} <is> \"broken\" & more"), "runbook": "http://r/ü"},
        "startsAt": time(starts_at),
        "endsAt": time(ends_at),
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    })
}

const STORY: &str = "\
route:
  receiver: main
  group_by: [alertname, cluster]
  group_wait: 2s
  group_interval: 4s
  repeat_interval: 15s
  routes:
  - matchers: [kind=muted]
    receiver: muted
    mute_time_intervals: [always]
  - matchers: [kind=inactive]
    receiver: inactive
    active_time_intervals: [never]
  - matchers: [kind=each]
    receiver: each
    group_by: ['...']
  - matchers: [kind=twice]
    receiver: first
    continue: true
  - matchers: [kind=twice]
    receiver: second
    group_by: []
    repeat_interval: 1h
  - matchers: [kind=firing-only]
    receiver: firing-only
time_intervals:
- name: always
  time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]
- name: never
  time_intervals: [{years: ['1999']}]
inhibit_rules:
- source_matchers: [severity=critical]
  target_matchers: [severity=warning]
  equal: [cluster]
receivers:
- {name: main, webhook_configs: [{url: '{sink}/main'}]}
- {name: muted, webhook_configs: [{url: '{sink}/muted'}]}
- {name: inactive, webhook_configs: [{url: '{sink}/inactive'}]}
- {name: each, webhook_configs: [{url: '{sink}/each'}]}
- {name: first, webhook_configs: [{url: '{sink}/first', max_alerts: 1}]}
- {name: second, webhook_configs: [{url: '{sink}/second'}, {url: '{sink}/second-again'}]}
- {name: firing-only, webhook_configs: [{url: '{sink}/firing-only', send_resolved: false}]}
";

/// An alert of the story: labels, and from when to when it fires, in seconds of the story.
fn story() -> Vec<(Value, i64, i64)> {
    let of = |labels: Value, from, to| (labels, from, to);
    vec![
        of(
            json!({"alertname": "A", "cluster": "1", "instance": "a"}),
            0,
            12,
        ),
        of(
            json!({"alertname": "A", "cluster": "1", "instance": "b"}),
            4,
            20,
        ),
        of(
            json!({"alertname": "A", "cluster": "2", "instance": "c"}),
            0,
            99,
        ),
        of(
            json!({"alertname": "B", "cluster": "1", "severity": "critical"}),
            1,
            13,
        ),
        of(
            json!({"alertname": "C", "cluster": "1", "severity": "warning"}),
            1,
            99,
        ),
        of(
            json!({"alertname": "C", "cluster": "2", "severity": "warning"}),
            1,
            21,
        ),
        of(json!({"alertname": "D", "cluster": "1"}), 1, 99),
        of(json!({"alertname": "E", "kind": "muted"}), 1, 99),
        of(json!({"alertname": "F", "kind": "inactive"}), 1, 99),
        of(json!({"alertname": "G", "kind": "each", "n": "1"}), 0, 99),
        of(json!({"alertname": "G", "kind": "each", "n": "2"}), 0, 10),
        of(json!({"alertname": "H", "kind": "twice", "n": "1"}), 1, 99),
        of(json!({"alertname": "H", "kind": "twice", "n": "2"}), 1, 99),
        of(json!({"alertname": "I", "kind": "twice"}), 6, 16),
        of(json!({"alertname": "J", "kind": "firing-only"}), 0, 9),
        // Again after it was over.
        of(
            json!({"alertname": "A", "cluster": "1", "instance": "a"}),
            31,
            99,
        ),
    ]
}

const LENGTH: i64 = 42;

/// The written list of differences: alert-router follows 0.34, which has labels of routes in the
/// message and words two reasons otherwise than 0.33, which Debian has.
fn without_newer(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.remove("routeLabels");
    }
    for (old, new) in [
        ("new alerts added", "new alerts in group"),
        ("some alerts resolved", "new resolved alerts"),
    ] {
        if body["notification_reason"] == old {
            body["notification_reason"] = new.into();
        }
    }
    body
}

/// Where a message went, about which group, and what it said.
fn told(request: &Request) -> (String, String, Value) {
    let body = without_newer(request.json());
    let group = body["groupKey"].as_str().unwrap_or_default().to_owned();
    (request.path.clone(), group, body)
}

#[test]
fn a_compressed_hour_of_alerts() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let ok: e2e::Answer = |_| (200, "", "ok".to_owned());
    let Some(pair) = Pair::start(STORY, ok, dir.path()) else {
        return;
    };
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "D|nothing", "isRegex": true, "isEqual": true}],
        "startsAt": time(now()), "endsAt": time(now() + 3600), "createdBy": "me", "comment": "c",
    });
    let silences = pair.post("/api/v2/silences", &silence).map(|text| {
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["silenceID"].as_str().unwrap_or_default().to_owned()
    });
    let (begin, start) = (now(), Instant::now());
    let alerts = story();
    for second in 0..LENGTH {
        let due: Vec<Value> = alerts
            .iter()
            .filter(|(_, from, to)| {
                let ends = second == *to;
                // As Prometheus does: now and then, and at once when it ends.
                ends || (second >= *from && second < *to && (second - from) % 3 == 0)
            })
            .map(|(labels, from, to)| {
                let ends_at = if second >= *to {
                    begin + to
                } else {
                    begin + second + 60
                };
                alert(labels, begin + from, ends_at)
            })
            .collect();
        if !due.is_empty() {
            pair.post("/api/v2/alerts", &Value::Array(due));
        }
        if second == 12 {
            for (side, id) in [&pair.theirs, &pair.ours].into_iter().zip(&silences) {
                let url = format!("{}/api/v2/silence/{id}", side.router.url);
                delete(&url);
            }
        }
        let next = start + Duration::from_secs(u64::try_from(second + 1).expect("positive"));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let [theirs, ours] = [&pair.theirs, &pair.ours].map(|side| side.sink.requests("/"));
    assert!(theirs.len() > 25, "only {} notifications", theirs.len());
    for path in ["/muted", "/inactive"] {
        assert!(theirs.iter().chain(&ours).all(|r| r.path != path), "{path}");
    }
    compare(&theirs, &ours);
}

fn delete(url: &str) {
    let status = ureq::delete(url)
        .call()
        .map(|answer| answer.status().as_u16());
    assert_eq!(status.ok(), Some(200), "{url}");
}

/// The same messages to each receiver about each group, in the same order; and the groups in the
/// same order, apart from those whose timers go off in the same moment.
fn compare(theirs: &[Request], ours: &[Request]) {
    let mut differences = Vec::new();
    let mut groups: Vec<(String, String)> = theirs
        .iter()
        .chain(ours)
        .map(|request| {
            let (path, group, _) = told(request);
            (path, group)
        })
        .collect();
    groups.sort();
    groups.dedup();
    for (path, group) in &groups {
        let of = |requests: &[Request]| -> Vec<Value> {
            let mine = requests.iter().map(told);
            mine.filter(|(p, g, _)| (p, g) == (path, group))
                .map(|(.., body)| body)
                .collect()
        };
        let (wanted, got) = (of(theirs), of(ours));
        if wanted != got {
            let show = |bodies: &[Value]| -> String {
                bodies.iter().map(|body| format!("  {body}\n")).collect()
            };
            differences.push(format!(
                "{path} {group}\ntheirs:\n{}ours:\n{}",
                show(&wanted),
                show(&got)
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (i, earlier) in theirs.iter().enumerate() {
        for later in &theirs[i + 1..] {
            if later.at - earlier.at < Duration::from_millis(3500) {
                continue;
            }
            let place = |wanted: &Request| {
                let same = |r: &&Request| told(r) == told(wanted);
                let nth = theirs
                    .iter()
                    .filter(same)
                    .position(|r| std::ptr::eq(r, wanted));
                ours.iter()
                    .enumerate()
                    .filter(|(_, r)| same(r))
                    .nth(nth.unwrap_or(0))
            };
            let (before, after) = (place(earlier), place(later));
            let at = |found: Option<(usize, &Request)>| found.map(|(_, r)| r.at);
            assert!(
                at(before) < at(after),
                "{:?} before {:?}",
                told(earlier),
                told(later)
            );
        }
    }
}

const RECEIVERS: &str = "\
global: {opsgenie_api_url: '{sink}/opsgenie/', telegram_api_url: '{sink}/telegram'}
route:
  receiver: all
  group_by: [alertname]
  group_wait: 1s
  group_interval: 3s
receivers:
- name: all
  slack_configs:
  - api_url: '{sink}/slack'
    channel: '#alerts-{{ .CommonLabels.cluster }}'
    send_resolved: true
    title_link: 'http://x/?q={{ .GroupLabels.alertname | urlquery }}'
    short_fields: true
    mrkdwn_in: [text]
    fields:
    - {title: Cluster, value: '{{ .CommonLabels.cluster }}'}
    - {title: Long, value: 'a & b', short: false}
    actions:
    - {type: button, text: Runbook, url: '{{ .CommonAnnotations.runbook }}', style: primary, confirm: {text: sure, title: t}}
    image_url: http://img/
    link_names: true
  - app_token: xoxb-1
    app_url: '{sink}/slackapp/chat.postMessage'
    channel: C1
    send_resolved: true
    text: '{{ range .Alerts }}{{ .Status }} {{ .Labels.instance }};{{ end }}'
  webhook_configs:
  - {url: '{sink}/webhook'}
  - url: '{sink}/payload/{{ .GroupLabels.alertname }}'
    payload: {title: '{{ .CommonLabels.alertname }} is {{ .Status }}', count: '{{ len .Alerts }}', list: ['{{ len .Alerts }}', true, null], nested: {k: 'v & w'}}
  pagerduty_configs:
  - routing_key: rk
    url: '{sink}/pagerduty'
    severity: '{{ .CommonLabels.severity }}'
    class: c
    details: {own: '{{ .Alerts | len }}'}
    images: [{src: http://i/, alt: a, href: http://h/}]
    links: [{href: 'http://l/{{ .Status }}', text: t}]
  opsgenie_configs:
  - api_key: gk
    tags: 'a,b,{{ .CommonLabels.cluster }}'
    priority: P2
    update_alerts: true
    responders: [{type: team, name: 'sre'}, {type: user, username: 'u@example.org'}]
    details: {extra: '{{ .CommonLabels.severity }}'}
    entity: e
    actions: restart,check
  telegram_configs:
  - {bot_token: 'tok', chat_id: -42, parse_mode: HTML, message_thread_id: 7, disable_notifications: true}
  discord_configs:
  - {webhook_url: '{sink}/discord', username: am, avatar_url: http://a/, content: 'hey {{ .Status }}'}
  msteamsv2_configs:
  - {webhook_url: '{sink}/msteamsv2'}
  mattermost_configs:
  - webhook_url: '{sink}/mattermost'
    channel: town
    username: am
    fields: [{title: f, value: '{{ .Status }}', short: true}]
    priority: {priority: urgent, requested_ack: true, persistent_notifications: true}
";

/// Where each receiver of the configuration is told; all of them are told three times.
const PATHS: [&str; 10] = [
    "/slack",
    "/slackapp",
    "/webhook",
    "/payload",
    "/pagerduty",
    "/opsgenie",
    "/telegram",
    "/discord",
    "/msteamsv2",
    "/mattermost",
];

#[test]
fn every_receiver_gets_the_same_message() {
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let answer: e2e::Answer = |request| {
        if request.path.starts_with("/slackapp") {
            let text = r#"{"ok":true,"ts":"1700000000.0001","channel":"C1"}"#;
            return (200, "application/json; charset=utf-8", text.to_owned());
        }
        if request.path.starts_with("/telegram") {
            let text = r#"{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":-42,"type":"group"}}}"#;
            return (200, "application/json", text.to_owned());
        }
        (200, "", "ok".to_owned())
    };
    let Some(pair) = Pair::start(RECEIVERS, answer, dir.path()) else {
        return;
    };
    let begin = now();
    let labels = [
        json!({"alertname": "Disk full", "cluster": "eu", "severity": "critical", "instance": "a<b"}),
        json!({"alertname": "Disk full", "cluster": "eu", "severity": "critical", "instance": "c"}),
    ];
    let alerts = |ends: [i64; 2]| -> Value {
        let both = labels.iter().zip(ends);
        both.map(|(labels, end)| alert(labels, begin, end))
            .collect()
    };
    let everywhere = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(40);
        for side in [&pair.theirs, &pair.ours] {
            let behind = |path: &&str| side.sink.requests(path).len() < count;
            while PATHS.iter().any(&behind) {
                let missing: Vec<&str> = PATHS.into_iter().filter(|path| behind(path)).collect();
                let log = side.router.process.log_text();
                assert!(
                    Instant::now() < deadline,
                    "told less than {count} times: {missing:?}\n{log}"
                );
                thread::sleep(Duration::from_millis(100));
            }
        }
    };
    pair.post("/api/v2/alerts", &alerts([begin + 600, begin + 600]));
    everywhere(1);
    let after = now();
    pair.post("/api/v2/alerts", &alerts([after, begin + 600]));
    everywhere(2);
    let after_all = now();
    pair.post("/api/v2/alerts", &alerts([after, after_all]));
    everywhere(3);
    let [theirs, ours] = [&pair.theirs, &pair.ours].map(|side| {
        let url = side.sink.url("");
        let mut requests = side.sink.requests("/");
        requests.sort_by_key(|request| receiver(&request.path));
        requests
            .into_iter()
            .map(|r| {
                let body = r.body.replace(url.trim_end_matches('/'), "SINK");
                let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                let body = without_newer(body);
                (r.method, r.path, r.authorization, body)
            })
            .collect::<Vec<_>>()
    });
    let mut names: Vec<String> = theirs.iter().map(|(_, path, ..)| receiver(path)).collect();
    names.dedup();
    assert!(names.len() >= 9, "{names:?}");
    let mut differences = Vec::new();
    for name in &names {
        let of = |requests: &[(String, String, String, Value)]| -> Vec<String> {
            let mine = requests
                .iter()
                .filter(|(_, path, ..)| receiver(path) == *name);
            mine.map(|(method, path, authorization, body)| {
                format!("{method} {path} [{authorization}]\n{body:#}")
            })
            .collect()
        };
        let (wanted, got) = (of(&theirs), of(&ours));
        if wanted != got {
            let first = wanted.iter().zip(&got).find(|(a, b)| a != b);
            let (a, b) = first.map_or(("".to_owned(), "".to_owned()), |(a, b)| {
                (a.clone(), b.clone())
            });
            differences.push(format!(
                "{name}: {} and {} messages; the first that differs:\n--- theirs\n{a}\n--- ours\n{b}",
                wanted.len(),
                got.len()
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Who is meant by a path: its first part.
fn receiver(path: &str) -> String {
    path.split('/').nth(1).unwrap_or_default().to_owned()
}

/// Names and types of the metrics of a page, without those of Go and of processes.
fn metrics(page: &str) -> Vec<(String, String)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut families: Vec<(String, String)> = types
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| name.starts_with("alertmanager_"))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    families.sort();
    families
}

#[test]
fn every_metric_is_there() {
    let Some(alertmanager) = part::peer("prometheus-alertmanager") else {
        return;
    };
    let ours = part::build(&["alert-router"]).join("alert-router");
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let config = "route: {receiver: r}\nreceivers: [{name: r}]\n";
    let pages = [("theirs", &alertmanager), ("ours", &ours)].map(|(name, program)| {
        let args = [format!(
            "--cluster.listen-address=127.0.0.1:{}",
            e2e::free_port()
        )];
        let router = Router::start(program, name, config, &args, dir.path());
        let (_, page) = e2e::get(&format!("{}/metrics", router.url)).expect("metrics");
        page
    });
    let [theirs, ours] = pages.map(|page| metrics(&page));
    assert!(theirs.len() > 60, "{theirs:?}");
    let missing: Vec<&(String, String)> = theirs
        .iter()
        .filter(|family| !ours.contains(family))
        .collect();
    assert!(
        missing.is_empty(),
        "missing, or of another type: {missing:?}"
    );
}
