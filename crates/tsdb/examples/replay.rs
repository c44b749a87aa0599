//! What a start costs: `replay write DIR [SERIES] [SAMPLES] [LIVES]` leaves a folder as kill -9 does,
//! `replay open DIR [whole]` opens it and says how much CPU that took; with `whole`, all of the log is read.
//!
//! Of `LIVES` generations of series (1) each ends when the next one begins.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use model::Labels;
use storage::Appender as _;
use tsdb::{Db, Options};

/// CPU seconds of this process.
fn cpu() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn write(dir: &Path, series: usize, samples: i64, lives: usize) {
    let db = Db::open(Options::new(dir)).unwrap();
    let labels = |i: usize, life: usize| {
        let name = format!("bench_metric_{:03}", i % 100);
        let instance = format!("host-{:05}.example.org:9100", i / 100);
        Labels::from_pairs([
            ("__name__", name),
            ("instance", instance),
            ("job", "replay".to_owned()),
            ("life", life.to_string()),
        ])
    };
    let start_ms = 1_760_000_000_000 / 7_200_000 * 7_200_000 + 1;
    let began = cpu();
    let mut references = vec![0; series];
    let mut life = usize::MAX;
    for step in 0..samples {
        let now = (step as usize * lives) / samples as usize;
        if now != life {
            references.fill(0);
            life = now;
        }
        let t = start_ms + step * 15_000;
        for (run, references) in references.chunks_mut(500).enumerate() {
            let mut batch = db.head_appender();
            for (i, reference) in references.iter_mut().enumerate() {
                let i = run * 500 + i;
                // Chunks of about five bytes a sample.
                let bits = (step as u64 * 50_000 + i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let v = (bits >> 44) as f64;
                let set = match *reference {
                    0 => labels(i, life),
                    _ => Labels::default(),
                };
                *reference = batch.append(*reference, &set, 0, t, v).unwrap();
            }
            Box::new(batch).commit().unwrap();
        }
    }
    let nanos = (cpu() - began) * 1e9 / (series as f64 * samples as f64);
    println!("{nanos:.0} ns of CPU a sample");
    // As kill -9: nothing is written out any more.
    std::process::abort();
}

fn open(dir: &Path, whole: bool) {
    let mut options = Options::new(dir);
    if whole {
        options.shortcut_log_bytes = None;
    }
    options.background = false;
    let began = cpu();
    let db = Db::open(options).unwrap();
    println!(
        "{:.3} s of CPU, {} series",
        cpu() - began,
        db.head_stats(1).series
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| {
        let text = arguments.get(at);
        text.map_or(default, |text| text.parse().unwrap())
    };
    let dir = Path::new(arguments.get(2).map_or("replay-data", String::as_str));
    match arguments.get(1).map(String::as_str) {
        Some("write") => write(dir, number(3, 50_000), number(4, 480) as i64, number(5, 1)),
        Some("open") => open(dir, arguments.get(3).is_some_and(|word| word == "whole")),
        _ => eprintln!("replay write DIR [SERIES] [SAMPLES] [LIVES] | replay open DIR [whole]"),
    }
}
