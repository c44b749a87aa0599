use std::sync::atomic::{AtomicUsize, Ordering};

use model::Labels;

use super::*;

fn alert(name: &str) -> Alert {
    Alert {
        labels: Labels::from([("alertname", name)]),
        annotations: Labels::empty(),
        starts_at_ms: 1,
        ends_at_ms: None,
        generator_url: String::new(),
    }
}

fn names(alerts: &[Alert]) -> Vec<String> {
    alerts
        .iter()
        .map(|a| a.labels.get("alertname").to_owned())
        .collect()
}

/// Fails as often as it is told, refuses alerts called `bad`, and keeps the others.
#[derive(Default)]
struct Fake {
    failures: AtomicUsize,
    taken: Mutex<Vec<String>>,
}

impl Sender for Fake {
    fn send<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let left = self.failures.load(Ordering::Relaxed);
            if left > 0 {
                self.failures.store(left - 1, Ordering::Relaxed);
                return Err(SendError::Temporary("away".into()));
            }
            if names(alerts).contains(&"bad".to_owned()) {
                return Err(SendError::Permanent("bad alert".into()));
            }
            self.taken.lock().extend(names(alerts));
            Ok(())
        })
    }
}

fn start(sender: &Arc<Fake>, queue: &Arc<Queue>, batch: usize) -> (CancellationToken, Registry) {
    let registry = Registry::new();
    let metrics = Arc::new(QueueMetrics::register(&registry, queue.capacity));
    let stop = CancellationToken::new();
    let sender: Arc<dyn Sender> = Arc::clone(sender) as Arc<dyn Sender>;
    tokio::spawn(run(
        "r".into(),
        Arc::clone(queue),
        sender,
        batch,
        metrics,
        stop.clone(),
    ));
    (stop, registry)
}

#[test]
fn the_oldest_give_way_when_the_queue_is_full() {
    let queue = Queue::new(3);
    assert_eq!(queue.push(&["a", "b"].map(alert)), 0);
    assert_eq!(queue.push(&["c", "d"].map(alert)), 1);
    assert_eq!(names(&queue.take(10)), ["b", "c", "d"]);
}

#[tokio::test]
async fn alerts_arrive_in_order_over_an_outage() {
    let (sender, queue) = (Arc::new(Fake::default()), Arc::new(Queue::new(100)));
    sender.failures.store(3, Ordering::Relaxed);
    let (_stop, _) = start(&sender, &queue, 2);
    queue.push(&["a", "b", "c"].map(alert));
    tokio::task::yield_now().await;
    queue.push(&["d"].map(alert));
    queue.drained().await;
    assert_eq!(*sender.taken.lock(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn what_is_refused_for_good_does_not_hold_up_the_rest() {
    let (sender, queue) = (Arc::new(Fake::default()), Arc::new(Queue::new(100)));
    let (_stop, registry) = start(&sender, &queue, 1);
    queue.push(&["bad", "good"].map(alert));
    queue.drained().await;
    assert_eq!(*sender.taken.lock(), ["good"]);
    let page = String::from_utf8(registry.render(None).body).unwrap();
    assert!(
        page.contains("prometheus_notifications_dropped_total{alertmanager=\"r\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("prometheus_notifications_sent_total{alertmanager=\"r\"} 1\n"),
        "{page}"
    );
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_receiver_that_is_away() {
    let (sender, queue) = (Arc::new(Fake::default()), Arc::new(Queue::new(100)));
    sender.failures.store(usize::MAX, Ordering::Relaxed);
    let (stop, _) = start(&sender, &queue, 1);
    queue.push(&["a"].map(alert));
    let drained = tokio::time::timeout(Duration::from_millis(300), queue.drained()).await;
    assert!(drained.is_err(), "nothing can be sent");
    stop.cancel();
}
