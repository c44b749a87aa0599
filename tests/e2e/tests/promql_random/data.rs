//! The data that both servers get: an hour of counters that reset, gauges, gaps, stale markers and
//! histograms of every kind, as remote write requests.

use e2e::write_request;
use proto::prometheus::{BucketSpan, Histogram, Label, Sample, TimeSeries, histogram};

use crate::random::Random;

/// The first sample's time: fixed, so that a seed means the same queries forever.
pub const START_MS: i64 = 1_699_999_200_000;
/// How long the data goes on.
pub const LENGTH_MS: i64 = 3_600_000;
const INTERVAL_MS: i64 = 15_000;
const STALE: u64 = 0x7ff0_0000_0000_0002;

const JOBS: [&str; 2] = ["api", "db"];
const INSTANCES: [&str; 2] = ["h1:80", "h2:80"];

/// All of it, as one request for each minute (upstream refuses samples that are far out of order).
pub fn requests(seed: u64) -> Vec<Vec<u8>> {
    let all = series(seed);
    (0..=LENGTH_MS / 60_000)
        .map(|minute| {
            let from = START_MS + minute * 60_000;
            let inside = |t: i64| t >= from && t < from + 60_000;
            let timeseries = all
                .iter()
                .map(|series| TimeSeries {
                    labels: series.labels.clone(),
                    samples: series
                        .samples
                        .iter()
                        .copied()
                        .filter(|s| inside(s.timestamp))
                        .collect(),
                    exemplars: Vec::new(),
                    histograms: series
                        .histograms
                        .iter()
                        .filter(|h| inside(h.timestamp))
                        .cloned()
                        .collect(),
                })
                .filter(|series| !series.samples.is_empty() || !series.histograms.is_empty())
                .collect();
            write_request(timeseries)
        })
        .collect()
}

/// Which scrapes of a target succeed, and when they happen.
struct Scrapes {
    /// Time, and whether the target was there.
    times: Vec<(i64, bool)>,
}

impl Scrapes {
    fn of_target(random: &mut Random) -> Scrapes {
        let offset = random.within(0, INTERVAL_MS - 1);
        let jitter = *random.pick(&[0, 0, 3, 2_000]);
        let mut up = true;
        let times = (0..LENGTH_MS / INTERVAL_MS)
            .map(|i| {
                // Now and then a target is away for minutes.
                up = if up {
                    !random.chance(2)
                } else {
                    random.chance(12)
                };
                (
                    START_MS + offset + i * INTERVAL_MS + random.within(0, jitter),
                    up,
                )
            })
            .collect();
        Scrapes { times }
    }

    /// A value at each time that there is one, and a stale marker where the target went away, or
    /// just a gap.
    fn floats(
        &self,
        random: &mut Random,
        mut value: impl FnMut(&mut Random) -> f64,
    ) -> Vec<Sample> {
        let marks = random.chance(70);
        let mut was_up = false;
        let mut samples = Vec::new();
        for (timestamp, up) in &self.times {
            let v = value(random);
            let value = match (*up, was_up && marks) {
                (true, _) => v,
                (false, true) => f64::from_bits(STALE),
                (false, false) => continue,
            };
            was_up = *up;
            samples.push(Sample {
                value,
                timestamp: *timestamp,
            });
        }
        samples
    }

    fn histograms(
        &self,
        random: &mut Random,
        mut value: impl FnMut(&mut Random) -> Histogram,
    ) -> Vec<Histogram> {
        let marks = random.chance(70);
        let mut was_up = false;
        let mut histograms = Vec::new();
        for (timestamp, up) in &self.times {
            let mut h = value(random);
            match (*up, was_up && marks) {
                (true, _) => {}
                (false, true) => {
                    let float = matches!(h.count, Some(histogram::Count::CountFloat(_)));
                    h = Histogram {
                        count: float.then_some(histogram::Count::CountFloat(0.0)),
                        zero_count: float.then_some(histogram::ZeroCount::ZeroCountFloat(0.0)),
                        sum: f64::from_bits(STALE),
                        ..Histogram::default()
                    }
                }
                (false, false) => continue,
            }
            was_up = *up;
            h.timestamp = *timestamp;
            histograms.push(h);
        }
        histograms
    }
}

fn labels(name: &str, pairs: &[(&str, &str)]) -> Vec<Label> {
    e2e::labels(pairs.iter().copied().chain([("__name__", name)]))
}

/// A count that grows, and starts again at 0 in `resets` of a thousand cases.
fn counter(resets: usize, whole: bool) -> impl FnMut(&mut Random) -> f64 {
    let mut total = 0.0;
    move |random| {
        if random.below(1000) < resets {
            total = 0.0;
        }
        if random.chance(80) {
            let by = random.unit() * 50.0;
            total += if whole { by.floor() } else { by };
        }
        total
    }
}

fn series(seed: u64) -> Vec<TimeSeries> {
    let mut random = Random::new(seed, u64::MAX);
    let random = &mut random;
    let mut all = Vec::new();
    let push = |all: &mut Vec<TimeSeries>, labels, samples, histograms| {
        all.push(TimeSeries {
            labels,
            samples,
            exemplars: Vec::new(),
            histograms,
        });
    };
    for job in JOBS {
        for instance in INSTANCES {
            let scrapes = Scrapes::of_target(random);
            let target = [("job", job), ("instance", instance)];
            let with =
                |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
                    target.iter().chain(more).copied().collect()
                };
            let mut floats =
                |name: &str,
                 more: &[(&'static str, &'static str)],
                 random: &mut Random,
                 value: &mut dyn FnMut(&mut Random) -> f64| {
                    let samples = scrapes.floats(random, value);
                    push(&mut all, labels(name, &with(more)), samples, Vec::new());
                };
            for code in ["200", "404", "500"] {
                // Not every target has every code.
                if code == "500" && random.chance(30) {
                    continue;
                }
                floats(
                    "req_total",
                    &[("code", code)],
                    random,
                    &mut counter(15, true),
                );
            }
            for device in ["eth0", "lo"] {
                floats(
                    "net_bytes_total",
                    &[("device", device)],
                    random,
                    &mut counter(4, false),
                );
            }
            floats("up", &[], random, &mut |r| {
                f64::from(u8::from(r.chance(90)))
            });
            floats("temp", &[], random, &mut |r| (r.unit() - 0.3) * 60.0);
            for kind in ["free", "used"] {
                floats("mem_bytes", &[("kind", kind)], random, &mut |r| {
                    r.within(1 << 20, 1 << 34) as f64
                });
            }
            let odd = [
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                0.0,
                -0.0,
                1e-300,
                -1e300,
                0.1,
                7.0,
            ];
            floats("odd", &[], random, &mut |r| *r.pick(&odd));
            floats(
                "target_info",
                &[("version", if random.chance(50) { "1.0" } else { "2.0" })],
                random,
                &mut |_| 1.0,
            );
            floats(
                "build_info",
                &[
                    ("revision", instance.get(..2).unwrap_or("")),
                    ("data.x", "é"),
                ],
                random,
                &mut |_| 1.0,
            );
            // A value that changes in steps, often the same.
            let mut level = 3.0;
            floats("queue", &[], random, &mut |r| {
                if r.chance(10) {
                    level = r.within(0, 5) as f64;
                }
                level
            });
            floats("dotted.name", &[("data.x", "a b")], random, &mut |r| {
                r.within(-5, 5) as f64
            });
            classic_histogram(&scrapes, random, &with(&[]), &mut all);
            rough_histogram(&scrapes, random, &with(&[]), &mut all);
            native_histograms(&scrapes, random, &with(&[]), &mut all);
        }
        // Rarely a value, further apart than the lookback.
        let mut t = START_MS;
        let mut samples = Vec::new();
        while t < START_MS + LENGTH_MS {
            t += random.within(60_000, 540_000);
            samples.push(Sample {
                value: random.within(-100, 100) as f64 / 4.0,
                timestamp: t,
            });
        }
        push(
            &mut all,
            labels("sparse", &[("job", job)]),
            samples,
            Vec::new(),
        );
    }
    all
}

fn classic_histogram(
    scrapes: &Scrapes,
    random: &mut Random,
    target: &[(&str, &str)],
    all: &mut Vec<TimeSeries>,
) {
    let bounds = ["0.1", "0.5", "1", "5", "+Inf"];
    let mut counts = [0.0; 5];
    let mut sum = 0.0;
    let mut columns: Vec<Vec<Sample>> = vec![Vec::new(); 7];
    let resets = random.below(20);
    for (timestamp, up) in &scrapes.times {
        if random.below(1000) < resets {
            counts = [0.0; 5];
            sum = 0.0;
        }
        for _ in 0..random.below(6) {
            let first = random.below(5);
            for count in &mut counts[first..] {
                *count += 1.0;
            }
            sum += first as f64 * 0.75;
        }
        if !up {
            continue;
        }
        for (column, value) in columns
            .iter_mut()
            .zip(counts.iter().chain([&sum, &counts[4]]))
        {
            column.push(Sample {
                value: *value,
                timestamp: *timestamp,
            });
        }
    }
    let names = std::iter::repeat_n("lat_seconds_bucket", 5)
        .chain(["lat_seconds_sum", "lat_seconds_count"]);
    for (i, (name, samples)) in names.zip(columns).enumerate() {
        let mut pairs = target.to_vec();
        if let Some(bound) = bounds.get(i) {
            pairs.push(("le", bound));
        }
        all.push(TimeSeries {
            labels: labels(name, &pairs),
            samples,
            exemplars: Vec::new(),
            histograms: Vec::new(),
        });
    }
}

/// Classic histograms as they should not be: counts that fall towards greater bounds, no last bucket
/// now and then; and one with a bound written in two ways.
fn rough_histogram(
    scrapes: &Scrapes,
    random: &mut Random,
    target: &[(&str, &str)],
    all: &mut Vec<TimeSeries>,
) {
    let mut rough = vec!["-1", "0.1", "1", "5"];
    if random.chance(75) {
        rough.push("+Inf");
    }
    let twice = vec!["0.5", "1", "1.0", "5", "+Inf"];
    for (name, bounds) in [("rough_bucket", rough), ("twice_bucket", twice)] {
        for (i, bound) in bounds.into_iter().enumerate() {
            let mut pairs = target.to_vec();
            pairs.push(("le", bound));
            let mut count = 0.0;
            let samples = scrapes.floats(random, |r| {
                if r.chance(60) {
                    count += r.unit() * (1 + i) as f64;
                }
                count
            });
            all.push(TimeSeries {
                labels: labels(name, &pairs),
                samples,
                exemplars: Vec::new(),
                histograms: Vec::new(),
            });
        }
    }
}

/// Counts by bucket that only grow.
struct Growing {
    schema: i32,
    zero_threshold: f64,
    zero: u64,
    positive: Vec<u64>,
    negative: Vec<u64>,
    sum: f64,
    resets: usize,
}

impl Growing {
    fn new(random: &mut Random, schema: i32, positive: usize, negative: usize) -> Growing {
        Growing {
            schema,
            zero_threshold: 0.001,
            zero: 0,
            positive: vec![0; positive],
            negative: vec![0; negative],
            sum: 0.0,
            resets: random.below(20),
        }
    }

    fn step(&mut self, random: &mut Random) {
        if random.below(1000) < self.resets {
            self.zero = 0;
            self.positive.fill(0);
            self.negative.fill(0);
            self.sum = 0.0;
        }
        for _ in 0..random.below(8) {
            match random.below(10) {
                0 if self.schema != -53 => self.zero += 1,
                1 | 2 if !self.negative.is_empty() => {
                    *random.pick_mut(&mut self.negative) += 1;
                    self.sum -= 2.5;
                }
                _ => {
                    *random.pick_mut(&mut self.positive) += 1;
                    self.sum += 3.25;
                }
            }
        }
    }

    fn count(&self) -> u64 {
        self.zero + self.positive.iter().chain(&self.negative).sum::<u64>()
    }

    /// Buckets in one span, or in two with a hole between them.
    fn spans(buckets: usize, offset: i32) -> Vec<BucketSpan> {
        match buckets {
            0 => Vec::new(),
            1..=3 => vec![BucketSpan {
                offset,
                length: buckets as u32,
            }],
            _ => vec![
                BucketSpan { offset, length: 2 },
                BucketSpan {
                    offset: 2,
                    length: buckets as u32 - 2,
                },
            ],
        }
    }

    fn integer(&self) -> Histogram {
        let deltas = |counts: &[u64]| {
            let mut last = 0;
            counts
                .iter()
                .map(|count| {
                    let delta = *count as i64 - last;
                    last = *count as i64;
                    delta
                })
                .collect()
        };
        Histogram {
            count: Some(histogram::Count::CountInt(self.count())),
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: Some(histogram::ZeroCount::ZeroCountInt(self.zero)),
            negative_spans: Growing::spans(self.negative.len(), 0),
            negative_deltas: deltas(&self.negative),
            positive_spans: Growing::spans(self.positive.len(), -1),
            positive_deltas: deltas(&self.positive),
            ..Histogram::default()
        }
    }

    fn float(&self, factor: f64) -> Histogram {
        let counts = |counts: &[u64]| counts.iter().map(|c| *c as f64 * factor).collect();
        Histogram {
            count: Some(histogram::Count::CountFloat(self.count() as f64 * factor)),
            zero_count: Some(histogram::ZeroCount::ZeroCountFloat(
                self.zero as f64 * factor,
            )),
            negative_deltas: Vec::new(),
            negative_counts: counts(&self.negative),
            positive_deltas: Vec::new(),
            positive_counts: counts(&self.positive),
            ..self.integer()
        }
    }

    fn custom(&self, bounds: &[f64]) -> Histogram {
        Histogram {
            schema: -53,
            zero_threshold: 0.0,
            positive_spans: vec![BucketSpan {
                offset: 0,
                length: self.positive.len() as u32,
            }],
            negative_spans: Vec::new(),
            custom_values: bounds.to_vec(),
            ..self.integer()
        }
    }
}

fn native_histograms(
    scrapes: &Scrapes,
    random: &mut Random,
    target: &[(&str, &str)],
    all: &mut Vec<TimeSeries>,
) {
    let mut push = |name: &str, samples, histograms| {
        all.push(TimeSeries {
            labels: labels(name, target),
            samples,
            exemplars: Vec::new(),
            histograms,
        });
    };
    let schema = random.within(0, 2) as i32;
    let mut growing = Growing::new(random, schema, 5, 2);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        growing.integer()
    });
    push("native", Vec::new(), histograms);

    let mut growing = Growing::new(random, 1, 4, 0);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        growing.float(0.5)
    });
    push("native_float", Vec::new(), histograms);

    let histograms = scrapes.histograms(random, |r| {
        let mut now = Growing::new(r, 0, 4, 2);
        for _ in 0..4 {
            now.step(r);
        }
        Histogram {
            reset_hint: histogram::ResetHint::Gauge as i32,
            ..now.integer()
        }
    });
    push("native_gauge", Vec::new(), histograms);

    // Observations that are no numbers are counted and are in no bucket.
    let mut growing = Growing::new(random, 1, 4, 1);
    let mut nans = 0;
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        nans += u64::from(r.chance(3));
        let histogram = growing.integer();
        Histogram {
            count: Some(histogram::Count::CountInt(growing.count() + nans)),
            sum: if nans > 0 { f64::NAN } else { histogram.sum },
            ..histogram
        }
    });
    push("native_nan", Vec::new(), histograms);

    let mut growing = Growing::new(random, -53, 4, 0);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        growing.custom(&[0.5, 2.0, 8.0])
    });
    push("native_custom", Vec::new(), histograms);

    let bounds: [&[f64]; 3] = [&[0.5, 2.0, 8.0], &[0.5, 1.0, 2.0, 8.0], &[1.0, 2.0, 3.0]];
    let mut growing = Growing::new(random, -53, 4, 0);
    let mut now = *random.pick(&bounds);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        if r.chance(3) {
            now = *r.pick(&bounds);
        }
        let histogram = growing.custom(now);
        Histogram {
            sum: if r.chance(2) {
                f64::NEG_INFINITY
            } else {
                histogram.sum
            },
            ..histogram
        }
    });
    push("native_bounds", Vec::new(), histograms);

    let mut growing = Growing::new(random, 1, 5, 2);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        if r.chance(4) {
            growing.schema = r.within(-1, 3) as i32;
        }
        if r.chance(4) {
            growing.zero_threshold = *r.pick(&[0.0, 0.001, 0.01, 0.25, 0.3]);
        }
        growing.integer()
    });
    push("native_schemas", Vec::new(), histograms);

    let mut growing = Growing::new(random, 0, 4, 0);
    let mut custom = random.chance(50);
    let histograms = scrapes.histograms(random, |r| {
        growing.step(r);
        if r.chance(4) {
            custom = !custom;
        }
        if custom {
            // No zero bucket: what it held is in none.
            let zero = std::mem::take(&mut growing.zero);
            let histogram = growing.custom(bounds[0]);
            growing.zero = zero;
            histogram
        } else {
            growing.integer()
        }
    });
    push("native_kinds", Vec::new(), histograms);

    // Floats for some minutes, then histograms, and so on.
    let mut growing = Growing::new(random, 0, 3, 0);
    let (mut samples, mut histograms) = (Vec::new(), Vec::new());
    let mut float = random.chance(50);
    for (timestamp, up) in &scrapes.times {
        growing.step(random);
        if random.chance(4) {
            float = !float;
        }
        if !up {
            continue;
        }
        if float {
            samples.push(Sample {
                value: growing.count() as f64,
                timestamp: *timestamp,
            });
        } else {
            histograms.push(Histogram {
                timestamp: *timestamp,
                ..growing.integer()
            });
        }
    }
    push("mixed", samples, histograms);
}
