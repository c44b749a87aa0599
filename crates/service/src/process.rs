//! `process_*` metrics from `/proc/self` (client_golang `prometheus/process_collector_procfsenabled.go`).

use exposition::{Family, Metric, Value};
use model::MetricType;
use telemetry::Registry;

/// Registers the metrics; each scrape reads four small files.
pub(crate) fn register(registry: &Registry) {
    // The host's start does not change, and the file it is in is the longest.
    let boot = std::fs::read_to_string("/proc/stat").ok().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok())
    });
    registry.collector(move || collect(boot));
}

fn collect(boot: Option<f64>) -> Vec<Family> {
    let mut families = Vec::new();
    let mut add = |name: &str, help: &str, kind: MetricType, value: Option<f64>| {
        if let Some(value) = value {
            let mut family = Family::new(name, help, kind);
            let value = match kind {
                MetricType::Counter => Value::Counter(value),
                _ => Value::Gauge(value),
            };
            family.push(Metric::new(Vec::new(), value));
            families.push(family);
        }
    };
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let net = std::fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let fds = std::fs::read_dir("/proc/self/fd").ok().map(|dir| {
        // The directory that is being read is one of them.
        dir.count().saturating_sub(1) as f64
    });
    let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
    add(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        counter,
        stat.as_ref().map(|stat| (stat.utime + stat.stime) / ticks),
    );
    add(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        gauge,
        soft_limit(&limits, "Max open files"),
    );
    let (received, sent) = octets(&net);
    add(
        "process_network_receive_bytes_total",
        "Number of bytes received by the process over the network.",
        counter,
        received,
    );
    add(
        "process_network_transmit_bytes_total",
        "Number of bytes sent by the process over the network.",
        counter,
        sent,
    );
    add(
        "process_open_fds",
        "Number of open file descriptors.",
        gauge,
        fds,
    );
    add(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        gauge,
        stat.as_ref()
            .map(|stat| stat.rss_pages * rustix::param::page_size() as f64),
    );
    add(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        gauge,
        stat.as_ref()
            .zip(boot)
            .map(|(stat, boot)| boot + stat.start_ticks / ticks),
    );
    add(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        gauge,
        stat.as_ref().map(|stat| stat.vsize),
    );
    add(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        gauge,
        soft_limit(&limits, "Max address space"),
    );
    families
}

#[derive(Debug, PartialEq)]
struct Stat {
    utime: f64,
    stime: f64,
    start_ticks: f64,
    vsize: f64,
    rss_pages: f64,
}

impl Stat {
    /// proc_pid_stat(5). The name in parentheses may hold anything, so fields count from its end.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Field 3 of the manual is the first one here.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Stat {
            utime: field(14)?,
            stime: field(15)?,
            start_ticks: field(22)?,
            vsize: field(23)?,
            rss_pages: field(24)?,
        })
    }
}

/// A soft limit of `/proc/self/limits`; client_golang prints "unlimited" as 2^64.
fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find(|line| line.starts_with(name))?;
    match line[name.len()..].split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

/// InOctets and OutOctets of the `IpExt` lines.
fn octets(netstat: &str) -> (Option<f64>, Option<f64>) {
    let mut lines = netstat
        .lines()
        .filter_map(|line| line.strip_prefix("IpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return (None, None);
    };
    let find = |wanted: &str| {
        names
            .split_whitespace()
            .zip(values.split_whitespace())
            .find(|(name, _)| *name == wanted)?
            .1
            .parse()
            .ok()
    };
    (find("InOctets"), find("OutOctets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_odd_names() {
        let text = "12 (a) b) S 1 12 12 0 -1 4194304 100 0 0 0 25 7 0 0 20 0 4 0 5000 104857600 250 18446744073709551615";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (stat.utime, stat.stime, stat.start_ticks),
            (25.0, 7.0, 5000.0)
        );
        assert_eq!((stat.vsize, stat.rss_pages), (104857600.0, 250.0));
        assert_eq!(Stat::parse("12 (a"), None);
    }

    #[test]
    fn limits_and_octets() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 4096                 files     \nMax address space         unlimited            unlimited            bytes     \n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(
            soft_limit(limits, "Max address space"),
            Some(u64::MAX as f64)
        );
        assert_eq!(soft_limit(limits, "Max nothing"), None);
        let netstat =
            "TcpExt: A\nTcpExt: 1\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 55 66\n";
        assert_eq!(octets(netstat), (Some(55.0), Some(66.0)));
        assert_eq!(octets(""), (None, None));
    }

    #[test]
    fn this_process_has_all_of_them() {
        let registry = Registry::new();
        register(&registry);
        let families = registry.gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name == name)?;
            match family.metrics[0].value {
                Value::Counter(value) | Value::Gauge(value) => Some(value),
                _ => None,
            }
        };
        assert!(value("process_resident_memory_bytes").unwrap() > 100_000.0);
        assert!(value("process_start_time_seconds").unwrap() > 1.6e9);
        assert!(value("process_open_fds").unwrap() >= 3.0);
        assert!(value("process_max_fds").unwrap() >= 3.0);
        assert!(value("process_cpu_seconds_total").is_some());
    }
}
