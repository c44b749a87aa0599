//! softnet: packets a CPU processed, of /proc/net/softnet_stat.

use model::MetricType::{Counter, Gauge};

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// The columns of a line, as many as the kernel has.
fn parse(line: &str) -> Option<Vec<u32>> {
    let columns: Option<Vec<u32>> = line
        .split_ascii_whitespace()
        .map(|f| u32::from_str_radix(f, 16).ok())
        .collect();
    columns.filter(|columns| columns.len() >= 9)
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    for (at, line) in files.proc("net/softnet_stat")?.lines().enumerate() {
        let columns =
            parse(line).ok_or_else(|| CollectError::invalid("softnet_stat line", line))?;
        // Where the kernel says which CPU it is, offline ones are left out of the count.
        let cpu = columns
            .get(12)
            .map_or(at, |index| *index as usize)
            .to_string();
        let metrics = [
            (0, Counter, "processed_total", "Number of processed packets"),
            (1, Counter, "dropped_total", "Number of dropped packets"),
            (
                2,
                Counter,
                "times_squeezed_total",
                "Number of times processing packets ran out of quota",
            ),
            (
                8,
                Counter,
                "cpu_collision_total",
                "Number of collision occur while obtaining device lock while transmitting",
            ),
            (
                9,
                Counter,
                "received_rps_total",
                "Number of times cpu woken up received_rps",
            ),
            (
                10,
                Counter,
                "flow_limit_count_total",
                "Number of times flow limit has been reached",
            ),
            (11, Gauge, "backlog_len", "Softnet backlog status"),
        ];
        for (column, kind, name, help) in metrics {
            let value = columns.get(column).copied().unwrap_or_default();
            out.add(
                kind,
                &format!("node_softnet_{name}"),
                help,
                &[("cpu", &cpu)],
                value.into(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        assert_eq!(super::parse(&"0000000a ".repeat(11)).unwrap()[10], 10);
        assert_eq!(super::parse("0000000a 0"), None);
        assert_eq!(super::parse(&"x ".repeat(11)), None);
    }
}
