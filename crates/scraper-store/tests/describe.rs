//! The program as Thanos sees it: which APIs it serves, and what it tells of itself by them.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use proto::prometheus::Sample;
use proto::prometheus_copy::{Exemplar, TimeSeries};
use proto::thanos::exemplars_client::ExemplarsClient;
use proto::thanos::info::InfoRequest;
use proto::thanos::info::info_client::InfoClient;
use proto::thanos::metadata_client::MetadataClient;
use proto::thanos::status_client::StatusClient;
use proto::thanos::targets_client::TargetsClient;
use proto::thanos::writeable_store_client::WriteableStoreClient;
use proto::thanos::{
    ExemplarsRequest, Label, LabelMatcher, LabelSet, MetricMetadataRequest, TargetHealth,
    TargetsRequest, TsdbStatisticsRequest, WriteRequest, exemplars_response,
    metric_metadata_response, targets_request, targets_response, tsdb_statistics_response,
};
use tonic::transport::Channel;

const LIMIT: Duration = Duration::from_secs(60);

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program; answers the address of its gRPC listener.
fn start(dir: &Path) -> (Running, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scraper-store"))
        .current_dir(dir)
        .args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
            "--grpc-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child);
    let mut log = Vec::new();
    let mut lines = lines.map_while(Result::ok);
    for line in lines.by_ref() {
        if line.contains("protocol=grpc") {
            let at = line.split("address=").nth(1).unwrap();
            let address = at.split(' ').next().unwrap().to_owned();
            // What it logs later has to go somewhere.
            std::thread::spawn(move || lines.for_each(drop));
            return (running, format!("http://{address}"));
        }
        log.push(line);
    }
    panic!("it ended: {log:#?}");
}

fn set(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    pairs.iter().map(label).collect()
}

fn value(set: Option<&LabelSet>, name: &str) -> String {
    let found = set.and_then(|set| set.labels.iter().find(|label| label.name == name));
    found.map_or_else(String::new, |label| label.value.clone())
}

#[tokio::test]
async fn what_a_querier_asks_beside_series() {
    let page = "# HELP jobs Jobs that wait.\n# TYPE jobs gauge\njobs 1\n";
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let pages = Router::new().route("/metrics", get(move || async move { (kind, page) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, pages).await });

    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "
global: {{external_labels: {{cluster: eu}}, scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: jobs
  static_configs: [{{targets: ['{target}', 'dropped:1']}}]
  relabel_configs: [{{source_labels: [__address__], regex: 'dropped.*', action: drop}}]
"
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let (_running, address) = start(dir.path());
    let channel = Channel::from_shared(address)
        .unwrap()
        .connect()
        .await
        .unwrap();

    let mut info = InfoClient::new(channel.clone());
    let info = info.info(InfoRequest {}).await.unwrap().into_inner();
    assert!(info.metric_metadata.is_some() && info.targets.is_some());
    assert!(info.exemplars.is_some() && info.status.is_some() && info.query.is_some());
    assert!(info.rules.is_none(), "there is no rule-evaluator");

    // As soon as it was scraped.
    let mut metadata = MetadataClient::new(channel.clone());
    let started = Instant::now();
    let entry = loop {
        let request = MetricMetadataRequest {
            metric: "jobs".to_owned(),
            limit: -1,
            ..MetricMetadataRequest::default()
        };
        let mut frames = metadata
            .metric_metadata(request)
            .await
            .unwrap()
            .into_inner();
        let frame = frames.message().await.unwrap().unwrap();
        let Some(metric_metadata_response::Result::Metadata(mut found)) = frame.result else {
            panic!("a warning");
        };
        if let Some(entry) = found.metadata.remove("jobs") {
            break entry;
        }
        assert!(started.elapsed() < LIMIT, "it was never scraped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(entry.metas[0].r#type, "gauge");
    assert_eq!(entry.metas[0].help, "Jobs that wait.");

    let mut targets = TargetsClient::new(channel.clone());
    let mut discovered = async |state: targets_request::State| {
        let request = TargetsRequest {
            state: state as i32,
            ..TargetsRequest::default()
        };
        let mut frames = targets.targets(request).await.unwrap().into_inner();
        let frame = frames.message().await.unwrap().unwrap();
        match frame.result {
            Some(targets_response::Result::Targets(found)) => found,
            _ => panic!("a warning"),
        }
    };
    let all = discovered(targets_request::State::Any).await;
    assert_eq!(
        (all.active_targets.len(), all.dropped_targets.len()),
        (1, 1)
    );
    let active = &all.active_targets[0];
    assert_eq!(value(active.labels.as_ref(), "cluster"), "eu");
    assert_eq!(value(active.labels.as_ref(), "job"), "jobs");
    assert_eq!(value(active.discovered_labels.as_ref(), "cluster"), "eu");
    assert_eq!(active.scrape_url, format!("http://{target}/metrics"));
    assert_ne!(active.health, TargetHealth::Down as i32);
    let dropped = all.dropped_targets[0].discovered_labels.as_ref();
    assert_eq!(value(dropped, "__address__"), "dropped:1");
    let dropped = discovered(targets_request::State::Dropped).await;
    assert_eq!(dropped.active_targets.len(), 0);
    let active = discovered(targets_request::State::Active).await;
    assert_eq!(active.dropped_targets.len(), 0);

    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let written = WriteRequest {
        timeseries: vec![TimeSeries {
            labels: set(&[("__name__", "traced_total"), ("job", "a")]),
            samples: vec![Sample {
                value: 1.0,
                timestamp: now_ms,
            }],
            exemplars: vec![Exemplar {
                labels: set(&[("trace_id", "t1")]),
                value: 0.5,
                timestamp: now_ms,
            }],
            ..TimeSeries::default()
        }],
        ..WriteRequest::default()
    };
    let mut store = WriteableStoreClient::new(channel.clone());
    store.remote_write(written).await.unwrap();
    let mut exemplars = ExemplarsClient::new(channel.clone());
    for (query, expected) in [
        (r#"rate(traced_total{cluster="eu"}[5m])"#, 1),
        (r#"traced_total{cluster="us"}"#, 0),
    ] {
        let request = ExemplarsRequest {
            query: query.to_owned(),
            start: now_ms - 1000,
            end: now_ms + 1000,
            ..ExemplarsRequest::default()
        };
        let mut frames = exemplars.exemplars(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        while let Some(frame) = frames.message().await.unwrap() {
            let Some(exemplars_response::Result::Data(data)) = frame.result else {
                panic!("a warning");
            };
            found.push(data);
        }
        assert_eq!(found.len(), expected, "{query}");
        for data in found {
            assert_eq!(value(data.series_labels.as_ref(), "cluster"), "eu");
            assert_eq!(value(data.series_labels.as_ref(), "job"), "a");
            let exemplar = &data.exemplars[0];
            assert_eq!((exemplar.value, exemplar.ts), (0.5, now_ms));
            assert_eq!(value(exemplar.labels.as_ref(), "trace_id"), "t1");
        }
    }

    let mut status = StatusClient::new(channel);
    for (cluster, expected) in [("eu", 1), ("us", 0)] {
        let request = TsdbStatisticsRequest {
            limit: 3,
            matchers: vec![LabelMatcher {
                r#type: 0,
                name: "cluster".to_owned(),
                value: cluster.to_owned(),
            }],
            ..TsdbStatisticsRequest::default()
        };
        let mut frames = status.tsdb_statistics(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        while let Some(frame) = frames.message().await.unwrap() {
            found.extend(frame.result);
        }
        assert_eq!(found.len(), expected, "{cluster}");
        if let Some(tsdb_statistics_response::Result::Statistics(found)) = found.pop() {
            let entry = found.statistics.into_values().next().unwrap();
            assert!(entry.head_statistics.unwrap().num_series > 5);
            assert_eq!(entry.series_count_by_metric_name.len(), 3);
        }
    }
}
