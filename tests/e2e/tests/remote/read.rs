//! Remote read: the real Prometheus reads from ours, and ours from it and from ours.

use e2e::{get_json, wait_for};

use crate::store::{Feed, Kind, LIMIT, Store};

fn remote_read(from: &Store, more: &str) -> String {
    format!(
        "remote_read:\n- {{url: {}/api/v1/read, read_recent: true{more}}}\n",
        from.url
    )
}

/// The answer of a query over HTTP.
fn answer(store: &Store, query: &str, at_ms: i64) -> serde_json::Value {
    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let time = at_ms as f64 / 1000.0;
    wait_for("an answer", LIMIT, || {
        get_json(&format!(
            "{}/api/v1/query?query={query}&time={time}",
            store.url
        ))
    })
}

/// `reader` has nothing of its own and answers with what `source` has.
fn read(source: Kind, reader: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = (dir.path().join("reader"), dir.path().join("source"));
    std::fs::create_dir_all(&near).unwrap();
    std::fs::create_dir_all(&far).unwrap();
    let Some(mut source) = Store::start(source, &far, "", &[]) else {
        return;
    };
    // The source has external labels of its own; the reader asks for all, not just its own.
    let config = remote_read(&source, ", filter_external_labels: false, name: far");
    let Some(reader) = Store::start(reader, &near, &config, &[]) else {
        return;
    };
    let mut feed = Feed::new(30, true);
    feed.write(&source, 150);
    feed.wait_complete(&source);
    feed.wait_complete(&reader);
    feed.wait_histograms(&reader);
    let at_ms = feed.last_ms() + 1000;
    // The source's external labels are on its series, and a matcher on them finds them.
    let from = format!("{:?}", source.kind).to_lowercase();
    let series = answer(
        &reader,
        &format!("count by (from) (w{{from=\"{from}\"}})"),
        at_ms,
    );
    assert_eq!(series["data"]["result"][0]["metric"]["from"], from.as_str());
    assert_eq!(series["data"]["result"][0]["value"][1], "30");
    // Own samples and the other store's together.
    let mut own = Feed::new(3, false);
    own.write(&reader, 10);
    let both = own.last_ms().max(feed.last_ms()) + 1000;
    wait_for("both", LIMIT, || {
        (reader.value("count(w)", both) == Some(33.0)).then_some(())
    });
    // Without the other store: a warning, and what is our own.
    source.process.kill();
    let alone = answer(&reader, "count(w)", both);
    assert_eq!(alone["status"], "success");
    assert_eq!(alone["data"]["result"][0]["value"][1], "3");
    let warnings = alone["warnings"].as_array().cloned().unwrap_or_default();
    assert!(
        warnings
            .iter()
            .any(|w| w.as_str().is_some_and(|w| w.contains("remote_read"))),
        "{alone}"
    );
}

#[test]
fn prometheus_reads_from_ours() {
    read(Kind::Ours, Kind::Prometheus);
}

#[test]
fn ours_reads_from_prometheus() {
    read(Kind::Prometheus, Kind::Ours);
}

/// What is not asked: queries without the labels that are required.
#[test]
fn required_matchers() {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = (dir.path().join("reader"), dir.path().join("source"));
    std::fs::create_dir_all(&near).unwrap();
    std::fs::create_dir_all(&far).unwrap();
    let Some(source) = Store::start(Kind::Ours, &far, "", &[]) else {
        return;
    };
    let more = ", filter_external_labels: false, required_matchers: {i: \"1\"}";
    let Some(reader) = Store::start(Kind::Ours, &near, &remote_read(&source, more), &[]) else {
        return;
    };
    let mut feed = Feed::new(3, false);
    feed.write(&source, 3);
    let at_ms = feed.last_ms() + 1000;
    let found = wait_for("one series", LIMIT, || {
        reader.value("count(w{i=\"1\"})", at_ms)
    });
    assert_eq!(found, 1.0);
    assert_eq!(reader.value("count(w)", at_ms), None);
}
