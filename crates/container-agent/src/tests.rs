//! Flags as users write them, and the pages as they are served.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

fn boot(args: &[&str]) -> Result<Boot, String> {
    Boot::new(&PROGRAM, args).map_err(|error| error.to_string())
}

fn refused(args: &[&str]) -> String {
    let boot = boot(args).unwrap();
    config(&boot.args).unwrap_err()
}

#[test]
fn flags_with_one_dash_or_two() {
    let boot = boot(&[
        "-docker_only",
        "--store_container_labels=false",
        "-whitelisted_container_labels=a,b",
        "--housekeeping_interval=30s",
        "-storage_duration",
        "1m30s",
        "--disable_metrics=percpu,tcp",
        "-logtostderr",
        "-listen_ip=::1",
        "-port=81",
    ]);
    let boot = boot.unwrap();
    let config = config(&boot.args).unwrap();
    assert!(config.docker_only && config.root_stats);
    assert_eq!(config.storage_duration.as_secs(), 90);
    assert!(config.groups.has(groups::Group::Udp) && !config.groups.has(groups::Group::Tcp));
    let names = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        config.labels,
        LabelPolicy::Only(names.into_iter().collect())
    );
    assert_eq!(flags::addresses(&boot.args), ["[::1]:81"]);
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    assert_eq!(
        refused(&["-storage_driver=influxdb"]),
        "-storage_driver: not supported: scrape /metrics instead"
    );
    assert_eq!(
        refused(&["--enable_load_reader"]),
        "-enable_load_reader: not supported: container-agent has no such thing"
    );
    assert_eq!(
        refused(&["-enable_metrics=cpu,perf_event"]),
        "-enable_metrics: container-agent does not collect \"perf_event\""
    );
    assert!(
        config(
            &boot(&["-storage_driver=", "-profiling=false"])
                .unwrap()
                .args
        )
        .is_ok()
    );
    assert_eq!(
        boot(&["-collector_cert=x"]).err().unwrap(),
        "flag provided but not defined: -collector_cert"
    );
}

#[tokio::test]
async fn no_cgroups_and_no_engine_end_the_start() {
    let boot = boot(&["-cgroup_root=/none/here", "-port=0", "-docker="]).unwrap();
    let error = run(boot).await.unwrap_err().to_string();
    assert!(
        error.starts_with("no cgroups at /none/here: mount them there"),
        "{error}"
    );
}

#[tokio::test]
async fn pages() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cgroup.controllers"), "cpu\n").unwrap();
    let boot = boot(&[]).unwrap();
    let agent = Agent::new(
        config(&boot.args).unwrap(),
        Some(Cgroups::find(dir.path()).unwrap()),
        Host::below(dir.path()),
        Arc::default(),
        None,
    );
    boot.metrics.gauge("own_gauge", "Ours.").set(3.0);
    let router = web::router(Arc::new(agent), None, boot.metrics.clone(), "/m");
    let get = |path: &str, accept: &str| {
        let request = Request::get(path).header(header::ACCEPT, accept);
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let text = |response: axum::response::Response| async {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let page = get("/m", "").await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let kind = page.headers()[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let page = text(page).await;
    for line in [
        "container_scrape_error 0",
        "machine_scrape_error 1",
        "own_gauge 3",
    ] {
        assert!(page.lines().any(|l| l == line), "no {line}\n{page}");
    }
    assert!(page.contains("container_last_seen{id=\"/\"}"));
    // As upstream: protobuf for who asks, no OpenMetrics.
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let page = get("/m", protobuf).await.unwrap();
    let kind = page.headers()[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        kind.starts_with("application/vnd.google.protobuf"),
        "{kind}"
    );
    assert!(
        !page
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    // Compressed, to its end.
    let request = Request::get("/m").header(header::ACCEPT_ENCODING, "gzip");
    let request = request.body(Body::empty()).unwrap();
    let zipped = router.clone().oneshot(request).await.unwrap();
    assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
    let zipped = zipped.into_body().collect().await.unwrap().to_bytes();
    assert!(zipped.starts_with(&[0x1f, 0x8b]) && zipped.len() > 100);
    assert_eq!(text(get("/healthz", "").await.unwrap()).await, "ok");
    assert!(
        text(get("/", "").await.unwrap())
            .await
            .contains("href=\"./m\"")
    );
    assert_eq!(
        get("/metrics", "").await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}
