//! What a series costs in memory: appends to many series and prints resident bytes a series.
//! `cargo run --release --example memory -- 300000 60`

use model::Labels;
use storage::Appendable;
use tsdb::{Db, Options};

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    field("RssAnon:") * 1024
}

fn main() {
    let argument = |n: usize, default: usize| {
        let given = std::env::args().nth(n).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (series, samples) = (argument(1, 300_000), argument(2, 60));
    let dir = std::env::temp_dir().join(format!("tsdb-memory-{}", std::process::id()));
    let mut options = Options::new(&dir);
    options.background = false;
    let db = Db::open(options).expect("a new folder opens");
    let before = resident();
    let mut references = vec![0u64; series];
    let held = (references.len() * 8) as u64;
    let start = std::time::Instant::now();
    for step in 0..samples {
        let t_ms = 1_700_000_000_000 + step as i64 * 10_000;
        for (page, part) in references.chunks_mut(568).enumerate() {
            let mut appender = db.appender();
            for (i, reference) in part.iter_mut().enumerate() {
                let labels = match *reference {
                    0 => Labels::from_pairs([
                        ("__name__", format!("node_metric_{i}_total").as_str()),
                        (
                            "instance",
                            &format!("10.0.{}.{}:9100", page / 250, page % 250),
                        ),
                        ("job", "node"),
                        ("cluster", "production"),
                        ("device", &format!("eth{}", i % 4)),
                        ("mode", ["idle", "user", "system", "iowait"][i % 4]),
                    ]),
                    _ => Labels::empty(),
                };
                // A third never changes, a third counts, a third moves.
                let value = match i % 3 {
                    0 => i as f64,
                    1 => (step * (i + 1)) as f64,
                    _ => (step * 7919 % (i + 2)) as f64 / 3.0,
                };
                *reference = appender
                    .append(*reference, &labels, 0, t_ms, value)
                    .expect("in order");
            }
            appender.commit().expect("the disk has room");
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = resident().saturating_sub(before + held);
    println!(
        "{series} series, {samples} samples each: {} bytes a series, {:.0} ns a sample",
        bytes / series as u64,
        seconds * 1e9 / (series * samples) as f64
    );
    for (what, bytes) in db.head_memory() {
        println!("  {what}: {} bytes a series", bytes / series);
    }
    let clock = std::time::Instant::now();
    drop(db);
    let mut options = Options::new(&dir);
    options.background = false;
    let db = Db::open(options).expect("what was written opens");
    println!("replayed in {:.2} s", clock.elapsed().as_secs_f64());
    drop(db);
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        eprintln!("{}: {error}", dir.display());
    }
}
