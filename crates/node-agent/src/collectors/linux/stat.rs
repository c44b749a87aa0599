//! stat: the lines of /proc/stat that are not about one CPU.

use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::page::Page;

const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let softirq = args.bool("collector.stat.softirq");
    Ok(Box::new(move |files, out| collect(files, out, softirq)))
}

fn collect(files: &mut Files, out: &mut Page, softirq: bool) -> Outcome {
    let mut bad = None;
    for line in files.proc("stat")?.lines() {
        if line.starts_with("cpu") {
            continue;
        }
        let mut fields = line.split_ascii_whitespace();
        let (Some(key), first) = (fields.next(), fields.next()) else {
            continue;
        };
        let known = [
            "intr",
            "ctxt",
            "processes",
            "btime",
            "procs_running",
            "procs_blocked",
            "softirq",
        ];
        if !known.contains(&key) {
            continue;
        }
        let Some(value) = first.and_then(|v| v.parse::<f64>().ok()) else {
            bad = Some(CollectError::invalid("line in stat", line));
            continue;
        };
        match key {
            "intr" => out.counter(
                "node_intr_total",
                "Total number of interrupts serviced.",
                &[],
                value,
            ),
            "ctxt" => out.counter(
                "node_context_switches_total",
                "Total number of context switches.",
                &[],
                value,
            ),
            "processes" => out.counter("node_forks_total", "Total number of forks.", &[], value),
            "btime" => {
                out.gauge(
                    "node_boot_time_seconds",
                    "Node boot time, in unixtime.",
                    &[],
                    value,
                );
            }
            "procs_running" => out.gauge(
                "node_procs_running",
                "Number of processes in runnable state.",
                &[],
                value,
            ),
            "procs_blocked" => out.gauge(
                "node_procs_blocked",
                "Number of processes blocked waiting for I/O to complete.",
                &[],
                value,
            ),
            _ if softirq => {
                for (vector, count) in VECTORS.iter().zip(fields) {
                    out.counter(
                        "node_softirqs_total",
                        "Number of softirq calls.",
                        &[("vector", vector)],
                        count.parse().unwrap_or_default(),
                    );
                }
            }
            _ => {}
        }
    }
    bad.map_or(Ok(()), Err)
}
