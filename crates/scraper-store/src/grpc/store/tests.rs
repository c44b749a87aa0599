//! The cases that Thanos asks of every StoreAPI (thanos-io/thanos `pkg/store/acceptance_test.go`), and what is
//! ours beyond them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::StreamExt;
use model::Labels;
use proto::thanos::label_matcher::Type;
use proto::thanos::store_server::Store;
use proto::thanos::{
    LabelMatcher, LabelNamesRequest, LabelValuesRequest, SeriesRequest, ShardInfo, series_response,
};
use storage::Appendable;
use tonic::{Code, Request};

use super::StoreService;

const NOW_MS: i64 = 1_700_000_000_000;
const ALL: (i64, i64) = (0, i64::MAX / 2);
const LONG_AGO: (i64, i64) = (0, NOW_MS - 4 * 3_600_000);

struct World {
    service: StoreService,
    _dir: tempfile::TempDir,
}

/// A store with one sample now in each of `series`, under the external label `region="eu-west"`.
fn world(series: &[&[(&str, &str)]]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut options = tsdb::Options::new(dir.path());
    options.background = false;
    options.clock = Arc::new(|| NOW_MS);
    let db = Arc::new(tsdb::Db::open(options).unwrap());
    let mut appender = db.appender();
    for labels in series {
        let labels = Labels::from_pairs(labels.iter().copied());
        appender.append(0, &labels, 0, NOW_MS, 1.0).unwrap();
    }
    appender.commit().unwrap();
    let external = Labels::from([("region", "eu-west")]);
    World {
        service: StoreService {
            db,
            external_labels: Arc::new(ArcSwap::from_pointee(external)),
        },
        _dir: dir,
    }
}

fn matcher(kind: Type, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher {
        r#type: kind as i32,
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn eq(name: &str, value: &str) -> Vec<LabelMatcher> {
    vec![matcher(Type::Eq, name, value)]
}

impl World {
    async fn names(&self, (start, end): (i64, i64), matchers: Vec<LabelMatcher>) -> Vec<String> {
        let request = LabelNamesRequest {
            start,
            end,
            matchers,
            ..LabelNamesRequest::default()
        };
        let answer = self.service.label_names(Request::new(request)).await;
        answer.unwrap().into_inner().names
    }

    async fn values(
        &self,
        label: &str,
        (start, end): (i64, i64),
        matchers: Vec<LabelMatcher>,
    ) -> Vec<String> {
        let request = LabelValuesRequest {
            label: label.to_owned(),
            start,
            end,
            matchers,
            ..LabelValuesRequest::default()
        };
        let answer = self.service.label_values(Request::new(request)).await;
        answer.unwrap().into_inner().values
    }

    /// Label sets and numbers of chunks, series by series.
    async fn series(&self, request: SeriesRequest) -> Vec<(String, usize)> {
        let request = SeriesRequest {
            max_time: ALL.1,
            ..request
        };
        let frames = self.service.series(Request::new(request)).await.unwrap();
        let mut all = Vec::new();
        for frame in frames.into_inner().collect::<Vec<_>>().await {
            let series = match frame.unwrap().result {
                Some(series_response::Result::Series(series)) => vec![series],
                Some(series_response::Result::Batch(batch)) => batch.series,
                other => panic!("{other:?}"),
            };
            all.extend(series.iter().map(|series| {
                let labels = proto::convert::labels_from_thanos(&series.labels);
                (labels.to_string(), series.chunks.len())
            }));
        }
        all
    }

    async fn labels(&self, matchers: Vec<LabelMatcher>) -> Vec<String> {
        let request = SeriesRequest {
            matchers,
            ..SeriesRequest::default()
        };
        let all = self.series(request).await.into_iter();
        all.map(|(labels, chunks)| {
            assert_eq!(chunks, 1, "{labels}");
            labels
        })
        .collect()
    }
}

#[tokio::test]
async fn an_empty_store() {
    let world = world(&[]);
    assert!(world.names(ALL, vec![]).await.is_empty());
    let request = Request::new(LabelValuesRequest::default());
    let error = world.service.label_values(request).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::InvalidArgument,
            "label name parameter cannot be empty"
        )
    );
    assert!(world.values("foo", ALL, vec![]).await.is_empty());
    assert_eq!(world.values("region", ALL, vec![]).await, ["eu-west"]);
}

#[tokio::test]
async fn names_and_values() {
    let world = world(&[
        &[("foo", "foovalue1")],
        &[("foo", "foovalue2")],
        &[("foo", "foovalue1"), ("bar", "barvalue1")],
    ]);
    let none: [&str; 0] = [];
    for (range, matchers, expected) in [
        (ALL, vec![], &["bar", "foo", "region"][..]),
        (LONG_AGO, vec![], &none),
        (ALL, eq("bar", "barvalue1"), &["bar", "foo", "region"]),
        (ALL, eq("foo", "foovalue2"), &["foo", "region"]),
        (ALL, eq("bar", "different"), &none),
        (ALL, eq("region", "eu-west"), &["bar", "foo", "region"]),
        (ALL, eq("region", "different"), &none),
        (
            ALL,
            vec![matcher(Type::Re, "region", ".*")],
            &["bar", "foo", "region"],
        ),
    ] {
        let text = format!("{matchers:?}");
        assert_eq!(world.names(range, matchers).await, expected, "{text}");
    }
    for (label, range, matchers, expected) in [
        ("foo", ALL, vec![], &["foovalue1", "foovalue2"][..]),
        ("bar", ALL, vec![], &["barvalue1"]),
        ("foo", LONG_AGO, vec![], &none),
        ("foo", ALL, eq("bar", "barvalue1"), &["foovalue1"]),
        ("foo", ALL, eq("bar", "different"), &none),
        ("region", ALL, eq("__name__", "nonexistent"), &none),
        ("region", ALL, eq("region", "eu-east"), &none),
        ("region", ALL, eq("foo", "foovalue1"), &["eu-west"]),
        (
            "foo",
            ALL,
            eq("region", "eu-west"),
            &["foovalue1", "foovalue2"],
        ),
        ("foo", ALL, eq("region", "different"), &none),
        ("replica", ALL, vec![], &none),
    ] {
        let text = format!("{label} {matchers:?}");
        assert_eq!(
            world.values(label, range, matchers).await,
            expected,
            "{text}"
        );
    }
}

#[tokio::test]
async fn external_labels_win() {
    let world = world(&[&[("foo", "bar"), ("region", "somewhere")]]);
    let request = SeriesRequest {
        matchers: eq("foo", "bar"),
        skip_chunks: true,
        ..SeriesRequest::default()
    };
    let expected = r#"{foo="bar", region="eu-west"}"#;
    assert_eq!(world.series(request).await, [(expected.to_owned(), 0)]);
    assert_eq!(world.labels(eq("foo", "bar")).await, [expected]);
    // What is stored under the name of an external label cannot be asked for.
    let mut matchers = eq("foo", "bar");
    matchers.extend(eq("region", "somewhere"));
    assert!(world.labels(matchers).await.is_empty());
}

#[tokio::test]
async fn matchers() {
    let world = world(&[
        &[("n", "1")],
        &[("n", "1"), ("i", "a")],
        &[("n", "1"), ("i", "b")],
        &[("n", "2")],
        &[("n", "2.5")],
    ]);
    let one = r#"{n="1", region="eu-west"}"#;
    let a = r#"{i="a", n="1", region="eu-west"}"#;
    let b = r#"{i="b", n="1", region="eu-west"}"#;
    let two = r#"{n="2", region="eu-west"}"#;
    let half = r#"{n="2.5", region="eu-west"}"#;
    use Type::{Eq, Neq, Nre, Re};
    for (given, expected) in [
        (&[(Eq, "n", "1")][..], &[a, b, one][..]),
        (&[(Eq, "n", "1"), (Eq, "i", "a")], &[a]),
        (&[(Eq, "n", "1"), (Eq, "i", "missing")], &[]),
        (&[(Eq, "missing", "")], &[a, b, one, two, half]),
        (&[(Neq, "n", "1")], &[two, half]),
        (&[(Neq, "i", "")], &[a, b]),
        (&[(Neq, "missing", "")], &[]),
        (&[(Eq, "n", "1"), (Neq, "i", "a")], &[b, one]),
        (&[(Re, "n", "^1$")], &[a, b, one]),
        (&[(Eq, "n", "1"), (Re, "i", "^a$")], &[a]),
        (&[(Eq, "n", "1"), (Re, "i", "^a?$")], &[a, one]),
        (&[(Re, "i", "")], &[one, two, half]),
        (&[(Re, "i", ".+")], &[a, b]),
        (&[(Re, "i", ".*")], &[a, b, one, two, half]),
        (&[(Re, "n", "1|2")], &[a, b, one, two]),
        (&[(Nre, "n", "^1$")], &[two, half]),
        (&[(Eq, "n", "1"), (Nre, "i", "^a?$")], &[b]),
        (&[(Nre, "i", "")], &[a, b]),
        (&[(Nre, "i", ".*")], &[]),
        (&[(Neq, "n", "1"), (Re, "region", "eu-.*")], &[two, half]),
        (&[(Neq, "n", "1"), (Nre, "region", "eu-.*")], &[]),
    ] {
        let all = given.iter().map(|(kind, n, v)| matcher(*kind, n, v));
        assert_eq!(world.labels(all.collect()).await, expected, "{given:?}");
    }
}

#[tokio::test]
async fn requests_that_are_refused() {
    let world = world(&[&[("n", "1")]]);
    for (matchers, text) in [
        (vec![], "no matchers specified (excluding external labels)"),
        (
            eq("region", "eu-west"),
            "no matchers specified (excluding external labels)",
        ),
        (
            vec![matcher(Type::Re, "n", "(")],
            "error parsing regexp: missing closing ): `^(?s:()$`",
        ),
    ] {
        let request = SeriesRequest {
            matchers,
            ..SeriesRequest::default()
        };
        let Err(error) = world.service.series(Request::new(request)).await else {
            panic!("taken, but: {text}");
        };
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.message(), text);
    }
}

#[tokio::test]
async fn order_of_what_goes_out() {
    // Without `a`, and with `region` between the others, the order is another than the stored one.
    let world = world(&[
        &[("a", "1"), ("z", "2")],
        &[("a", "2"), ("z", "1")],
        &[("z", "3")],
    ]);
    let request = SeriesRequest {
        matchers: vec![matcher(Type::Re, "z", ".+")],
        without_replica_labels: vec!["a".to_owned()],
        response_batch_size: 2,
        ..SeriesRequest::default()
    };
    let got = world.series(request.clone()).await;
    let expected = ["1", "2", "3"].map(|z| (format!("{{region=\"eu-west\", z=\"{z}\"}}"), 1));
    assert_eq!(got, expected);
    let limited = SeriesRequest {
        limit: 2,
        ..request
    };
    assert_eq!(world.series(limited).await, expected[..2]);
}

#[tokio::test]
async fn stripped_labels() {
    let world = world(&[&[("n", "1")]]);
    let request = SeriesRequest {
        matchers: eq("n", "1"),
        without_replica_labels: vec!["region".to_owned()],
        ..SeriesRequest::default()
    };
    assert_eq!(world.series(request).await, [(r#"{n="1"}"#.to_owned(), 1)]);
    let request = LabelValuesRequest {
        label: "region".to_owned(),
        end: ALL.1,
        without_replica_labels: vec!["region".to_owned()],
        ..LabelValuesRequest::default()
    };
    let answer = world.service.label_values(Request::new(request)).await;
    assert!(answer.unwrap().into_inner().values.is_empty());
    let request = LabelNamesRequest {
        end: ALL.1,
        without_replica_labels: vec!["region".to_owned()],
        ..LabelNamesRequest::default()
    };
    let answer = world.service.label_names(Request::new(request)).await;
    assert_eq!(answer.unwrap().into_inner().names, ["n"]);
}

#[tokio::test]
async fn shards_have_every_series_once() {
    let pods: Vec<String> = (0..50).map(|i| format!("pod-{i}")).collect();
    let series: Vec<[(&str, &str); 2]> = pods
        .iter()
        .map(|p| [("__name__", "up"), ("pod", p)])
        .collect();
    let series: Vec<&[(&str, &str)]> = series.iter().map(|s| &s[..]).collect();
    let world = world(&series);
    let shard = |index, by, labels: &[&str]| SeriesRequest {
        matchers: eq("__name__", "up"),
        shard_info: Some(ShardInfo {
            shard_index: index,
            total_shards: 2,
            by,
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        }),
        ..SeriesRequest::default()
    };
    for (by, labels) in [(true, &["pod"][..]), (false, &["region"])] {
        let first = world.series(shard(0, by, labels)).await;
        let second = world.series(shard(1, by, labels)).await;
        assert!(!first.is_empty() && !second.is_empty());
        assert_eq!(first.len() + second.len(), pods.len());
        assert!(first.iter().all(|series| !second.contains(series)));
    }
    // By a label that all have in common everything is in one shard.
    let sizes = [
        world.series(shard(0, true, &["region"])).await.len(),
        world.series(shard(1, true, &["region"])).await.len(),
    ];
    assert!(sizes.contains(&50) && sizes.contains(&0), "{sizes:?}");
}
