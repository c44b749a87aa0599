//! Agent mode: what is scraped is sent on, over an outage and a kill; what is asked is refused.

use std::process::Command;

use e2e::{free_port, get, part, wait_for};

use crate::store::{Feed, Kind, LIMIT, Store};

#[test]
fn an_agent_sends_on_and_answers_no_query() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut to) = Store::start(Kind::Prometheus, dir.path(), "", &[]) else {
        return;
    };
    let config = format!(
        "scrape_configs: [{{job_name: receiver, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]
remote_write:
- {{url: {}/api/v1/write, send_native_histograms: true, queue_config: {{batch_send_deadline: 200ms, max_backoff: 500ms}}}}
",
        to.url.trim_start_matches("http://"),
        to.url
    );
    let mut agent = Store::start(Kind::Agent, dir.path(), &config, &[]).unwrap();
    let mut feed = Feed::new(20, true);
    feed.write(&agent, 20);
    feed.wait_complete(&to);
    let scraped = wait_for("scraped samples", LIMIT, || {
        to.value(
            "up{job=\"receiver\", from=\"agent\"}",
            feed.last_ms() + 5000,
        )
    });
    assert_eq!(scraped, 1.0);
    to.process.kill();
    feed.write(&agent, 20);
    let retried = "prometheus_remote_storage_samples_retried_total";
    wait_for("retries", LIMIT, || {
        (agent.metric(retried) > 0.0).then_some(())
    });
    agent.kill_and_restart();
    feed.write(&agent, 10);
    to.process.restart();
    to.ready();
    feed.wait_complete(&to);
    feed.wait_histograms(&to);

    for path in [
        "query?query=up",
        "labels",
        "series?match[]=up",
        "rules",
        "status/tsdb",
    ] {
        let (status, body) = get(&format!("{}/api/v1/{path}", agent.url)).unwrap();
        assert_eq!(status, 422, "{path}: {body}");
        assert!(
            body.contains("unavailable with Prometheus Agent"),
            "{path}: {body}"
        );
    }
    let (status, body) = get(&format!("{}/api/v1/targets", agent.url)).unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("receiver"), "{body}");
    assert_eq!(get(&format!("{}/federate", agent.url)).unwrap().0, 404);
}

#[test]
fn flags_of_the_other_mode_are_refused() {
    let program = part::build(&["scraper-store"]).join("scraper-store");
    for (flags, text) in [
        (
            ["--agent", "--storage.tsdb.path=x"],
            "The following flag(s) can not be used in agent mode: [\"--storage.tsdb.path\"]",
        ),
        (
            ["--no-agent", "--storage.agent.path=x"],
            "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
        ),
    ] {
        let listen = format!("--web.listen-address=127.0.0.1:{}", free_port());
        let output = Command::new(&program)
            .args(flags)
            .arg(listen)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.replace("\\\"", "\"").contains(text), "{stderr}");
    }
}
