//! The web pages: their own tests, that what is embedded is their build, and all of them in a browser
//! against a running stack with thousands of targets, rules, metrics and alerts.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Files, Process, Receiver, Stack, free_port, get, part, post, wait_for};

const MANY: usize = 5000;

fn app() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/web-ui/app")
}

/// Runs a program of Node's in the application's folder; its output goes where the test's goes.
fn run(program: &Path, args: &[&str], env: &[(&str, &str)]) {
    let status = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(app())
        .status()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    assert!(
        status.success(),
        "{} {args:?} failed, see above",
        program.display()
    );
}

/// The packages of the application, installed as its lock file says; `None` without npm.
fn npm() -> Option<PathBuf> {
    let npm = part::program("npm", "install Node.js with npm")?;
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let done = app().join("node_modules/.package-lock.json");
        let newer = |a: &Path, b: &Path| -> Option<bool> {
            Some(a.metadata().ok()?.modified().ok()? > b.metadata().ok()?.modified().ok()?)
        };
        if newer(&done, &app().join("package-lock.json")) != Some(true) {
            run(&npm, &["ci", "--no-audit", "--no-fund"], &[]);
        }
    });
    Some(npm)
}

#[test]
fn the_embedded_pages_are_the_build_of_their_source() {
    let Some(npm) = npm() else { return };
    run(&npm, &["run", "check"], &[]);
    run(&npm, &["test"], &[]);
    let out = tempfile::tempdir().expect("there is room for a temporary folder");
    let to = format!("--outDir={}", out.path().display());
    run(&npm, &["exec", "--", "vite", "build", &to], &[]);
    let list = |dir: &Path| -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for sub in ["", "assets"] {
            for entry in std::fs::read_dir(dir.join(sub)).expect("the build wrote it") {
                let path = entry.expect("a folder can be listed").path();
                if path.is_file() && !path.ends_with("SOURCE") {
                    let name = path
                        .strip_prefix(dir)
                        .expect("within")
                        .display()
                        .to_string();
                    files.push((name, std::fs::read(&path).expect("a file can be read")));
                }
            }
        }
        files.sort();
        files
    };
    let (built, embedded) = (list(out.path()), list(&app().join("../assets")));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(
        names(&built),
        names(&embedded),
        "run `npm run build` in crates/web-ui/app"
    );
    assert!(
        built == embedded,
        "run `npm run build` in crates/web-ui/app"
    );
}

/// A page of metrics for as long as the test runs.
fn serve_metrics() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let mut page = String::from(
        "# HELP fw_browser_temperature Degrees of the room.\n# TYPE fw_browser_temperature gauge\n\
         fw_browser_temperature{room=\"kitchen\"} 21\nfw_browser_temperature{room=\"cellar\"} 12\n\
         fw_browser_temperature{room=\"<img src=x onerror=window.hacked=1>\"} 33\n\
         # TYPE fw_browser_seconds histogram\nfw_browser_seconds_bucket{le=\"0.1\"} 3\n\
         fw_browser_seconds_bucket{le=\"1\"} 8\nfw_browser_seconds_bucket{le=\"+Inf\"} 9\n\
         fw_browser_seconds_sum 5\nfw_browser_seconds_count 9\n",
    );
    for i in 0..MANY {
        writeln!(page, "fw_browser_many_{i} {i}").expect("text can be added to");
    }
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut buffer = [0; 4096];
            // One request a connection; what is read of it does not matter.
            let _ = stream.read(&mut buffer);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(page.as_bytes());
        }
    });
    address
}

const PROMETHEUS: &str = r#"
global: {scrape_interval: 2s, evaluation_interval: 1h}
rule_files: [rules.yml]
scrape_configs:
- job_name: page
  static_configs: [{targets: ['{page}']}]
- job_name: broken
  static_configs: [{targets: ['127.0.0.1:1']}]
  relabel_configs: [{source_labels: [__address__], target_label: where}]
- job_name: many
  scrape_interval: 1h
  file_sd_configs: [{files: [many.json]}]
"#;

const ALERTMANAGER: &str = r#"
route:
  receiver: hook
  group_by: [cluster]
  group_wait: 1s
  routes: [{receiver: pager, matchers: [severity="page"]}]
receivers:
- name: hook
  webhook_configs: [{url: '{hook}', send_resolved: false}]
- name: pager
"#;

fn many_targets() -> String {
    let targets: Vec<serde_json::Value> = (0..MANY)
        .map(|i| serde_json::json!({"targets": ["127.0.0.1:1"], "labels": {"host": format!("many-{i}")}}))
        .collect();
    serde_json::Value::from(targets).to_string()
}

fn many_rules() -> String {
    let mut rules = String::from("groups:\n- name: many\n  rules:\n");
    for i in 0..MANY {
        writeln!(rules, "  - {{alert: Many{i}, expr: 'vector({i}) < 0'}}")
            .expect("text can be added to");
    }
    rules
}

fn many_alerts() -> String {
    let alerts: Vec<serde_json::Value> = (0..MANY)
        .map(|i| {
            serde_json::json!({
                "labels": {"alertname": "Many", "number": i.to_string(), "cluster": format!("c{}", i % 50)},
                "annotations": {"summary": "<b>bold</b>"},
            })
        })
        .collect();
    serde_json::Value::from(alerts).to_string()
}

#[test]
fn every_page_in_a_browser() {
    let Some(chromium) = part::program("chromium", "apt-get install chromium") else {
        return;
    };
    let (Some(_), Some(node)) = (npm(), part::program("node", "install Node.js")) else {
        return;
    };
    let hook = Receiver::start();
    let page = serve_metrics();
    let files = Files {
        prometheus: PROMETHEUS,
        rules: &many_rules(),
        alertmanager: ALERTMANAGER,
        template: "",
    };
    let hook_url = hook.url("/hook");
    let replace = [("{page}", page.as_str()), ("{hook}", &hook_url)];
    let stack = Stack::start(&files, Path::new("/proc"), &replace);
    std::fs::write(stack.dir.path().join("many.json"), many_targets()).expect("there is room");
    let reloaded = post(&format!("{}/-/reload", stack.store_url), &[], b"");
    assert_eq!(reloaded.map(|(status, _)| status), Some(200));
    let alerts = format!("{}/api/v2/alerts", stack.router_url);
    let json = [("Content-Type", "application/json")];
    let posted = post(&alerts, &json, many_alerts().as_bytes());
    assert_eq!(posted.map(|(status, _)| status), Some(200));

    let prefix = format!("127.0.0.1:{}", free_port());
    let programs = part::build(&["scraper-store"]);
    let _second = Process::start(
        "prefixed",
        &programs.join("scraper-store"),
        &[
            format!(
                "--config.file={}",
                stack.dir.path().join("empty.yml").display()
            ),
            format!(
                "--storage.tsdb.path={}",
                stack.dir.path().join("second").display()
            ),
            format!("--web.listen-address={prefix}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()),
            format!("--web.external-url=http://{prefix}/some/prefix"),
            "--web.route-prefix=/some/prefix".to_owned(),
        ],
        {
            std::fs::write(stack.dir.path().join("empty.yml"), "global: {}\n")
                .expect("there is room");
            stack.dir.path()
        },
    );
    let query = format!(
        "{}/api/v1/query?query=fw_browser_temperature",
        stack.store_url
    );
    wait_for("the page is scraped", Duration::from_secs(30), || {
        get(&query).filter(|(_, body)| body.contains("kitchen"))
    });
    let targets = format!("{}/api/v1/targets?state=active", stack.store_url);
    wait_for("all targets are known", Duration::from_secs(60), || {
        get(&targets).filter(|(_, body)| body.contains("many-4999"))
    });
    wait_for("notifications arrive", Duration::from_secs(30), || {
        (!hook.requests("/hook").is_empty()).then_some(())
    });

    let prefixed = format!("http://{prefix}/some/prefix");
    let program = chromium.display().to_string();
    run(
        &node,
        &["--test", "--test-reporter=spec", "browser/pages.test.mjs"],
        &[
            ("STORE_URL", &stack.store_url),
            ("PREFIX_URL", &prefixed),
            ("ROUTER_URL", &stack.router_url),
            ("CHROMIUM", &program),
        ],
    );
}
