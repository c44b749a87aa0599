//! The registry: knows every metric of a process and prints them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exposition::{Escaping, Family, Format, Metric, Value, Writer};
use model::MetricType;
use parking_lot::RwLock;

use crate::labelled::Labelled;
use crate::metric::{Cell, Counter, Gauge, Histogram};
use crate::summary::{Summary, SummaryOptions};
use crate::{CounterVec, GaugeVec, HistogramVec, SummaryVec};

/// Time since some fixed moment.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Answers families when somebody scrapes.
type Collector = Arc<dyn Fn(&mut Vec<Family>) + Send + Sync>;

/// Writes families onto a page when somebody scrapes.
type Stream = Arc<dyn Fn(&mut Writer) + Send + Sync>;

/// All metrics of a process; a cheap handle, to be cloned and passed around.
///
/// A name may be registered several times (a component that is built anew on reload, views with
/// other constant labels): the metrics are printed as one family, with help and type of the first.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    prefix: Arc<str>,
    labels: Arc<[(String, String)]>,
}

struct Inner {
    clock: Clock,
    next_id: AtomicU64,
    collectors: RwLock<BTreeMap<u64, Collector>>,
    streams: RwLock<Vec<Stream>>,
}

/// Names something registered, for [`Registry::unregister`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorId(u64);

/// A page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The value of the `Content-Type` header.
    pub content_type: String,
    /// The page.
    pub body: Vec<u8>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("collectors", &self.inner.collectors.read().len())
            .field("prefix", &self.prefix)
            .field("labels", &self.labels)
            .finish()
    }
}

impl Registry {
    /// An empty registry in which time stands still: summaries never forget.
    pub fn new() -> Registry {
        Registry::with_clock(|| Duration::ZERO)
    }

    /// An empty registry; `clock` answers the time since some fixed moment.
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Registry {
        Registry {
            inner: Arc::new(Inner {
                clock: Arc::new(clock),
                next_id: AtomicU64::new(0),
                collectors: RwLock::new(BTreeMap::new()),
                streams: RwLock::new(Vec::new()),
            }),
            prefix: "".into(),
            labels: Arc::new([]),
        }
    }

    /// The same registry; what is registered through the answer has these labels too.
    pub fn with_labels(&self, labels: &[(&str, &str)]) -> Registry {
        let new = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Registry {
            labels: self.labels.iter().cloned().chain(new).collect(),
            ..self.clone()
        }
    }

    /// The same registry; names registered through the answer begin with `prefix`.
    pub fn with_prefix(&self, prefix: &str) -> Registry {
        Registry {
            prefix: format!("{}{prefix}", self.prefix).into(),
            ..self.clone()
        }
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.single(name, help, MetricType::Counter, Counter::new())
    }

    /// A counter by labels.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.labelled(name, help, MetricType::Counter, labels, Counter::new)
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.single(name, help, MetricType::Gauge, Gauge::new())
    }

    /// A gauge by labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.labelled(name, help, MetricType::Gauge, labels, Gauge::new)
    }

    /// A histogram with these bucket bounds ([`crate::DEFAULT_BUCKETS`] for request durations).
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.single(name, help, MetricType::Histogram, Histogram::new(bounds))
    }

    /// A histogram by labels.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> HistogramVec {
        let bounds = bounds.to_vec();
        self.labelled(name, help, MetricType::Histogram, labels, move || {
            Histogram::new(&bounds)
        })
    }

    /// A summary.
    pub fn summary(&self, name: &str, help: &str, options: SummaryOptions) -> Summary {
        let summary = Summary::new(options, self.inner.clock.clone());
        self.single(name, help, MetricType::Summary, summary)
    }

    /// A summary by labels.
    pub fn summary_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        options: SummaryOptions,
    ) -> SummaryVec {
        let clock = self.inner.clock.clone();
        self.labelled(name, help, MetricType::Summary, labels, move || {
            Summary::new(options.clone(), clock.clone())
        })
    }

    /// A gauge whose value is asked for at each scrape.
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> CollectorId {
        self.function(name, help, MetricType::Gauge, move || Value::Gauge(value()))
    }

    /// A counter whose value is asked for at each scrape.
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> CollectorId {
        self.function(name, help, MetricType::Counter, move || {
            Value::Counter(value())
        })
    }

    /// Families that are made at each scrape. The callback runs on the scraping thread and should
    /// not block for long.
    pub fn collector(
        &self,
        collect: impl Fn() -> Vec<Family> + Send + Sync + 'static,
    ) -> CollectorId {
        let view = self.clone();
        self.insert(move |out| {
            out.extend(collect().into_iter().map(|family| view.decorate(family)));
        })
    }

    /// Families that are written straight onto the page, behind all others: for so many series that
    /// building families would cost more than printing them. Their names are registered in no other
    /// way; [`Registry::gather`] does not have them, and this view's labels and prefix are not added.
    pub fn stream(&self, write: impl Fn(&mut Writer) + Send + Sync + 'static) {
        self.inner.streams.write().push(Arc::new(write));
    }

    /// Forgets something registered; metrics already handed out go on working unseen.
    pub fn unregister(&self, id: CollectorId) -> bool {
        self.inner.collectors.write().remove(&id.0).is_some()
    }

    /// All families by name, metrics by labels.
    pub fn gather(&self) -> Vec<Family> {
        let mut families = Vec::new();
        // Collectors may register metrics themselves, so the lock is not held while they run.
        let collectors: Vec<Collector> = self.inner.collectors.read().values().cloned().collect();
        for collect in collectors {
            collect(&mut families);
        }
        merge(families)
    }

    /// The page for a client that sent this `Accept` header.
    pub fn render(&self, accept: Option<&str>) -> Rendered {
        let mut rendered = render(&self.gather(), accept);
        let streams: Vec<Stream> = self.inner.streams.read().clone();
        if streams.is_empty() {
            return rendered;
        }
        let format = format(accept);
        if format.syntax.is_openmetrics() {
            // Written again at the end.
            let kept = rendered.body.strip_suffix(END).map(<[u8]>::len);
            rendered.body.truncate(kept.unwrap_or(usize::MAX));
        }
        let mut writer = Writer::with_buffer(format, rendered.body);
        for write in streams {
            write(&mut writer);
        }
        // Only protobuf can fail here: a family without name, which no stream of ours has.
        rendered.body = writer.finish().unwrap_or_default();
        rendered
    }

    fn single<M: Cell>(&self, name: &str, help: &str, kind: MetricType, metric: M) -> M {
        let cell = metric.clone();
        self.function(name, help, kind, move || cell.value());
        metric
    }

    fn function(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        value: impl Fn() -> Value + Send + Sync + 'static,
    ) -> CollectorId {
        let empty = self.decorate(Family::new(name, help, kind));
        let labels = self.labels.to_vec();
        self.insert(move |out| {
            let mut family = empty.clone();
            family.push(Metric::new(labels.clone(), value()));
            out.push(family);
        })
    }

    fn labelled<M: Cell>(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        labels: &[&str],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Labelled<M> {
        let family = Labelled::new(labels, make);
        let (view, cells) = (self.clone(), family.clone());
        let empty = Family::new(name, help, kind);
        self.insert(move |out| {
            let mut family = empty.clone();
            family.metrics = cells.collect();
            // A family without metrics is not printed, as upstream.
            if !family.metrics.is_empty() {
                out.push(view.decorate(family));
            }
        });
        family
    }

    /// Adds this view's prefix and labels.
    fn decorate(&self, mut family: Family) -> Family {
        if !self.prefix.is_empty() {
            family.name.insert_str(0, &self.prefix);
        }
        for metric in &mut family.metrics {
            metric.labels.extend(self.labels.iter().cloned());
        }
        family
    }

    fn insert(&self, collect: impl Fn(&mut Vec<Family>) + Send + Sync + 'static) -> CollectorId {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        self.inner.collectors.write().insert(id, Arc::new(collect));
        CollectorId(id)
    }
}

/// The last line of a page in OpenMetrics.
const END: &[u8] = b"# EOF\n";

fn format(accept: Option<&str>) -> Format {
    exposition::negotiate(accept.unwrap_or_default(), true, Escaping::default())
}

/// Prints families for a client that sent this `Accept` header. A family that cannot be printed is
/// left out rather than spoiling the page.
pub(crate) fn render(families: &[Family], accept: Option<&str>) -> Rendered {
    let format = format(accept);
    let mut body = Vec::new();
    if exposition::encode(families, format, &mut body).is_err() {
        let printable: Vec<Family> = families
            .iter()
            .filter(|family| {
                exposition::encode(std::slice::from_ref(family), format, &mut Vec::new()).is_ok()
            })
            .cloned()
            .collect();
        body.clear();
        // Each of them has just been printed.
        let _ = exposition::encode(&printable, format, &mut body);
    }
    Rendered {
        content_type: format.content_type(),
        body,
    }
}

/// One family per name, sorted; labels sorted within metrics, metrics by labels, the first of doubles.
fn merge(families: Vec<Family>) -> Vec<Family> {
    let mut by_name: BTreeMap<String, Family> = BTreeMap::new();
    for family in families {
        match by_name.get_mut(&family.name) {
            Some(first) => first.metrics.extend(family.metrics),
            None => {
                by_name.insert(family.name.clone(), family);
            }
        }
    }
    let mut families: Vec<Family> = by_name.into_values().collect();
    for family in &mut families {
        for metric in &mut family.metrics {
            metric.labels.sort();
        }
        family.metrics.sort_by(|a, b| a.labels.cmp(&b.labels));
        family.metrics.dedup_by(|b, a| a.labels == b.labels);
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(registry: &Registry) -> String {
        String::from_utf8(registry.render(None).body).unwrap()
    }

    #[test]
    fn prints_text_by_default() {
        let registry = Registry::new();
        registry.counter("b_total", "Counts b.").add(3);
        let codes = registry.gauge_vec("a", "Has labels.", &["z", "code"]);
        codes.with(&["1", "200"]).set(1.5);
        codes.with(&["0", "500"]).set(f64::INFINITY);
        registry
            .histogram("h_seconds", "Durations.", &[0.5, 1.0])
            .observe(0.7);
        registry
            .summary("s", "Sums.", SummaryOptions::quantiles(&[(0.5, 0.05)]))
            .observe(2.0);
        registry.counter_vec("unused_total", "Never counted.", &["x"]);
        let rendered = registry.render(None);
        assert!(
            rendered
                .content_type
                .starts_with("text/plain; version=0.0.4; charset=utf-8")
        );
        assert_eq!(
            page(&registry),
            "# HELP a Has labels.\n\
             # TYPE a gauge\n\
             a{code=\"200\",z=\"1\"} 1.5\n\
             a{code=\"500\",z=\"0\"} +Inf\n\
             # HELP b_total Counts b.\n\
             # TYPE b_total counter\n\
             b_total 3\n\
             # HELP h_seconds Durations.\n\
             # TYPE h_seconds histogram\n\
             h_seconds_bucket{le=\"0.5\"} 0\n\
             h_seconds_bucket{le=\"1\"} 1\n\
             h_seconds_bucket{le=\"+Inf\"} 1\n\
             h_seconds_sum 0.7\n\
             h_seconds_count 1\n\
             # HELP s Sums.\n\
             # TYPE s summary\n\
             s{quantile=\"0.5\"} 2\n\
             s_sum 2\n\
             s_count 1\n"
        );
    }

    #[test]
    fn prints_openmetrics_when_asked() {
        let registry = Registry::new();
        registry.counter("b_total", "Counts b.").inc();
        let rendered = registry.render(Some("application/openmetrics-text; version=1.0.0"));
        assert!(
            rendered
                .content_type
                .starts_with("application/openmetrics-text; version=1.0.0")
        );
        assert_eq!(
            String::from_utf8(rendered.body).unwrap(),
            "# HELP b Counts b.\n# TYPE b counter\nb_total 1.0\n# EOF\n"
        );
    }

    #[test]
    fn streams_follow_in_each_format() {
        let registry = Registry::new();
        registry.counter("a_total", "Counts a.").inc();
        registry.stream(|writer| {
            writer.family("b", "Streams.", MetricType::Gauge);
            writer.sample(&[("x", "1")], 2.0);
        });
        assert_eq!(
            page(&registry),
            "# HELP a_total Counts a.\n# TYPE a_total counter\na_total 1\n\
             # HELP b Streams.\n# TYPE b gauge\nb{x=\"1\"} 2\n"
        );
        let open = registry.render(Some("application/openmetrics-text; version=1.0.0"));
        assert_eq!(
            String::from_utf8(open.body).unwrap(),
            "# HELP a Counts a.\n# TYPE a counter\na_total 1.0\n\
             # HELP b Streams.\n# TYPE b gauge\nb{x=\"1\"} 2.0\n# EOF\n"
        );
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        let delimited = registry.render(Some(protobuf));
        let has = |name: &[u8]| delimited.body.windows(name.len()).any(|w| w == name);
        assert!(has(b"a_total") && has(b"Streams."));
        assert_eq!(registry.gather().len(), 1);
    }

    #[test]
    fn views_add_labels_and_prefixes() {
        let registry = Registry::new();
        for cluster in ["x", "y"] {
            let view = registry
                .with_prefix("kafka_")
                .with_labels(&[("cluster", cluster)]);
            view.gauge("brokers", "Brokers.").set(3.0);
            view.collector(|| {
                let mut family = Family::new("up", "Up.", MetricType::Gauge);
                family.push(Metric::new(Vec::new(), Value::Gauge(1.0)));
                vec![family]
            });
        }
        assert_eq!(
            page(&registry),
            "# HELP kafka_brokers Brokers.\n# TYPE kafka_brokers gauge\n\
             kafka_brokers{cluster=\"x\"} 3\nkafka_brokers{cluster=\"y\"} 3\n\
             # HELP kafka_up Up.\n# TYPE kafka_up gauge\n\
             kafka_up{cluster=\"x\"} 1\nkafka_up{cluster=\"y\"} 1\n"
        );
    }

    #[test]
    fn callbacks_come_and_go() {
        let registry = Registry::new();
        let id = registry.gauge_fn("g", "", || 7.0);
        registry.counter_fn("c_total", "", || 2.0);
        assert_eq!(registry.gather().len(), 2);
        assert!(registry.unregister(id));
        assert!(!registry.unregister(id));
        assert_eq!(registry.gather()[0].metrics[0].value, Value::Counter(2.0));
    }
}
