//! The same script through the real amtool and ours, each against the real Alertmanager and ours:
//! the same words come out.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{Router, part};

const CONFIG: &str = "\
route:
  receiver: default
  group_by: [alertname, job]
  routes:
  - matchers: [team=\"db\", sev=~\"a|b\"]
    receiver: db
    continue: true
    routes:
    - matchers: [deep=\"y\"]
      receiver: deep
  - matchers: [team=~\"d.*\"]
    receiver: web
receivers: [{name: default}, {name: db}, {name: deep}, {name: web, webhook_configs: [{url: 'http://127.0.0.1:9/x'}]}]
";

/// One command a line; `$1`, `$2`, ... are the ids that commands before have printed. Words in
/// quotes belong together.
const SCRIPT: &str = r#"
alert
alert add foo node=bar --annotation=summary="it broke" --start=2026-01-01T00:00:00Z --generator-url=http://g/
alert add team=db sev=a --start=2026-01-02T00:00:00Z --annotation summary="x <y>"
alert add
alert add a!=b
alert add foo --annotation a=~b
alert add foo --start=nonsense
alert query
alert query -o extended
-o json alert query
alert query foo
alert query "team=~\"d.\""
alert query nothing
alert query "x=~("
alert query -a -s -i -r "d.*"
alert query --receiver w
silence add foo
silence add -c why
silence add foo node=bar -c why -a me -d 2h --start 2030-01-01T00:00:00Z --annotation a=b
silence add "team=~\"d.*\"" "x!=\"y\"" -c "because of" -a me
silence
silence query -o extended
silence query -o json
silence query -q foo
silence query --within 2h
silence query --created-by you
silence query --id $2 -q
silence query "x!=y"
silence query "team=d.*"
silence query "node!=baz"
alert query -s
alert query --inhibited
silence update -d 3h $2 -c other
silence update nope
silence update 11111111-1111-1111-1111-111111111111
silence update
silence expire
silence expire 11111111-1111-1111-1111-111111111111
silence expire $2
silence query --expired
silence update $2 -d 1h
silence query
silence add foo -c x -d 0s
silence add foo -c x -d z
silence add foo -c x --end 2020-01-01T00:00:00Z
silence add foo -c x --start never
silence add "a=~(" -c x
silence import silences.json
silence import garbage.json
silence import nofile
silence import one.json
cluster show
-o extended cluster show
-o json cluster show
cluster
config routes
config routes show --config.file router.yml
config routes test team=db sev=a deep=y --tree
config routes test team=db sev=a --verify.receivers=db
config routes test team=db sev=a --verify.receivers=db,web
config routes test a=~b
config routes test --config.file nofile
check-config router.yml
check-config router.yml bad.yml templates.yml
check-config broken.yml
check-config nofile
template render --template.glob *.tmpl --template.text "{{ template \"my\" . }}"
template render --template.glob *.tmpl --template.text "{{ template \"nope\" . }}"
template render --template.glob *.tmpl --template.type html --template.text "<b>{{ .Receiver }}</b>{{ .CommonLabels }}"
template render --template.glob *.tmpl --template.data data.json --template.text "{{ .Status }} {{ (index .Alerts 0).Labels.a }} {{ .ExternalURL }}"
template render --template.text x
nonsense
alert --nope
--output=x alert
config show
"#;

/// What depends on the server: the two say different things about themselves.
const OF_THE_SERVER: [&str; 1] = ["config show"];

fn files(dir: &Path) {
    let new = r#"[{"comment":"c","createdBy":"me","endsAt":"2040-01-01T00:00:00Z","startsAt":"2039-01-01T00:00:00Z","matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}]}"#;
    for (name, text) in [
        ("router.yml", CONFIG),
        (
            "bad.yml",
            "route: {receiver: nobody}\nreceivers: [{name: r}]\n",
        ),
        (
            "broken.yml",
            "route: {receiver: r, grup_by: [a]}\nreceivers: [{name: r}]\n",
        ),
        (
            "templates.yml",
            "route: {receiver: r}\nreceivers: [{name: r}]\ntemplates: ['*.tmpl', 'nothing/*.x']\ninhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d]}]\n",
        ),
        (
            "my.tmpl",
            "{{ define \"my\" }}{{ .Status }} {{ range .Alerts }}{{ .Labels.SortedPairs.Values }} {{ .Annotations.annotation1 }}{{ end }} {{ .ExternalURL }}{{ end }}",
        ),
        (
            "data.json",
            r#"{"status":"firing","alerts":[{"status":"firing","labels":{"a":"b"}}],"externalURL":"http://e"}"#,
        ),
        ("silences.json", &format!("{new}]")),
        ("one.json", r#"[{"id":"x"}]"#),
        ("garbage.json", "garbage"),
    ] {
        std::fs::write(dir.join(name), text).expect("the folder can be written");
    }
}

/// The words of a line, as a shell would part them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                words.last_mut().expect("never empty").push(c);
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words
}

/// Identities become numbers and times become words, so that runs can be compared. Ids in the order
/// in which they were first seen.
#[derive(Default)]
struct Plain {
    ids: Vec<String>,
}

impl Plain {
    fn id(&mut self, text: &str) -> String {
        let known = self.ids.iter().position(|id| id == text);
        let n = known.unwrap_or_else(|| {
            self.ids.push(text.to_owned());
            self.ids.len() - 1
        });
        // As wide as an id, so that columns stay.
        format!("{:-<36}", format!("id{}", n + 1))
    }

    fn plain(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(uuid) = rest.get(..36).filter(|uuid| is_uuid(uuid)) {
                out.push_str(&self.id(uuid));
                rest = &rest[36..];
            } else if let Some(time) = now_at(rest) {
                out.push_str(time);
                rest = &rest[time.len()..];
            } else {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        out
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(i, b)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    }) && !text.starts_with("11111111")
}

/// A time of today or thereabouts, as a word of the same length: `2026-11-21T14:05:54.128Z` or
/// `2026-11-21 14:05:54 UTC`. Times that the script chose are on the first of January.
fn now_at(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|b| b.iter().all(u8::is_ascii_digit))
    };
    let shape = digits(0..4) && digits(5..7) && digits(8..10) && digits(11..13);
    if !shape || bytes[4] != b'-' || bytes[7] != b'-' || text[5..10].starts_with("01-0") {
        return None;
    }
    match bytes[10] {
        b'T' if bytes.get(23) == Some(&b'Z') => Some("<------- a time -------->").map(|w| &w[..24]),
        b' ' if text.get(19..23) == Some(" UTC") => Some("<------ a time ------->"),
        _ => None,
    }
}

/// What each command of the script printed: exit code, standard output, the error.
fn play(tool: &Path, server: &Router, dir: &Path) -> Vec<(String, String)> {
    let mut plain = Plain::default();
    let mut printed: HashMap<usize, String> = HashMap::new();
    let mut answers = Vec::new();
    for line in SCRIPT.lines().filter(|line| !line.is_empty()) {
        let args: Vec<String> = words(line)
            .into_iter()
            .map(|word| match word.strip_prefix('$').map(str::parse) {
                Some(Ok(n)) => printed.get(&n).cloned().unwrap_or_default(),
                _ => word,
            })
            .collect();
        let output = Command::new(tool)
            .arg(format!("--alertmanager.url={}", server.url))
            .args(&args)
            .current_dir(dir)
            .env("HOME", dir)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .expect("amtool can be run");
        // A hint of Go's parser of matchers, which has nothing to do with what was asked.
        let stdout: String = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.contains("source=parse.go"))
            .map(|line| format!("{line}\n"))
            .collect();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if line.starts_with("silence add") && is_uuid(stdout.trim()) {
            printed.insert(printed.len() + 1, stdout.trim().to_owned());
        }
        let error: Vec<&str> = stderr
            .lines()
            .filter(|l| l.starts_with("amtool: error") || l.starts_with("Error adding"))
            .collect();
        let code = output.status.code();
        let text = format!("exit {code:?}\n{stdout}{}", error.join("\n"));
        answers.push((line.to_owned(), plain.plain(&text)));
    }
    answers
}

/// What of the answer is compared: Go's words about broken JSON and YAML are Go's.
fn comparable(line: &str, answer: &str) -> String {
    let cut = match line {
        "silence import garbage.json" => "JSON?",
        "check-config broken.yml" => "FAILED: ",
        _ => return answer.to_owned(),
    };
    answer
        .lines()
        .map(|l| l.split_once(cut).map_or(l, |(head, _)| head))
        .collect::<Vec<&str>>()
        .join("\n")
}

#[test]
fn both_tools_say_the_same_about_both_servers() {
    let (Some(alertmanager), Some(amtool)) =
        (part::peer("prometheus-alertmanager"), part::peer("amtool"))
    else {
        return;
    };
    let ours = part::build(&["alert-router", "amtool"]);
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    files(dir.path());
    let mut all = Vec::new();
    for (server_name, server) in [
        ("theirs", alertmanager),
        ("ours", ours.join("alert-router")),
    ] {
        for (tool_name, tool) in [("theirs", amtool.clone()), ("ours", ours.join("amtool"))] {
            let name = format!("{server_name}-{tool_name}");
            let router = Router::start(&server, &name, CONFIG, &[], dir.path());
            all.push((server_name, name, play(&tool, &router, dir.path())));
        }
    }
    let (_, _, reference) = &all[0];
    let mut differences = Vec::new();
    for (server, name, answers) in &all[1..] {
        for (n, (line, answer)) in answers.iter().enumerate() {
            // About themselves servers differ; both tools show it the same way.
            let of_the_server = OF_THE_SERVER.contains(&line.as_str()) && *server == "ours";
            let wanted = if of_the_server {
                &all[2].2[n].1
            } else {
                &reference[n].1
            };
            let (wanted, got) = (comparable(line, wanted), comparable(line, answer));
            if wanted != got {
                differences.push(format!(
                    "{name}: amtool {line}\n--- want\n{wanted}\n--- got\n{got}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    // The script did something: nothing of it is empty by accident.
    assert!(reference.len() > 60, "{}", reference.len());
    let good = reference
        .iter()
        .filter(|(_, a)| a.starts_with("exit Some(0)"))
        .count();
    assert!(good > 35, "{good} of {} succeed", reference.len());
}
