//! promtool beside the real one: the same command, the same output and exit code.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Process, free_port, get, part, query, wait_for};

/// Both tools, and a folder that they work in.
struct Tools {
    ours: PathBuf,
    theirs: PathBuf,
    dir: tempfile::TempDir,
}

/// Exit code, standard output and standard error.
type Ran = (i32, String, String);

impl Tools {
    fn find() -> Option<Tools> {
        let theirs = part::peer("promtool")?;
        Some(Tools {
            ours: part::build(&["promtool"]).join("promtool"),
            theirs,
            dir: tempfile::tempdir().unwrap(),
        })
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, program: &Path, line: &str, input: &str) -> Ran {
        let mut child = Command::new(program)
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Runs both; `shape` makes of an output what has to be the same.
    fn compare_shaped(&self, line: &str, input: &str, shape: impl Fn(&str) -> String) {
        let ours = self.run(&self.ours, line, input);
        let theirs = self.run(&self.theirs, line, input);
        let shaped = |ran: &Ran| (ran.0, shape(&ran.1), shape(&ran.2));
        assert_eq!(shaped(&ours), shaped(&theirs), "promtool {line}");
    }

    fn compare(&self, line: &str) {
        self.compare_with(line, "");
    }

    fn compare_with(&self, line: &str, input: &str) {
        // Where a field is unknown, ours says what was expected instead.
        self.compare_shaped(line, input, |text| {
            text.lines()
                .map(|line| {
                    line.split(" (column ")
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                        + "\n"
                })
                .collect()
        });
    }
}

/// Lines in order: of what is equally frequent any may come first.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

const RULES: &str = "groups:\n- name: a\n  rules:\n  - {record: x, expr: '1'}\n  - {alert: y, expr: x > 0, for: 1m}\n";

#[test]
fn checks() {
    let Some(tools) = Tools::find() else { return };
    tools.write("rules.yml", RULES);
    tools.write("twice.yml", "groups:\n- name: a\n  rules:\n  - {record: x, expr: '1'}\n  - {record: x, expr: '2', labels: {a: b}}\n  - {record: x, expr: '3', labels: {a: b}}\n");
    tools.write(
        "bad.yml",
        "groups:\n- name: a\n  rules:\n  - record: x\n    expr: sum(\n",
    );
    tools.write(
        "extra.yml",
        "groups:\n- name: a\n  owner: me\n  rules: []\n",
    );
    tools.write("good.cfg", "rule_files: [rules.yml]\nscrape_configs:\n- job_name: a\n  scrape_interval: 10m\n- job_name: b\n  file_sd_configs: [{files: [none.json, targets.yml]}]\n");
    tools.write("targets.yml", "- targets: [a]\n");
    tools.write("missing.cfg", "rule_files: [nowhere.yml]\n");
    tools.write("unknown.cfg", "foo: 1\n");
    tools.write(
        "files.cfg",
        "scrape_configs:\n- job_name: c\n  tls_config: {cert_file: nope, key_file: nope}\n",
    );
    tools.write(
        "token.cfg",
        "scrape_configs:\n- job_name: c\n  authorization: {credentials_file: nope}\n",
    );
    tools.write("nokey.web", "tls_server_config:\n  cert_file: a\n");
    tools.write("good.web", "basic_auth_users: {}\n");
    for line in [
        "check rules rules.yml",
        "check rules twice.yml",
        "check rules --lint-fatal twice.yml rules.yml",
        "check rules --lint=none twice.yml",
        "check rules --lint=foo rules.yml",
        "check rules bad.yml rules.yml",
        "check rules extra.yml",
        "check rules --ignore-unknown-fields extra.yml",
        "check config good.cfg",
        "check config --lint=all good.cfg",
        "check config --lint=too-long-scrape-interval --lint-fatal good.cfg",
        "check config --query.lookback-delta=1h --lint=too-long-scrape-interval --lint-fatal good.cfg",
        "check config missing.cfg good.cfg",
        "check config --syntax-only missing.cfg",
        "check config --agent good.cfg",
        "check config unknown.cfg",
        "check config files.cfg",
        "check config --syntax-only files.cfg",
        "check config token.cfg",
        "check web-config good.web nokey.web",
        "check healthy --url=http://127.0.0.1:1",
        "check ready --url=127.0.0.1:1",
    ] {
        tools.compare(line);
    }
    tools.compare_with("check rules", RULES);
    let page = "# HELP foo_seconds_total x\n# TYPE foo_seconds_total gauge\nfoo_seconds_total 1\n# TYPE barMetric counter\nbarMetric{le=\"3\",aB=\"y\"} 1\n# HELP h_milliseconds hh\n# TYPE h_milliseconds histogram\nh_milliseconds_bucket{le=\"+Inf\"} 1\nh_milliseconds_sum 1\nh_milliseconds_count 1\n# TYPE a:b untyped\na:b 1\n# HELP x_gauge_ms x\n# TYPE x_gauge_ms gauge\nx_gauge_ms 1\n# HELP s x\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n";
    tools.compare_with("check metrics", page);
    let clean = "# HELP a_total x\n# TYPE a_total counter\na_total{q=\"1\"} 1\na_total{q=\"2\"} 2\n# HELP b hh\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 1\nb_count 1\n";
    tools.compare_with("check metrics", clean);
    tools.compare_with("check metrics --extended", clean);
    tools.compare_with("check metrics", "a{ 1");
    tools.compare_with("check metrics", "");
}

#[test]
fn command_lines() {
    let Some(tools) = Tools::find() else { return };
    for line in [
        "bogus",
        "query",
        "test",
        "query instant",
        "query instant http://x",
        "query instant http://x e more",
        "query series http://x",
        "query --format=x instant http://x y",
        "query instant --bogus",
        "check config",
        "check config nowhere",
        "check bogus",
        "tsdb list a b",
        "tsdb analyze --limit=x",
        "tsdb create-blocks-from rules",
        "query range http://127.0.0.1:1 up --start=x",
        "query range http://127.0.0.1:1 up --start=5 --end=1",
        "query instant http://127.0.0.1:1 up",
        "query series --match=up http://127.0.0.1:1",
        "query analyze --server=http://127.0.0.1:1 --type=x --match=a",
        "query analyze --server=http://127.0.0.1:1 --type=histogram --match=a",
        "tsdb create-blocks-from rules --start=x rules.yml",
        "tsdb list nowhere",
    ] {
        tools.write("rules.yml", RULES);
        tools.compare(line);
    }
    // Our sentences are our own; the commands, flags and arguments are upstream's.
    let usage = |text: &str| -> String {
        let lines = text.lines().filter(|line| line.starts_with("usage:"));
        lines.map(|line| line.to_owned() + "\n").collect()
    };
    for command in [
        "check config",
        "check rules",
        "check metrics",
        "check web-config",
        "check healthy",
        "check ready",
        "test rules",
        "query instant",
        "query range",
        "query series",
        "query labels",
        "query analyze",
        "push metrics",
        "tsdb list",
        "tsdb analyze",
        "tsdb dump",
        "tsdb dump-openmetrics",
        "tsdb create-blocks-from openmetrics",
        "tsdb create-blocks-from rules",
        "tsdb",
        "",
    ] {
        tools.compare_shaped(&format!("{command} --help"), "", usage);
    }
}

#[test]
fn rule_unit_tests() {
    let Some(tools) = Tools::find() else { return };
    tools.write("rules.yml", RULES);
    tools.write(
        "t.yml",
        "rule_files: [rules.yml, 'none*.yml']\ntests:\n- name: good\n  promql_expr_test: [{expr: x, eval_time: 1m, exp_samples: [{labels: x, value: 1}]}]\n- name: wrong\n  promql_expr_test: [{expr: x, eval_time: 1m, exp_samples: [{labels: x, value: 2}]}]\n  alert_rule_test: [{eval_time: 2m, alertname: y}, {eval_time: 1m, alertname: y, exp_alerts: [{exp_labels: {a: b}, exp_annotations: {c: d}}]}]\n- input_series: [{series: h, values: '{{sum:1 count:2 buckets:[2]}}x2'}]\n  promql_expr_test: [{expr: h, eval_time: 1m, exp_samples: [{labels: h, histogram: '{{sum:1 count:1}}'}]}]\n",
    );
    tools.write("broken.yml", "tests:\n- bogus: 1\n");
    tools.write(
        "series.yml",
        "tests:\n- input_series: [{series: 'a{b=\"c\"', values: 1}]\n",
    );
    for line in [
        "test rules t.yml",
        "test rules t.yml broken.yml series.yml",
        "test rules --run=good t.yml",
        "test rules --run=go+d --run=nothing t.yml",
        "test rules --diff t.yml",
        "test rules nowhere.yml",
    ] {
        tools.compare(line);
    }
    let junit = |program: &Path| {
        tools.run(program, "test --junit=out.xml rules t.yml series.yml", "");
        let text = std::fs::read_to_string(tools.dir.path().join("out.xml")).unwrap();
        // The time of the run aside.
        text.split(" timestamp=\"")
            .enumerate()
            .map(|(i, part)| {
                if i == 0 {
                    part
                } else {
                    part.split_once('"').unwrap().1
                }
            })
            .collect::<String>()
    };
    assert_eq!(junit(&tools.ours), junit(&tools.theirs));
}

const OPENMETRICS: &str = "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\",method=\"get\"} 1021 1565133713.989\nhttp_requests_total{code=\"200\",method=\"get\"} 1.5e6 1565144513.989\nhttp_requests_total{code=\"400\"} 1 1565133713.990\ng 4.25 1565133714\n# EOF\n";

#[test]
fn blocks() {
    let Some(tools) = Tools::find() else { return };
    tools.write("in.om", OPENMETRICS);
    tools.write("bad.om", "a 1\n# EOF\n");
    tools.write("empty/x", "");
    for (program, dir) in [(&tools.ours, "ours"), (&tools.theirs, "theirs")] {
        let line = format!("tsdb create-blocks-from openmetrics --label=x=y in.om {dir}");
        let (code, out, err) = tools.run(program, &line, "");
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(out.lines().count(), 3, "{out}");
        std::fs::create_dir_all(tools.dir.path().join(dir).join("wal")).unwrap();
    }
    // Each tool reads what both have written.
    for dir in ["ours", "theirs"] {
        for line in [
            "tsdb list",
            "tsdb list -r",
            "tsdb dump",
            "tsdb dump-openmetrics",
        ] {
            tools.compare_shaped(&format!("{line} {dir}"), "", sorted);
        }
        for line in ["", "--extended", "--match={code=\"200\"}", "--limit=1"] {
            tools.compare_shaped(&format!("tsdb analyze {line} {dir}"), "", |text| {
                // Of a list that is cut among equals either part is right.
                if line == "--limit=1" {
                    text.lines().count().to_string()
                } else {
                    sorted(text)
                }
            });
        }
        for line in [
            "--match=g",
            "--match={code=~\"4..\"} --match=g",
            "--min-time=1565140000000",
            "--max-time=1565140000000",
        ] {
            tools.compare_shaped(&format!("tsdb dump {line} {dir}"), "", sorted);
        }
    }
    let dumped = |dir: &str| sorted(&tools.run(&tools.theirs, &format!("tsdb dump {dir}"), "").1);
    assert_eq!(dumped("ours"), dumped("theirs"));
    for line in [
        "tsdb create-blocks-from openmetrics bad.om other",
        "tsdb analyze ours 01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "tsdb analyze empty",
        "tsdb list empty",
        "tsdb dump empty",
        "tsdb dump --match={ ours",
    ] {
        tools.compare(line);
    }
}

/// A server with samples: its URL, its data folder, and the process.
struct Server {
    url: String,
    data: PathBuf,
    process: Process,
}

fn server(tools: &Tools, name: &str, program: &Path) -> Server {
    let dir = tools.dir.path();
    let address = format!("127.0.0.1:{}", free_port());
    tools.write("prometheus.yml", &format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['{address}']}}]\n"));
    let data = dir.join(format!("data-{name}"));
    let mut args = vec![
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    if name == "ours" {
        args.push("--grpc-address=127.0.0.1:0".to_owned());
    }
    let process = Process::start(name, program, &args, dir);
    let url = format!("http://{address}");
    wait_for("the server gets ready", Duration::from_secs(60), || {
        get(&format!("{url}/-/ready")).filter(|(status, _)| *status == 200)
    });
    Server { url, data, process }
}

fn now_s() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn against_servers() {
    let Some(tools) = Tools::find() else { return };
    let Some(prometheus) = part::peer("prometheus") else {
        return;
    };
    let ours = part::build(&["scraper-store"]).join("scraper-store");
    tools.write("page.txt", "# HELP pushed_total x\n# TYPE pushed_total counter\npushed_total{a=\"b\"} 7\n# TYPE pushed_h histogram\npushed_h_bucket{le=\"1\"} 1\npushed_h_bucket{le=\"+Inf\"} 2\npushed_h_sum 3\npushed_h_count 2\n");
    tools.write("record.yml", "groups:\n- name: g\n  interval: 1s\n  rules: [{record: pushed:double, expr: 2 * pushed_total, labels: {made: 'yes'}}]\n");
    for (name, program) in [("theirs", &prometheus), ("ours", &ours)] {
        let mut server = server(&tools, name, program);
        let url = &server.url;
        tools.compare(&format!("check healthy --url={url}"));
        let (code, out, err) = tools.run(
            &tools.ours,
            &format!("push metrics --label=job=x {url}/api/v1/write page.txt"),
            "",
        );
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        wait_for("what was pushed is there", Duration::from_secs(20), || {
            query(url, "pushed_total").filter(|found| !found.is_empty())
        });
        // Whole seconds: what was pushed lies before them.
        std::thread::sleep(Duration::from_secs(2));
        let now = now_s();
        for line in [
            format!("query instant --time={now} {url} pushed_total"),
            format!("query instant --time={now} {url} sum(pushed_total)+1"),
            format!("query instant --time={now} {url} 1.5"),
            format!("query -o json instant --time={now} {url} pushed_h_bucket"),
            format!("query instant --time={now} {url} pushed_h_bucket"),
            format!("query instant --time={now} {url} sum("),
            format!(
                "query range --start={} --end={now} --step=1s {url} pushed_total",
                now - 3
            ),
            format!(
                "query -o json range --start={} --end={now} --step=2s {url} pushed_total",
                now - 3
            ),
            format!("query series --match=pushed_h_bucket --match=pushed_total {url}"),
            format!("query -o json series --match=pushed_total {url}"),
            format!("query labels {url} le --match=pushed_h_bucket"),
            format!("query -o json labels {url} job"),
            format!(
                "query analyze --server={url} --type=histogram --match=pushed_h_bucket --time={now}"
            ),
        ] {
            tools.compare(&line);
        }
        // The history of a rule, as blocks.
        let (from, to) = (now - 60, now_s());
        let line = format!(
            "tsdb create-blocks-from rules --start={from} --end={to} --url={url} --output-dir=out-{name} record.yml"
        );
        let (code, _, err) = tools.run(&tools.ours, &line, "");
        assert_eq!(code, 0, "{err}");
        std::fs::create_dir_all(tools.dir.path().join(format!("out-{name}/wal"))).unwrap();
        let (_, dump, _) = tools.run(&tools.theirs, &format!("tsdb dump out-{name}"), "");
        let line = "{__name__=\"pushed:double\", a=\"b\", job=\"x\", made=\"yes\"} 14 ";
        assert!(
            dump.lines().count() > 0 && dump.lines().all(|l| l.starts_with(line)),
            "{dump}"
        );
        server.process.stop();
        // The log alone, without a block: both replay it.
        for line in ["tsdb dump", "tsdb dump-openmetrics"] {
            tools.compare_shaped(&format!("{line} {}", server.data.display()), "", sorted);
        }
    }
}
