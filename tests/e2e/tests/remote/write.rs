//! Remote write: nothing is lost over an outage of the receiver and a kill of ours, in either role.

use e2e::wait_for;

use crate::store::{Feed, Kind, LIMIT, Store};

const RETRIED: &str = "prometheus_remote_storage_samples_retried_total";

fn remote_write(receiver: &Store, message: &str) -> String {
    format!(
        "remote_write:
- url: {}/api/v1/write
  protobuf_message: {message}
  send_native_histograms: true
  queue_config: {{capacity: 500, max_samples_per_send: 100, max_shards: 4, min_shards: 2, batch_send_deadline: 200ms, max_backoff: 500ms}}
",
        receiver.url
    )
}

/// From one store to another, with an outage in the middle. Ours is killed and started again while the
/// other side is away, or is itself the one that is away.
fn forward(sender: Kind, receiver: Kind, message: &str) {
    let dir = tempfile::tempdir().unwrap();
    // vmagent sends several requests at once: samples arrive in any order.
    let unordered = match sender {
        Kind::VmAgent => "storage: {tsdb: {out_of_order_time_window: 1h}}",
        _ => "",
    };
    let Some(mut to) = Store::start(receiver, dir.path(), unordered, &[]) else {
        return;
    };
    let config = match sender {
        Kind::VmAgent => format!("{}/api/v1/write", to.url),
        _ => remote_write(&to, message),
    };
    let Some(mut from) = Store::start(sender, dir.path(), &config, &[]) else {
        return;
    };
    let with_histograms = |kind: &Kind| matches!(kind, Kind::Ours | Kind::Prometheus);
    let histograms = [sender, receiver].iter().all(with_histograms);
    let mut feed = Feed::new(50, histograms);
    feed.write(&from, 20);
    feed.wait_complete(&to);

    match receiver {
        // It acknowledges what it has in memory for some seconds: a kill would lose that.
        Kind::Victoria => to.process.stop(),
        _ => to.process.kill(),
    }
    feed.write(&from, 40);
    if sender == Kind::Ours {
        let retries = |from: &Store| (from.metric(RETRIED) > 0.0).then_some(());
        wait_for("retries", LIMIT, || retries(&from));
        from.kill_and_restart();
        feed.write(&from, 20);
        wait_for("retries after the restart", LIMIT, || retries(&from));
    }
    to.process.restart();
    to.ready();
    feed.write(&from, 20);
    feed.wait_complete(&to);
    if sender == Kind::Ours {
        feed.wait_complete(&from);
        for name in ["samples_failed_total", "samples_dropped_total"] {
            let name = format!("prometheus_remote_storage_{name}");
            assert_eq!(from.metric(&name), 0.0, "{name}");
        }
        wait_for("nothing pending", LIMIT, || {
            let pending = from.metric("prometheus_remote_storage_samples_pending");
            (pending == 0.0).then_some(())
        });
    }
    if histograms {
        feed.wait_histograms(&to);
    }
    // A stop sends what is there: none of it is left for the next start.
    if sender == Kind::Ours {
        feed.write(&from, 5);
        from.process.stop();
        feed.wait_complete(&to);
    }
}

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

#[test]
fn ours_to_prometheus() {
    forward(Kind::Ours, Kind::Prometheus, V1);
}

#[test]
fn ours_to_prometheus_version_2() {
    forward(Kind::Ours, Kind::Prometheus, V2);
}

#[test]
fn ours_to_victoria_metrics() {
    forward(Kind::Ours, Kind::Victoria, V1);
}

#[test]
fn prometheus_to_ours() {
    forward(Kind::Prometheus, Kind::Ours, V1);
}

#[test]
fn prometheus_to_ours_version_2() {
    forward(Kind::Prometheus, Kind::Ours, V2);
}

#[test]
fn vmagent_to_ours() {
    forward(Kind::VmAgent, Kind::Ours, V1);
}
