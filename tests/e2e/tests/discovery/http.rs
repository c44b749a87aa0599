//! HTTP and file discovery, at scale and where the list cannot be had.

use std::collections::BTreeSet;

use e2e::wait_for;
use serde_json::json;

use crate::store::{LIMIT, Page, Store, addresses};

const MANY: usize = 20_000;

/// A list of so many targets, of which one may have another name.
fn list(odd: Option<usize>) -> String {
    let name = |i: usize| match odd {
        Some(odd) if odd == i => format!("odd{i}"),
        _ => format!("n{i}"),
    };
    let groups: Vec<_> = (0..MANY)
        .map(|i| json!({"targets": ["127.0.0.1:1"], "labels": {"instance": name(i)}}))
        .collect();
    json!(groups).to_string()
}

#[test]
fn one_of_twenty_thousand_changes_and_the_others_do_not_notice() {
    let page = Page::start("application/json", &list(None));
    let store = Store::start(
        &format!(
            "global: {{scrape_interval: 10m}}\nscrape_configs:\n- job_name: many\n  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 1s}}]\n",
            page.address
        ),
        &[],
    );
    // Some have been scraped by now: their loops must live on.
    wait_for("all targets are known", LIMIT, || {
        (store.metric("prometheus_sd_discovered_targets") == MANY as f64).then_some(())
    });
    let before = store.until("all targets", |targets| {
        targets.len() == MANY && scraped(targets).len() > 20
    });
    let before = scraped(&before);
    page.set(200, &list(Some(7)));
    let after = store.until("the odd one", |targets| {
        targets
            .iter()
            .any(|target| target.labels["instance"] == "odd7")
    });
    assert_eq!(after.len(), MANY);
    assert!(after.iter().all(|target| target.labels["instance"] != "n7"));
    let after = scraped(&after);
    let lost: Vec<_> = before
        .difference(&after)
        .filter(|name| *name != "n7")
        .collect();
    assert!(lost.is_empty(), "loops that began anew: {lost:?}");
    assert_eq!(
        store.metric("prometheus_sd_discovered_targets"),
        MANY as f64
    );

    // A list that cannot be had changes nothing, and says so.
    page.set(500, "");
    store.until_problem("server returned HTTP status 500");
    assert!(store.metric("prometheus_sd_http_failures_total") >= 1.0);
    assert!(store.metric("prometheus_sd_refresh_failures_total") >= 1.0);
    assert_eq!(store.targets().len(), MANY);
    page.set(200, "[]");
    store.until("an empty list", <[_]>::is_empty);
    wait_for("no problem", LIMIT, || {
        store.problems().is_empty().then_some(())
    });
}

/// The names of those that have been scraped.
fn scraped(targets: &[crate::store::Target]) -> BTreeSet<String> {
    let scraped = targets
        .iter()
        .filter(|target| !target.last_scrape.starts_with("0001-"));
    scraped
        .map(|target| target.labels["instance"].clone())
        .collect()
}

#[test]
fn files_come_change_and_go() {
    // The folder is there before the store is: one that comes later is found at the next interval only.
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let at = dir.path().display();
    let store = Store::start(
        &format!(
            "scrape_configs:\n- job_name: files\n  scrape_interval: 10m\n  file_sd_configs: [{{files: ['{at}/*.yml', '{at}/*.json']}}]\n"
        ),
        &[],
    );
    let write = |name: &str, text: &str| {
        let new = dir.path().join("new");
        std::fs::write(&new, text).expect("the folder can be written");
        std::fs::rename(new, dir.path().join(name)).expect("the folder can be written");
    };
    write("a.yml", "- targets: ['a:1']\n  labels: {rack: '7'}\n");
    let targets = store.until_addresses(&["a:1"]);
    assert_eq!(targets[0].labels["rack"], "7");
    assert!(targets[0].discovered["__meta_filepath"].ends_with("/a.yml"));
    write("b.json", r#"[{"targets": ["b:1", "b:2"]}]"#);
    store.until_addresses(&["a:1", "b:1", "b:2"]);
    write("b.json", "[{");
    store.until_problem("b.json");
    assert_eq!(addresses(&store.targets()), ["a:1", "b:1", "b:2"]);
    write("b.json", r#"[{"targets": ["b:2"]}]"#);
    store.until_addresses(&["a:1", "b:2"]);
    wait_for("no problem", LIMIT, || {
        store.problems().is_empty().then_some(())
    });
    std::fs::remove_file(dir.path().join("a.yml")).expect("it is there");
    store.until_addresses(&["b:2"]);
}
