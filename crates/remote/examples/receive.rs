//! What a sample costs that comes by remote write, apart from HTTP and compression: the making of
//! series, and samples of series that are known.
//!
//! `cargo run --release -p remote --example receive -- 2000000 10 20` makes as many series with 10 samples
//! each, then sends 20 more. Requests are of 2,000 series, always in the same order.

use std::error::Error;

use prost::Message;
use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use remote::Receiver;
use tsdb::{Db, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 2_000;
const METRICS: usize = 200;
const START_MS: i64 = 1_700_000_000_000;

/// A request, and where in it the times and values lie.
struct Request {
    bytes: Vec<u8>,
    samples: Vec<usize>,
}

fn labels(n: usize) -> Vec<Label> {
    let (metric, host) = (n % METRICS, n / METRICS);
    [
        ("__name__", format!("bench_metric_{metric:03}_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("device", format!("disk{}", metric % 7)),
        ("instance", format!("host-{host:05}.example.org:9100")),
        ("job", format!("job-{}", host % 4)),
        (
            "mode",
            ["user", "system", "idle", "iowait"][metric % 4].to_owned(),
        ),
    ]
    .map(|(name, value)| Label {
        name: name.to_owned(),
        value,
    })
    .into()
}

fn sample(value: f64, timestamp: i64) -> Sample {
    Sample { value, timestamp }
}

fn request(series: std::ops::Range<usize>) -> Request {
    let mut request = Request {
        bytes: Vec::new(),
        samples: Vec::new(),
    };
    for n in series {
        let one = WriteRequest {
            timeseries: vec![TimeSeries {
                labels: labels(n),
                samples: vec![sample(1.0, START_MS)],
                ..TimeSeries::default()
            }],
            ..WriteRequest::default()
        };
        request.bytes.extend(one.encode_to_vec());
        // The sample is the last thing in a series.
        request
            .samples
            .push(request.bytes.len() - sample(1.0, START_MS).encoded_len());
    }
    request
}

/// Sixty percent counters, a quarter gauges of two decimals, the others do not change.
fn value(n: usize, step: usize) -> f64 {
    let noise = (n * 31 + step * 7919) % 10_007;
    match n % METRICS % 20 {
        0..12 => (step * 500 + noise % 1000) as f64,
        12..17 => noise as f64 / 100.0,
        _ => (n % 1000) as f64,
    }
}

/// Seconds that this thread has had a processor.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().unwrap_or_default();
    Ok(first.parse::<u64>()? as f64 / 1e9)
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |n: usize, default: usize| {
        let given = std::env::args().nth(n).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (series, first, more) = (argument(1, 100_000), argument(2, 10), argument(3, 20));
    let dir = tempfile::tempdir()?;
    let mut options = Options::new(dir.path());
    options.background = false;
    let db = Db::open(options)?;
    let receiver = Receiver::new(32 << 20);
    let mut requests: Vec<Request> = (0..series.div_ceil(BATCH))
        .map(|b| request(b * BATCH..((b + 1) * BATCH).min(series)))
        .collect();
    let mut seconds = [0.0; 3];
    for step in 0..first + more {
        for (b, request) in requests.iter_mut().enumerate() {
            for (i, at) in request.samples.iter().enumerate() {
                let sample = sample(
                    value(b * BATCH + i, step) + 0.5,
                    START_MS + step as i64 * 15_000,
                );
                request.bytes[*at..*at + sample.encoded_len()]
                    .copy_from_slice(&sample.encode_to_vec());
            }
            let before = cpu_seconds()?;
            let written = receiver.write_v1(&request.bytes, &db)?;
            let phase = usize::from(step > 0) + usize::from(step >= first);
            seconds[phase] += cpu_seconds()? - before;
            if written.samples != request.samples.len() as u64 {
                return Err(format!("{written:?}").into());
            }
        }
    }
    let each = |seconds: f64, samples: usize| seconds * 1e6 / (series * samples.max(1)) as f64;
    let known = each(seconds[2], more);
    println!(
        "{series} series: {:.2} us to make one, {:.3} us a sample up to the {first}th, {known:.3} us a sample of the next {more}",
        each(seconds[0], 1) - known,
        each(seconds[1], first.saturating_sub(1)),
    );
    for (what, bytes) in db.head_memory() {
        println!("  {what}: {} bytes a series", bytes / series);
    }
    Ok(())
}
