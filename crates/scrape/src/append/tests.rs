use storage::Appendable as _;
use telemetry::Registry;

use super::*;
use crate::test_store::TestStore;

/// A target and what it has scraped so far.
struct Bench {
    store: TestStore,
    cache: SeriesCache,
    rules: SampleRules,
    target: Labels,
    metadata: MetadataStore,
    metrics: Metrics,
    options: ParseOptions,
    t_ms: i64,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            store: TestStore::default(),
            cache: SeriesCache::default(),
            rules: SampleRules {
                honor_labels: false,
                honor_timestamps: true,
                track_timestamps_staleness: false,
                metric_relabel: Vec::new(),
                scheme: ValidationScheme::Utf8,
                sample_limit: 0,
                label_limit: 0,
                label_name_length_limit: 0,
                label_value_length_limit: 0,
                bucket_limit: 0,
                max_schema: 8,
                start_timestamps: false,
                store_metadata: false,
                type_and_unit_labels: false,
            },
            target: Labels::from([("job", "a")]),
            metadata: MetadataStore::default(),
            metrics: Metrics::new(&Registry::new()),
            options: ParseOptions::default(),
            t_ms: 0,
        }
    }

    fn relabel(mut self, yaml: &str) -> Bench {
        let configs: Vec<relabel::Config> = yaml_config::from_str(yaml).unwrap();
        self.rules.metric_relabel = relabel::compile_all(&configs, ValidationScheme::Utf8).unwrap();
        self
    }

    /// Scrapes a page, at a later time each.
    fn scrape(&mut self, page: &str) -> (Counts, Result<(), String>) {
        self.scrape_as(page, MediaType::Text)
    }

    fn scrape_as(&mut self, page: &str, media_type: MediaType) -> (Counts, Result<(), String>) {
        self.t_ms += 1000;
        let source = Source {
            rules: &self.rules,
            target: &self.target,
            metadata: &self.metadata,
            metrics: &self.metrics,
            options: self.options,
        };
        let times = (self.t_ms, self.t_ms);
        let mut appender = self.store.appender();
        let page = (page.as_bytes(), media_type);
        let (counts, result) =
            append_page(&mut self.cache, &source, appender.as_mut(), page, times);
        if result.is_err() {
            appender.rollback();
            appender = self.store.appender();
            append_failure(&mut self.cache, &self.metrics, appender.as_mut(), self.t_ms).unwrap();
        }
        appender.commit().unwrap();
        (counts, result)
    }

    fn ok(&mut self, page: &str) -> (usize, usize, usize) {
        let (counts, result) = self.scrape(page);
        assert_eq!(result, Ok(()));
        (counts.total, counts.added, counts.new_series)
    }

    fn fails(&mut self, page: &str, error: &str) -> (usize, usize, usize) {
        let (counts, result) = self.scrape(page);
        assert_eq!(result, Err(error.to_owned()));
        (counts.total, counts.added, counts.new_series)
    }
}

const STALE: f64 = -99.0;

#[test]
fn known_lines_cost_no_labels() {
    let mut bench = Bench::new();
    assert_eq!(bench.ok("a{x=\"1\"} 1\nb 2\n"), (2, 2, 2));
    assert_eq!(bench.store.lookups(), 2);
    assert_eq!(bench.ok("a{x=\"1\"} 3\nb NaN\n"), (2, 2, 0));
    assert_eq!(bench.store.lookups(), 2, "no labels were made");
    assert_eq!(bench.store.values("a{job=\"a\", x=\"1\"}"), [1.0, 3.0]);
}

#[test]
fn series_that_vanish_get_stale_markers() {
    let mut bench = Bench::new();
    bench.ok("a 1\nb 2\n");
    bench.ok("a 1\n");
    bench.ok("a 1\n");
    assert_eq!(bench.store.values("b{job=\"a\"}"), [2.0, STALE]);
    bench.ok("a 1\nb 3\n");
    assert_eq!(bench.store.values("b{job=\"a\"}"), [2.0, STALE, 3.0]);
    // With a timestamp of their own series are not watched, unless asked for.
    bench.ok("b 3\nc 1 4500\n");
    bench.ok("b 3\n");
    assert_eq!(bench.store.values("c{job=\"a\"}"), [1.0]);
}

#[test]
fn tracked_timestamps_get_stale_markers_too() {
    let mut bench = Bench::new();
    bench.rules.track_timestamps_staleness = true;
    bench.ok("a 1 500\n");
    bench.ok("b 1\n");
    assert_eq!(bench.store.samples("a{job=\"a\"}")[0], (500, 1.0));
    assert_eq!(bench.store.values("a{job=\"a\"}"), [1.0, STALE]);
}

#[test]
fn a_page_that_fails_is_no_page() {
    let mut bench = Bench::new();
    bench.ok("a 1\nb 2\n");
    let error = "expected value after metric, got \"\\n\" (\"INVALID\") while parsing: \"c\\n\"";
    assert_eq!(bench.fails("a 2\nnew 1\nc\n", error), (2, 2, 1));
    for series in ["a", "b"] {
        let values = bench.store.values(&format!("{series}{{job=\"a\"}}"));
        assert_eq!(values.last(), Some(&STALE), "{series}: {values:?}");
        assert_eq!(values.len(), 2);
    }
    assert!(bench.store.values("new{job=\"a\"}").is_empty());
    bench.ok("a 3\n");
    assert_eq!(bench.store.values("a{job=\"a\"}"), [1.0, STALE, 3.0]);
}

#[test]
fn forgotten_series_get_their_labels_again() {
    let mut bench = Bench::new();
    bench.ok("a{x=\"1\"} 1\n");
    bench.store.forget_series();
    bench.ok("a{x=\"1\"} 2\n");
    bench.ok("a{x=\"1\"} 3\n");
    assert_eq!(bench.store.values("a{job=\"a\", x=\"1\"}"), [1.0, 2.0, 3.0]);
    assert_eq!(bench.store.lookups(), 2);
}

#[test]
fn honored_and_exported_labels() {
    let page = "a{job=\"b\",exported_job=\"c\"} 1\n";
    let mut bench = Bench::new();
    bench.ok(page);
    assert_eq!(
        bench.store.series(),
        ["a{exported_exported_job=\"b\", exported_job=\"c\", job=\"a\"}"]
    );
    let mut bench = Bench::new();
    bench.rules.honor_labels = true;
    bench.ok(page);
    bench.ok("b 1\nc{job=\"\"} 1\n");
    assert_eq!(
        bench.store.series(),
        ["a{exported_job=\"c\", job=\"b\"}", "b{job=\"a\"}", "c"]
    );
}

#[test]
fn timestamps_are_honored_or_not() {
    let mut bench = Bench::new();
    bench.ok("a 1 123\n");
    assert_eq!(bench.store.samples("a{job=\"a\"}"), [(123, 1.0)]);
    let mut bench = Bench::new();
    bench.rules.honor_timestamps = false;
    bench.ok("a 1 123\n");
    assert_eq!(bench.store.samples("a{job=\"a\"}"), [(1000, 1.0)]);
}

#[test]
fn relabelling_is_done_once_a_series() {
    let mut bench = Bench::new().relabel(
        "- {source_labels: [__name__], regex: drop.*, action: drop}\n- {source_labels: [x], target_label: y, replacement: 'y$1'}\n",
    );
    assert_eq!(bench.ok("a{x=\"1\"} 1\ndrop_me 2\n"), (2, 1, 1));
    assert_eq!(bench.ok("a{x=\"1\"} 1\ndrop_me 2\n"), (2, 1, 0));
    assert_eq!(bench.store.series(), ["a{job=\"a\", x=\"1\", y=\"y1\"}"]);
    let mut bench = Bench::new().relabel("- {regex: __name__, action: labeldrop}\n");
    bench.fails("a 1\n", "missing metric name (__name__ label)");
}

#[test]
fn sample_limit_fails_the_scrape_and_counts_all() {
    let mut bench = Bench::new();
    bench.rules.sample_limit = 2;
    assert_eq!(bench.ok("a 1\nb 2\n"), (2, 2, 2));
    assert_eq!(
        bench.fails("a 1\nb 2\nc 3\nd 4\n", "sample limit exceeded"),
        (4, 4, 0)
    );
    assert_eq!(bench.metrics.exceeded_sample_limit.get(), 1.0);
    assert_eq!(bench.store.values("a{job=\"a\"}"), [1.0, STALE]);
    assert!(bench.store.values("c{job=\"a\"}").is_empty());
    // Dropped ones do not count.
    let mut bench = Bench::new().relabel("- {source_labels: [__name__], regex: b, action: drop}\n");
    bench.rules.sample_limit = 1;
    assert_eq!(bench.ok("a 1\nb 2\n"), (2, 1, 1));
}

#[test]
fn label_limits() {
    let long = "x".repeat(60);
    let check = |set: &dyn Fn(&mut SampleRules), page: &str, error: &str| {
        let mut bench = Bench::new();
        set(&mut bench.rules);
        bench.ok("a 1\n");
        bench.fails(page, error);
        assert_eq!(bench.metrics.exceeded_label_limits.get(), 1.0);
    };
    check(
        &|rules| rules.label_limit = 2,
        "a{b=\"1\"} 1\n",
        "label_limit exceeded (metric: a, number of labels: 3, limit: 2)",
    );
    check(
        &|rules| rules.label_name_length_limit = 8,
        "a{long_name=\"1\"} 1\n",
        "label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)",
    );
    let fifty = "x".repeat(50);
    check(
        &|rules| rules.label_value_length_limit = 8,
        &format!("a{{b=\"{long}\"}} 1\n"),
        &format!(
            "label_value_length_limit exceeded (metric: a, label name: b, value: \"{fifty}\", length: 60, limit: 8)"
        ),
    );
}

#[test]
fn twice_on_a_page_is_counted() {
    let mut bench = Bench::new();
    assert_eq!(bench.ok("a 1\na 2\n"), (2, 2, 1));
    assert_eq!(bench.metrics.duplicate.get(), 1.0);
    bench.ok("a 3\na 4\n");
    assert_eq!(bench.metrics.duplicate.get(), 2.0);
    assert_eq!(bench.store.values("a{job=\"a\"}"), [1.0, 3.0]);
    // With different timestamps it is as it should be.
    bench.ok("a 5 1001\na 6 2002\n");
    assert_eq!(bench.metrics.duplicate.get(), 2.0);
}

#[test]
fn late_and_early_samples_are_counted() {
    let mut bench = Bench::new();
    bench.ok("a 1\n");
    bench.ok("a 2 500\n");
    assert_eq!(bench.metrics.out_of_order.get(), 1.0);
    bench.ok("b 2 9999999999999\n");
    assert_eq!(bench.metrics.out_of_bounds.get(), 1.0);
    assert!(bench.store.values("b{job=\"a\"}").is_empty());
}

#[test]
fn names_that_are_not_valid_fail_the_scrape() {
    let mut bench = Bench::new();
    bench.rules.scheme = ValidationScheme::Legacy;
    bench.fails(
        "{\"a.b\"} 1\n",
        "invalid metric name or label names: {__name__=\"a.b\", job=\"a\"}",
    );
    bench.fails(
        "a{b=\"1\",b=\"2\"} 1\n",
        "label name \"b\" is not unique: invalid sample",
    );
}

#[test]
fn exemplars_go_with_their_samples() {
    let mut bench = Bench::new();
    let page = "# TYPE a counter\na_total 1 # {id=\"x\"} 0.5\na_total{l=\"m\"} 1 # {id=\"y\"} 0.7 1.5\n# EOF\n";
    let (_, result) = bench.scrape_as(page, MediaType::OpenMetrics);
    assert_eq!(result, Ok(()));
    let exemplars = bench.store.exemplars();
    assert_eq!(exemplars.len(), 2);
    assert_eq!(exemplars[0].0, "a_total{job=\"a\"}");
    assert_eq!(exemplars[0].1.timestamp_ms, Some(1000));
    assert_eq!(exemplars[1].1.timestamp_ms, Some(1500));
    assert_eq!(exemplars[1].1.labels, Labels::from([("id", "y")]));
    let (_, again) = bench.scrape_as(page, MediaType::OpenMetrics);
    assert_eq!(again, Ok(()));
    assert_eq!(bench.store.exemplars().len(), 4);
}

#[test]
fn metadata_are_kept_and_stored_if_asked_for() {
    let page = "# HELP a Help.\n# TYPE a counter\na_total 1\nother 2\n";
    let mut bench = Bench::new();
    bench.ok(page);
    let metadata = bench.metadata.get("a").unwrap();
    assert_eq!(
        (metadata.metric_type, metadata.help.as_str()),
        (MetricType::Counter, "Help.")
    );
    assert!(bench.store.metadata().is_empty());
    let mut bench = Bench::new();
    bench.rules.store_metadata = true;
    bench.ok(page);
    bench.ok(page);
    let stored = bench.store.metadata();
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(stored[0].0, "a_total{job=\"a\"}");
    bench.ok("# HELP a Other.\n# TYPE a counter\na_total 1\n");
    assert_eq!(bench.store.metadata().len(), 2);
}

#[test]
fn classic_histograms_are_converted() {
    let page =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n";
    let mut bench = Bench::new();
    bench.options.convert_classic_histograms_to_nhcb = true;
    assert_eq!(bench.ok(page), (1, 1, 1));
    assert_eq!(bench.ok(page), (1, 1, 0));
    let histograms = bench.store.histograms();
    assert_eq!(histograms.len(), 2);
    assert_eq!(histograms[0].0, "h{job=\"a\"}");
    assert_eq!(histograms[0].1.custom_values, [1.0]);
    assert_eq!(bench.store.lookups(), 1);
    bench.rules.bucket_limit = 1;
    bench.fails(page, "histogram bucket limit exceeded");
    assert_eq!(bench.metrics.exceeded_bucket_limit.get(), 1.0);
}

#[test]
fn schemas_by_factor() {
    for (factor, schema) in [
        (0.0, 8),
        (1.0, 8),
        (1.1, 2),
        (2.0, 0),
        (4.0, -1),
        (65536.0, -4),
        (1e9, -4),
    ] {
        assert_eq!(max_schema(factor), schema, "{factor}");
    }
}
