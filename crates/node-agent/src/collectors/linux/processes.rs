//! processes: their number, states and threads, of every /proc/PID/stat, and the states of their threads,
//! of every /proc/PID/task/TID/stat.

use std::collections::BTreeMap;
use std::path::Path;

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// State and number of threads: the name before them is in brackets and may hold anything.
fn parse(text: &str) -> Option<(&str, f64)> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?, fields.nth(16)?.parse().ok()?))
}

/// Counts the states of a process' threads; its first one is the process itself, which has been read.
fn thread_states(
    files: &mut Files,
    process: &Path,
    pid: &str,
    state: &str,
    counts: &mut BTreeMap<String, u32>,
) {
    let tasks = process.join("task");
    // The process, or one of its threads, may be gone by now.
    for tid in list(&tasks).unwrap_or_default() {
        if tid == pid {
            *counts.entry(state.to_owned()).or_default() += 1;
            continue;
        }
        let Ok(text) = files.read(&tasks.join(&tid).join("stat")) else {
            continue;
        };
        if let Some((state, _)) = parse(text) {
            *counts.entry(state.to_owned()).or_default() += 1;
        }
    }
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    let mut of_threads: BTreeMap<String, u32> = BTreeMap::new();
    let (mut pids, mut threads) = (0u32, 0.0);
    let proc = files.paths.proc.clone();
    for name in list(&proc)? {
        if !name.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        // A process may be gone by now.
        let process = proc.join(&name);
        let Ok(text) = files.read(&process.join("stat")) else {
            continue;
        };
        let Some((state, count)) = parse(text) else {
            continue;
        };
        let state = state.to_owned();
        pids += 1;
        threads += count;
        thread_states(files, &process, &name, &state, &mut of_threads);
        *states.entry(state).or_default() += 1;
    }
    let mut limit = |name: &str| {
        let text = files.proc(name)?.trim();
        text.parse::<f64>()
            .map_err(|_| CollectError::invalid("limit", text))
    };
    let max_processes = limit("sys/kernel/pid_max")?;
    let max_threads = limit("sys/kernel/threads-max")?;
    for (state, count) in states {
        out.gauge(
            "node_processes_state",
            "Number of processes in each state.",
            &[("state", &state)],
            count.into(),
        );
    }
    for (state, count) in of_threads {
        out.gauge(
            "node_processes_threads_state",
            "Number of threads in each state.",
            &[("thread_state", &state)],
            count.into(),
        );
    }
    let metrics = [
        ("node_processes_pids", "Number of PIDs", f64::from(pids)),
        (
            "node_processes_threads",
            "Allocated threads in system",
            threads,
        ),
        (
            "node_processes_max_processes",
            "Number of max PIDs limit",
            max_processes,
        ),
        (
            "node_processes_max_threads",
            "Limit of threads in the system",
            max_threads,
        ),
    ];
    for (name, help, value) in metrics {
        out.gauge(name, help, &[], value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_may_hold_brackets() {
        let rest = "0 ".repeat(16);
        assert_eq!(
            super::parse(&format!("1 (a) b) S {rest}7 0")),
            Some(("S", 7.0))
        );
        assert_eq!(super::parse("1 (a) S 0"), None);
        assert_eq!(super::parse(""), None);
    }
}
