//! A real Thanos Querier over two scraper-stores with the same rules and another `replica` label each: series,
//! labels and rules come out once. It is built by hand (`tests/e2e/tests/thanos/build.sh target/thanos`, which takes
//! more than ten minutes); `THANOS` says where it is. Without it this test is skipped, in CI too.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::{Process, Stack, free_port, get_json, labels, part, query, wait_for, write_request};
use proto::prometheus::{Sample, TimeSeries};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

struct Pair {
    _processes: Vec<Process>,
    store: String,
    grpc: String,
}

/// A scraper-store of the replica `name` and its rule-evaluator.
fn start(name: &str, dir: &std::path::Path) -> Pair {
    let programs = part::build(&["scraper-store", "rule-evaluator"]);
    let [store, grpc, rules, rules_grpc] = [(); 4].map(|()| address());
    let write = |file: &str, text: String| {
        let path = dir.join(file);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    };
    write(
        "rules.yml",
        "groups: [{name: g, interval: 1s, rules: [{alert: Always, expr: vector(1), labels: {severity: page}}]}]\n"
            .to_owned(),
    );
    let config = write(
        &format!("{name}.yml"),
        format!(
            "global: {{external_labels: {{zone: eu, replica: {name}}}}}\nrule_files: [rules.yml]\n"
        ),
    );
    let data = dir.join(name).display().to_string();
    let processes = vec![
        Process::start(
            &format!("store-{name}"),
            &programs.join("scraper-store"),
            &[
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={store}"),
                format!("--grpc-address={grpc}"),
                format!("--rule-evaluator.grpc-address={rules_grpc}"),
                "--web.enable-remote-write-receiver".to_owned(),
            ],
            dir,
        ),
        Process::start(
            &format!("rules-{name}"),
            &programs.join("rule-evaluator"),
            &[
                format!("--config.file={config}"),
                format!("--web.listen-address={rules}"),
                format!("--grpc-address={rules_grpc}"),
                format!("--query.grpc-address={grpc}"),
            ],
            dir,
        ),
    ];
    let store = format!("http://{store}");
    Stack::wait_ready(name, &store);
    Pair {
        _processes: processes,
        store,
        grpc,
    }
}

/// Ten minutes of 300 series, which come in the other order once their labels `a` are gone.
fn data(now_ms: i64) -> Vec<u8> {
    let timeseries = (0..300_i64).map(|i| {
        let (a, z) = (format!("{:03}", 999 - i), format!("{i:03}"));
        TimeSeries {
            labels: labels([("__name__", "thing"), ("a", &a), ("z", &z)]),
            samples: (0..40)
                .map(|n| Sample {
                    value: (i * n) as f64,
                    timestamp: now_ms - (39 - n) * 15_000,
                })
                .collect(),
            ..TimeSeries::default()
        }
    });
    write_request(timeseries.collect())
}

#[test]
fn a_querier_reads_two_replicas_as_one() {
    let Some(thanos) = std::env::var_os("THANOS").map(PathBuf::from) else {
        eprintln!("SKIPPED: THANOS is not set (tests/e2e/tests/thanos/build.sh builds it)");
        return;
    };
    let dir = tempfile::tempdir().expect("there is room for a temporary folder");
    let pairs = ["r1", "r2"].map(|name| start(name, dir.path()));
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs();
    let request = data(now_s as i64 * 1000);
    for pair in &pairs {
        let headers = [
            ("Content-Encoding", "snappy"),
            ("Content-Type", "application/x-protobuf"),
        ];
        let answer = e2e::post(&format!("{}/api/v1/write", pair.store), &headers, &request);
        let (status, body) = answer.expect("the server answers");
        assert_eq!(status, 204, "{body}");
    }
    let querier = address();
    let mut args = vec![
        "query".to_owned(),
        format!("--http-address={querier}"),
        format!("--grpc-address={}", address()),
        "--query.replica-label=replica".to_owned(),
    ];
    args.extend(pairs.iter().map(|pair| format!("--endpoint={}", pair.grpc)));
    let querying = Process::start("thanos", &thanos, &args, dir.path());
    let url = format!("http://{querier}");

    let count = |expr: &str| -> Option<String> {
        let found = query(&url, expr)?;
        Some(found.first()?["value"][1].as_str()?.to_owned())
    };
    wait_for("both replicas are there", LIMIT, || {
        let stores = get_json(&format!("{url}/api/v1/stores"))?;
        let text = stores.to_string();
        (text.contains("r1") && text.contains("r2")).then_some(())
    });
    wait_for("every series once", LIMIT, || {
        (count("count(thing)")? == "300").then_some(())
    });
    // The order of the stream matters here: series of both replicas are merged as they come.
    assert_eq!(
        count(&format!("sum(thing @ {now_s})")),
        Some((39 * (0..300).sum::<i64>()).to_string())
    );
    assert_eq!(
        count(&format!("sum(sum_over_time(thing[10m] @ {now_s}))")),
        // The window is open at its left end: the first sample, of value 0, does not matter.
        Some(((0..40).sum::<i64>() * (0..300).sum::<i64>()).to_string())
    );
    let found = query(&url, "thing{z=\"007\"}").expect("an answer");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["metric"]["zone"], "eu");
    assert_eq!(found[0]["metric"]["replica"], Value::Null);
    let each = get_json(&format!(
        "{url}/api/v1/query?query=count(thing)by(replica)&dedup=false"
    ))
    .expect("an answer");
    let each = each["data"]["result"].as_array().expect("a vector");
    assert_eq!(each.len(), 2, "{each:?}");

    let texts = |path: &str| -> Vec<String> {
        let answer = get_json(&format!("{url}{path}")).expect("an answer");
        let all = answer["data"].as_array().expect("a list").iter();
        all.map(|text| text.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        texts("/api/v1/labels?match[]=thing"),
        ["__name__", "a", "replica", "z", "zone"]
    );
    assert_eq!(texts("/api/v1/label/replica/values"), ["r1", "r2"]);
    assert_eq!(texts("/api/v1/label/z/values").len(), 300);
    wait_for("the alert, once, with the zone on it", LIMIT, || {
        let rules = get_json(&format!("{url}/api/v1/rules"))?;
        let groups = rules["data"]["groups"].as_array()?;
        let rule = &groups.first()?["rules"][0];
        let once = groups.len() == 1 && groups[0]["rules"].as_array()?.len() == 1;
        (once && rule["name"] == "Always" && rule["labels"]["zone"] == "eu").then_some(())
    });
    let complaints: Vec<String> = querying
        .unannounced(&[])
        .into_iter()
        .chain(
            querying
                .log_text()
                .lines()
                .filter(|l| l.contains("level=error"))
                .map(str::to_owned),
        )
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}
