//! schedstat: time CPUs ran and tasks waited, of /proc/schedstat.

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// CPU, nanoseconds running, nanoseconds waiting, timeslices: `cpu0` and nine numbers.
fn parse(line: &str) -> Option<(&str, [f64; 3])> {
    let mut fields = line.strip_prefix("cpu")?.split_ascii_whitespace();
    let cpu = fields.next()?;
    let mut last = fields.skip(6).map(|f| f.parse().ok());
    Some((cpu, [last.next()??, last.next()??, last.next()??]))
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files
        .proc("schedstat")
        .map_err(super::CollectError::missing_is_no_data)?;
    for (cpu, [running, waiting, slices]) in text.lines().filter_map(parse) {
        let metrics = [
            (
                "node_schedstat_running_seconds_total",
                "Number of seconds CPU spent running a process.",
                running / 1e9,
            ),
            (
                "node_schedstat_waiting_seconds_total",
                "Number of seconds spent by processing waiting for this CPU.",
                waiting / 1e9,
            ),
            (
                "node_schedstat_timeslices_total",
                "Number of timeslices executed by CPU.",
                slices,
            ),
        ];
        for (name, help, value) in metrics {
            out.counter(name, help, &[("cpu", cpu)], value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        assert_eq!(
            super::parse("cpu0 1 0 3 4 5 6 7 8 9"),
            Some(("0", [7.0, 8.0, 9.0]))
        );
        assert_eq!(super::parse("cpu0 1 0 3"), None);
        assert_eq!(super::parse("domain0 00000003 1 2 3 4 5 6 7 8 9"), None);
    }
}
