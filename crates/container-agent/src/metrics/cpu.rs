//! CPU time, throttling, scheduling, load, CPU pressure, perf events.

use super::{Metric, Samples, counter, gauge};
use crate::groups::Group;
use crate::groups::Groups;
use crate::info::{CpuUsage, Stats};
use std::collections::BTreeMap;

/// The families.
pub(super) const TABLE: &[Metric] = &[
    counter(
        Group::Cpu,
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                usage(&cpu.usage, out)
            }
        },
    )
    .labels(&["cpu"]),
    counter(
        Group::Cpu,
        "container_cpu_user_seconds_total",
        "Cumulative user cpu time consumed in seconds.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(nanos(cpu.usage.user))
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_system_seconds_total",
        "Cumulative system cpu time consumed in seconds.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(nanos(cpu.usage.system))
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        |view, s, out| {
            if let Some(cpu) = &s.cpu
                && view.container.spec.cpu.quota != 0
            {
                out.add(cpu.cfs.periods as f64)
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        |view, s, out| {
            if let Some(cpu) = &s.cpu
                && view.container.spec.cpu.quota != 0
            {
                out.add(cpu.cfs.throttled_periods as f64)
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_cfs_throttled_seconds_total",
        "Total time duration the container has been throttled.",
        |view, s, out| {
            if let Some(cpu) = &s.cpu
                && view.container.spec.cpu.quota != 0
            {
                out.add(nanos(cpu.cfs.throttled_time))
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_cfs_burst_periods_total",
        "Number of periods when burst occurs.",
        |view, s, out| {
            if let Some(cpu) = &s.cpu
                && view.container.spec.cpu.quota != 0
            {
                out.add(cpu.cfs.bursts_periods as f64)
            }
        },
    ),
    counter(
        Group::Cpu,
        "container_cpu_cfs_burst_seconds_total",
        "Total time duration the container has been bursted.",
        |view, s, out| {
            if let Some(cpu) = &s.cpu
                && view.container.spec.cpu.quota != 0
            {
                out.add(nanos(cpu.cfs.burst_time))
            }
        },
    ),
    counter(
        Group::Sched,
        "container_cpu_schedstat_run_seconds_total",
        "Time duration the processes of the container have run on the CPU.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(nanos(cpu.schedstat.run_time))
            }
        },
    ),
    counter(
        Group::Sched,
        "container_cpu_schedstat_runqueue_seconds_total",
        "Time duration processes of the container have been waiting on a runqueue.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(nanos(cpu.schedstat.runqueue_time))
            }
        },
    ),
    counter(
        Group::Sched,
        "container_cpu_schedstat_run_periods_total",
        "Number of times processes of the cgroup have run on the cpu",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(cpu.schedstat.run_periods as f64)
            }
        },
    ),
    gauge(
        Group::CpuLoad,
        "container_cpu_load_average_10s",
        "Value of container cpu load average over the last 10 seconds.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(cpu.load_average as f64)
            }
        },
    ),
    gauge(
        Group::CpuLoad,
        "container_cpu_load_d_average_10s",
        "Value of container cpu load.d average over the last 10 seconds.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(cpu.load_d_average as f64)
            }
        },
    ),
    counter(
        Group::Pressure,
        "container_pressure_cpu_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(micros(cpu.psi.full.total))
            }
        },
    ),
    counter(
        Group::Pressure,
        "container_pressure_cpu_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to CPU congestion.",
        |_, s, out| {
            if let Some(cpu) = &s.cpu {
                out.add(micros(cpu.psi.some.total))
            }
        },
    ),
    gauge(
        Group::CpuLoad,
        "container_tasks_state",
        "Number of tasks in given state",
        |_, s, out| {
            let tasks = &s.task_stats;
            out.with(&["sleeping"], tasks.nr_sleeping as f64);
            out.with(&["running"], tasks.nr_running as f64);
            out.with(&["stopped"], tasks.nr_stopped as f64);
            out.with(&["uninterruptible"], tasks.nr_uninterruptible as f64);
            out.with(&["iowaiting"], tasks.nr_io_wait as f64);
        },
    )
    .labels(&["state"]),
    counter(
        Group::PerfEvent,
        "container_perf_events_total",
        "Perf event metric.",
        |view, s, out| perf_values(view.groups, s, out),
    )
    .labels(&["cpu", "event"]),
    gauge(
        Group::PerfEvent,
        "container_perf_events_scaling_ratio",
        "Perf event metric scaling ratio.",
        |view, s, out| perf_ratios(view.groups, s, out),
    )
    .labels(&["cpu", "event"]),
    counter(
        Group::PerfEvent,
        "container_perf_uncore_events_total",
        "Perf uncore event metric.",
        |_, s, out| {
            for event in &s.perf_uncore_stats {
                out.with(
                    &[&event.socket.to_string(), &event.name, &event.pmu],
                    event.value as f64,
                );
            }
        },
    )
    .labels(&["socket", "event", "pmu"]),
    gauge(
        Group::PerfEvent,
        "container_perf_uncore_events_scaling_ratio",
        "Perf uncore event metric scaling ratio.",
        |_, s, out| {
            for event in &s.perf_uncore_stats {
                out.with(
                    &[&event.socket.to_string(), &event.name, &event.pmu],
                    event.scaling_ratio,
                );
            }
        },
    )
    .labels(&["socket", "event", "pmu"]),
];

pub(super) fn nanos(value: u64) -> f64 {
    value as f64 / 1e9
}

pub(super) fn micros(value: u64) -> f64 {
    value as f64 / 1e6
}

/// A series for each CPU that was used; where only the total is known (cgroup v2), one for it.
fn usage(usage: &CpuUsage, out: &mut Samples<'_, '_>) {
    if usage.per_cpu_usage.is_empty() && usage.total > 0 {
        out.with(&["total"], nanos(usage.total));
    }
    for (cpu, value) in usage
        .per_cpu_usage
        .iter()
        .enumerate()
        .filter(|(_, v)| **v > 0)
    {
        out.with(&[&format!("cpu{cpu:02}")], nanos(*value));
    }
}

/// For each CPU, or without the group `percpu` the sum over them.
fn perf_values(groups: Groups, stats: &Stats, out: &mut Samples<'_, '_>) {
    if groups.has(Group::PerCpu) {
        for event in &stats.perf_stats {
            out.with(&[&event.cpu.to_string(), &event.name], event.value as f64);
        }
        return;
    }
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &stats.perf_stats {
        let sum = sums.entry(&event.name).or_default();
        *sum = sum.wrapping_add(event.value);
    }
    for (name, sum) in sums {
        out.with(&["", name], sum as f64);
    }
}

/// For each CPU, or without the group `percpu` the least of them.
fn perf_ratios(groups: Groups, stats: &Stats, out: &mut Samples<'_, '_>) {
    if groups.has(Group::PerCpu) {
        for event in &stats.perf_stats {
            out.with(&[&event.cpu.to_string(), &event.name], event.scaling_ratio);
        }
        return;
    }
    let mut least: BTreeMap<&str, f64> = BTreeMap::new();
    for event in &stats.perf_stats {
        let ratio = least.entry(&event.name).or_insert(event.scaling_ratio);
        *ratio = ratio.min(event.scaling_ratio);
    }
    for (name, ratio) in least {
        out.with(&["", name], ratio);
    }
}
