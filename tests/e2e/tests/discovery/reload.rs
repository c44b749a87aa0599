//! Reloads: what has not changed goes on, what is wrong changes nothing, files that are included count.

use e2e::{get, query, wait_for};

use crate::store::{LIMIT, Page, Store, addresses};

const METRICS: &str = "text/plain; version=0.0.4";

/// The value of an instant query with one series as its answer.
fn value(store: &Store, expr: &str) -> Option<f64> {
    let result = query(&store.url, expr)?;
    result.first()?["value"][1].as_str()?.parse().ok()
}

fn job(name: &str, target: &str) -> String {
    format!(
        "- job_name: {name}\n  scrape_interval: 1s\n  static_configs: [{{targets: ['{target}']}}]\n"
    )
}

#[test]
fn what_has_not_changed_keeps_its_series_and_a_bad_file_changes_nothing() {
    let page = Page::start(METRICS, "a 1\nb 2\nc 3\n");
    let config = |jobs: &[String]| format!("scrape_configs:\n{}", jobs.concat());
    let first = job("first", &page.address);
    let store = Store::start(&config(std::slice::from_ref(&first)), &[]);
    let scrapes = || value(&store, "count_over_time(up{job=\"first\"}[1h])");
    wait_for("some scrapes", LIMIT, || scrapes().filter(|n| *n >= 3.0));

    // A host more, by a reload and no restart.
    store.write(
        "prometheus.yml",
        &config(&[first.clone(), job("second", &page.address)]),
    );
    assert_eq!(store.reload().0, 200);
    wait_for("the second job", LIMIT, || {
        value(&store, "up{job=\"second\"}")
    });
    let then = scrapes().expect("it was scraped before");
    wait_for("scrapes after the reload", LIMIT, || {
        scrapes().filter(|n| *n >= then + 2.0)
    });
    // A loop that had begun anew would have found its series new once more, and would have ended them.
    assert_eq!(
        value(
            &store,
            "sum_over_time(scrape_series_added{job=\"first\"}[1h])"
        ),
        Some(3.0)
    );

    // Files that are wrong: the old ones stay in force, and the error says why.
    let shown = || {
        get(&format!("{}/api/v1/status/config", store.url))
            .expect("the store answers")
            .1
    };
    let in_force = shown();
    for (bad, error) in [
        (
            format!(
                "{}  no_such_field: 1\n",
                config(std::slice::from_ref(&first))
            ),
            "field no_such_field not found",
        ),
        (
            config(&[first.clone(), first.clone()]),
            "found multiple scrape configs with job name",
        ),
        (
            "scrape_configs:\n- job_name: x\n  nomad_sd_configs: [{}]\n".to_owned(),
            "nomad_sd_configs",
        ),
        (
            "scrape_configs:\n- job_name: x\n  tls_config: {ca_file: /none}\n".to_owned(),
            "/none",
        ),
        ("scrape_configs: [".to_owned(), "yaml: "),
    ] {
        store.write("prometheus.yml", &bad);
        let (status, text) = store.reload();
        assert_eq!(status, 500, "{bad}");
        assert!(text.contains(error), "{text}");
        assert_eq!(
            store.metric("prometheus_config_last_reload_successful"),
            0.0
        );
        assert_eq!(shown(), in_force);
        assert_eq!(store.targets().len(), 2);
    }
    let then = scrapes().expect("it goes on");
    wait_for("scrapes after bad files", LIMIT, || {
        scrapes().filter(|n| *n >= then + 2.0)
    });
    assert_eq!(
        value(
            &store,
            "sum_over_time(scrape_series_added{job=\"first\"}[1h])"
        ),
        Some(3.0)
    );

    // A job that goes leaves stale series; the other one goes on.
    store.write("prometheus.yml", &config(std::slice::from_ref(&first)));
    assert_eq!(store.reload().0, 200);
    assert_eq!(
        store.metric("prometheus_config_last_reload_successful"),
        1.0
    );
    wait_for("the end of the second job's series", LIMIT, || {
        query(&store.url, "up{job=\"second\"}").filter(Vec::is_empty)
    });
    assert_eq!(value(&store, "up{job=\"first\"}"), Some(1.0));
}

#[test]
fn changes_of_included_files_are_noticed() {
    let store = Store::start(
        "scrape_config_files: ['jobs/*.yml']\n",
        &["--config.auto-reload", "--config.auto-reload-interval=1s"],
    );
    let file = |target: &str| format!("scrape_configs:\n{}", job("one", target));
    store.write("jobs/one.yml", &file("a:1"));
    store.until_addresses(&["a:1"]);
    store.write("jobs/one.yml", &file("b:1"));
    store.until_addresses(&["b:1"]);
    store.write("jobs/one.yml", "scrape_configs: [{}]\n");
    wait_for("a failed reload", LIMIT, || {
        (store.metric("prometheus_config_last_reload_successful") == 0.0).then_some(())
    });
    assert_eq!(addresses(&store.targets()), ["b:1"]);
    store.write("jobs/one.yml", &file("c:1"));
    store.until_addresses(&["c:1"]);
    assert_eq!(
        store.metric("prometheus_config_last_reload_successful"),
        1.0
    );
    std::fs::remove_file(store.dir.path().join("jobs/one.yml")).expect("it is there");
    store.until_addresses(&[]);
}
