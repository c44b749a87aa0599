use super::*;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

fn float(spans: &[(i32, u32)], buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        count: buckets.iter().sum(),
        sum: 10.0,
        positive_spans: spans.iter().map(|(o, l)| span(*o, *l)).collect(),
        positive_buckets: buckets.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], spans: &[(i32, u32)], buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: bounds.to_vec(),
        ..float(spans, buckets)
    }
}

#[test]
fn bounds() {
    for (index, schema, bound) in [
        (-1, -1, 0.25),
        (0, -1, 1.0),
        (1, -1, 4.0),
        (512, -1, f64::MAX),
        (513, -1, f64::INFINITY),
        (-1, 0, 0.5),
        (0, 0, 1.0),
        (1, 0, 2.0),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (0, 2, 1.0),
        (1, 2, 1.189207115002721),
        (2, 2, std::f64::consts::SQRT_2.next_down()),
        (3, 2, 1.6817928305074288),
        (4, 2, 2.0),
        (4096, 2, f64::MAX),
        (4097, 2, f64::INFINITY),
        (-1074, 0, f64::from_bits(1)),
        (-1076, 0, 0.0),
        (-5000, 0, 0.0),
        (i32::MAX, -4, f64::INFINITY),
        (i32::MIN, -4, 0.0),
        (i32::MAX, 8, f64::INFINITY),
    ] {
        assert_eq!(exponential_bound(index, schema), bound, "{index} {schema}");
    }
}

#[test]
fn compacting() {
    type Case<'a> = (
        u32,
        &'a [(i32, u32)],
        &'a [f64],
        &'a [(i32, u32)],
        &'a [f64],
    );
    let cases: &[Case<'_>] = &[
        (
            0,
            &[(-2, 1), (2, 3)],
            &[1.0, 3.0, 3.0, 5.0],
            &[(-2, 1), (2, 3)],
            &[1.0, 3.0, 3.0, 5.0],
        ),
        (
            0,
            &[(-3, 5), (1, 3)],
            &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0],
            &[(-2, 1), (2, 1), (2, 1)],
            &[1.0, 2.0, 3.0],
        ),
        (
            2,
            &[(-3, 5), (1, 3)],
            &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0],
            &[(-2, 7)],
            &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0],
        ),
        (
            1,
            &[(-3, 5), (1, 3)],
            &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0],
            &[(-2, 1), (2, 1), (2, 1)],
            &[1.0, 2.0, 3.0],
        ),
        (
            0,
            &[(0, 2), (0, 2)],
            &[1.0, 2.0, 3.0, 4.0],
            &[(0, 4)],
            &[1.0, 2.0, 3.0, 4.0],
        ),
        (0, &[(0, 0), (3, 1)], &[1.0], &[(3, 1)], &[1.0]),
        (0, &[(0, 2)], &[0.0, 0.0], &[], &[]),
    ];
    for (max_empty, spans, buckets, want_spans, want_buckets) in cases {
        let mut h = float(spans, buckets);
        h.compact(*max_empty);
        let want = float(want_spans, want_buckets);
        assert_eq!(
            h.positive_spans, want.positive_spans,
            "{spans:?} {buckets:?}"
        );
        assert_eq!(h.positive_buckets, want.positive_buckets);
    }
    let mut deltas = Histogram {
        positive_spans: vec![span(0, 4)],
        positive_buckets: vec![1, -1, 0, 3],
        ..Histogram::default()
    };
    deltas.compact(0);
    assert_eq!(deltas.positive_spans, [span(0, 1), span(2, 1)]);
    assert_eq!(deltas.positive_buckets, [1, 2]);
}

#[test]
fn adding_aligns_buckets() {
    for (a, b, want) in [
        (
            float(&[(0, 2)], &[1.0, 2.0]),
            float(&[(0, 2)], &[10.0, 20.0]),
            float(&[(0, 2)], &[11.0, 22.0]),
        ),
        (
            float(&[(0, 2), (3, 1)], &[1.0, 2.0, 3.0]),
            float(&[(-1, 1), (2, 2)], &[10.0, 20.0, 30.0]),
            float(&[(-1, 5), (1, 1)], &[10.0, 1.0, 2.0, 20.0, 30.0, 3.0]),
        ),
        (
            float(&[], &[]),
            float(&[(5, 1)], &[1.0]),
            float(&[(5, 1)], &[1.0]),
        ),
    ] {
        let mut sum = a.clone();
        assert_eq!(sum.add(&b), Ok(Reconciled::default()));
        assert_eq!(sum.positive_spans, want.positive_spans);
        assert_eq!(sum.positive_buckets, want.positive_buckets);
        assert_eq!((sum.count, sum.sum), (a.count + b.count, 20.0));
        let mut kahan = HistogramSum::new(&a);
        kahan.add(&b).unwrap();
        assert!(kahan.finish().equals(&sum));
        sum.sub(&b).unwrap();
        sum.compact(0);
        assert_eq!(sum.positive_buckets, a.positive_buckets);
    }
}

#[test]
fn adding_reconciles_schemas_and_zero_buckets() {
    let mut fine = float(&[(1, 4)], &[1.0, 2.0, 3.0, 4.0]);
    fine.schema = 1;
    let coarse = float(&[(1, 1)], &[5.0]);
    let mut sum = fine.clone();
    sum.add(&coarse).unwrap();
    assert_eq!((sum.schema, sum.positive_buckets), (0, vec![8.0, 7.0]));
    let mut sum = coarse.clone();
    sum.add(&fine).unwrap();
    assert_eq!((sum.schema, sum.positive_buckets), (0, vec![8.0, 7.0]));

    let mut wide = float(&[(4, 1)], &[1.0]);
    (wide.zero_threshold, wide.zero_count) = (3.0, 2.0);
    let narrow = float(&[(1, 3)], &[1.0, 2.0, 4.0]);
    let mut sum = narrow.clone();
    sum.add(&wide).unwrap();
    // (2,4] is populated, so that the threshold has to grow to 4.
    assert_eq!((sum.zero_threshold, sum.zero_count), (4.0, 5.0));
    assert_eq!(sum.positive_buckets, [4.0, 1.0]);
    let mut kahan = HistogramSum::new(&narrow);
    kahan.add(&wide).unwrap();
    assert!(kahan.finish().equals(&sum));
}

#[test]
fn adding_reconciles_custom_bounds() {
    let a = custom(&[1.0, 2.0, 3.0], &[(0, 4)], &[1.0, 2.0, 3.0, 4.0]);
    let b = custom(&[2.0, 3.0, 4.0], &[(0, 3)], &[10.0, 20.0, 30.0]);
    let mut sum = a.clone();
    assert!(sum.add(&b).unwrap().custom_bounds);
    assert_eq!(sum.custom_values, [2.0, 3.0]);
    assert_eq!(sum.positive_buckets, [13.0, 23.0, 34.0]);
    let mut kahan = HistogramSum::new(&a);
    assert!(kahan.add(&b).unwrap().custom_bounds);
    assert!(kahan.finish().equals(&sum));
    assert_eq!(
        sum.add(&float(&[], &[])),
        Err(HistogramError::IncompatibleSchema)
    );
}

#[test]
fn hints_of_sums() {
    use CounterResetHint::*;
    for (a, b, want, collision) in [
        (Unknown, Unknown, Unknown, false),
        (Gauge, CounterReset, Gauge, false),
        (NotCounterReset, Gauge, Gauge, false),
        (Unknown, CounterReset, Unknown, false),
        (NotCounterReset, NotCounterReset, NotCounterReset, false),
        (CounterReset, NotCounterReset, Unknown, true),
    ] {
        let mut x = float(&[], &[]);
        x.counter_reset_hint = a;
        let mut y = float(&[], &[]);
        y.counter_reset_hint = b;
        let reconciled = x.add(&y).unwrap();
        assert_eq!(x.counter_reset_hint, want, "{a:?} {b:?}");
        assert_eq!(reconciled.counter_reset_collision, collision);
    }
}

#[test]
fn scaling() {
    let mut h = float(&[(0, 2)], &[1.0, 2.0]);
    h.mul(-2.0);
    assert_eq!(h.positive_buckets, [-2.0, -4.0]);
    assert_eq!(h.counter_reset_hint, CounterResetHint::Gauge);
    h.div(0.0);
    assert!(h.positive_buckets.is_empty() && h.positive_spans.is_empty());
    assert_eq!(h.count, f64::NEG_INFINITY);
}

#[test]
fn means_survive_overflow() {
    let mut big = float(&[(0, 1)], &[f64::MAX]);
    big.sum = f64::MAX;
    let mut mean = HistogramMean::new(&big);
    mean.add(&big).unwrap();
    mean.add(&big).unwrap();
    let mean = mean.finish();
    assert!((mean.count / f64::MAX - 1.0).abs() < 1e-12);
    let mut mean = HistogramMean::new(&float(&[(0, 1)], &[1.0]));
    mean.add(&float(&[(0, 1)], &[4.0])).unwrap();
    assert_eq!(mean.finish().count, 2.5);
}

#[test]
fn resets() {
    let base = float(&[(0, 3)], &[1.0, 2.0, 3.0]);
    let more = float(&[(0, 4)], &[1.0, 3.0, 3.0, 1.0]);
    assert!(!more.detect_reset(&base));
    assert!(base.detect_reset(&more));
    // The same count, but a bucket fell.
    let shifted = float(&[(0, 3)], &[2.0, 1.0, 3.0]);
    assert!(shifted.detect_reset(&base));
    let mut finer = base.clone();
    finer.schema = 1;
    assert!(finer.detect_reset(&base));
    let mut hinted = more.clone();
    hinted.counter_reset_hint = CounterResetHint::CounterReset;
    assert!(hinted.detect_reset(&base));
    hinted.counter_reset_hint = CounterResetHint::NotCounterReset;
    assert!(!hinted.detect_reset(&hinted.clone()));
    let mut coarser = float(&[(0, 3)], &[1.0, 5.0, 0.0]);
    coarser.schema = -1;
    assert!(!coarser.detect_reset(&base));
    let a = custom(&[1.0, 2.0], &[(0, 2)], &[1.0, 5.0]);
    let b = custom(&[2.0, 3.0], &[(0, 2)], &[6.0, 1.0]);
    assert!(!b.detect_reset(&a));
    assert!(a.detect_reset(&b));
    assert!(base.detect_reset(&custom(&[1.0], &[(0, 1)], &[1.0])));
}

#[test]
fn walking_all_buckets() {
    let h = FloatHistogram {
        zero_threshold: 0.6,
        zero_count: 7.0,
        negative_spans: vec![span(1, 2)],
        negative_buckets: vec![1.0, 2.0],
        positive_spans: vec![span(0, 2)],
        positive_buckets: vec![3.0, 4.0],
        ..FloatHistogram::default()
    };
    let all = h.all_buckets();
    let found: Vec<(f64, f64, f64)> = all.iter().map(|b| (b.lower, b.upper, b.count)).collect();
    assert_eq!(
        found,
        [
            (-4.0, -2.0, 2.0),
            (-2.0, -1.0, 1.0),
            (-0.6, 0.6, 7.0),
            (0.6, 1.0, 3.0),
            (1.0, 2.0, 4.0)
        ]
    );
    assert_eq!(all.iter().next_back().unwrap().count, 4.0);
}

#[test]
fn texts() {
    let mut h = float(&[(0, 3)], &[1.0, 0.0, 2.5]);
    h.zero_threshold = 0.001;
    h.zero_count = 1.0;
    h.negative_spans = vec![span(-1, 1)];
    h.negative_buckets = vec![4.0];
    h.counter_reset_hint = CounterResetHint::Gauge;
    assert_eq!(
        h.to_string(),
        "{count:3.5, sum:10, [-0.5,-0.25):4, [-0.001,0.001]:1, (0.5,1]:1, (2,4]:2.5}"
    );
    assert_eq!(
        h.test_expression(),
        "{{count:3.5 sum:10 z_bucket:1 z_bucket_w:0.001 counter_reset_hint:gauge buckets:[1 0 2.5] n_offset:-1 n_buckets:[4]}}"
    );
}

#[test]
fn validation() {
    let good = Histogram {
        count: 6,
        sum: 1.0,
        positive_spans: vec![span(0, 2)],
        positive_buckets: vec![2, 2],
        ..Histogram::default()
    };
    assert_eq!(good.validate(), Ok(()));
    let check = |change: &dyn Fn(&mut Histogram), text: &str| {
        let mut h = good.clone();
        change(&mut h);
        assert_eq!(h.validate().unwrap_err().to_string(), text);
    };
    check(
        &|h| h.count = 5,
        "6 observations found in buckets, but the Count field is 5: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)",
    );
    check(
        &|h| (h.count, h.sum) = (5, f64::NAN),
        "6 observations found in buckets, but the Count field is 5: histogram's observation count should be at least the number of observations found in the buckets",
    );
    check(
        &|h| h.positive_buckets = vec![2, -3],
        "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation count is negative",
    );
    check(
        &|h| h.positive_spans = vec![span(0, 1), span(-1, 1)],
        "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
    );
    check(
        &|h| h.negative_spans = vec![span(0, 1)],
        "negative side: spans need 1 buckets, have 0 buckets: histogram spans specify different number of buckets than provided",
    );
    check(
        &|h| h.schema = 9,
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 9",
    );
    check(
        &|h| h.custom_values = vec![1.0],
        "histogram with exponential schema must not have custom bounds",
    );
    check(
        &|h| h.schema = CUSTOM_BUCKETS_SCHEMA,
        "custom buckets: only 0 custom bounds defined which is insufficient to cover total span length of 2: histogram custom bounds are too few",
    );
    check(
        &|h| (h.schema, h.custom_values) = (CUSTOM_BUCKETS_SCHEMA, vec![2.0, 1.0]),
        "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order",
    );
    let mut h = float(&[(0, 1)], &[-1.0]);
    h.count = 0.0;
    assert_eq!(
        h.validate().unwrap_err().to_string(),
        "positive side: bucket number 1 has observation count of -1: histogram has a bucket whose observation count is negative"
    );
}

#[test]
fn trimming() {
    let mut h = float(&[(1, 3)], &[2.0, 4.0, 2.0]);
    h.sum = 30.0;
    let mut below = h.clone();
    below.trim_above(4.0);
    assert_eq!(below.positive_buckets, [2.0, 4.0]);
    assert_eq!(below.count, 6.0);
    assert!((below.sum - (2.0 * 2f64.sqrt() + 4.0 * 8f64.sqrt())).abs() < 1e-12);
    let mut whole = h.clone();
    whole.trim_above(8.0);
    assert_eq!((whole.count, whole.sum), (8.0, 30.0));
    let mut above = h.clone();
    above.trim_below(4.0);
    assert_eq!(above.positive_buckets, [2.0]);
    let mut cut = h.clone();
    cut.trim_above(8f64.sqrt());
    assert!((cut.positive_buckets[1] - 2.0).abs() < 1e-12);
    h.trim_below(100.0);
    assert_eq!((h.count, h.sum), (0.0, 0.0));
}

#[test]
fn hostile_spans_do_no_harm() {
    let mut h = FloatHistogram {
        positive_spans: vec![span(i32::MAX, u32::MAX), span(i32::MAX, 7)],
        positive_buckets: vec![1.0, 2.0],
        negative_spans: vec![span(i32::MIN, 1)],
        negative_buckets: vec![1.0, 2.0, 3.0],
        ..FloatHistogram::default()
    };
    let other = float(&[(0, 2)], &[1.0, 2.0]);
    let _ = h.to_string();
    let _ = h.detect_reset(&other);
    let _ = h.equals(&other);
    let _ = HistogramSum::new(&h).add(&other);
    h.add(&other).unwrap();
    h.trim_above(1.0);
    h.compact(3);
}
