//! What is known without measuring: times, limits, health.

use model::MetricType;

use super::{Metric, Time, Values, metric};
use crate::info::Container;

const fn spec(
    name: &'static str,
    help: &'static str,
    values: fn(&Container, &mut super::Samples<'_, '_>),
) -> Metric {
    metric(
        MetricType::Gauge,
        None,
        name,
        help,
        Values::Container(values),
    )
    .at(Time::Unset)
}

/// The families.
pub(super) const TABLE: &[Metric] = &[
    metric(
        MetricType::Gauge,
        None,
        "container_last_seen",
        "Last time a container was seen by the exporter",
        Values::Stats(|view, _, out| out.add((view.now_ms / 1000) as f64)),
    )
    .at(Time::Now),
    metric(
        MetricType::Gauge,
        None,
        "container_health_state",
        "The result of the container's health check",
        Values::Stats(|_, s, out| {
            out.add(match s.health.status.as_str() {
                "healthy" => 1.0,
                "" => -1.0,
                _ => 0.0,
            });
        }),
    ),
    spec(
        "container_creation_time_seconds",
        "Container creation time since unix epoch in seconds.",
        |c, out| out.add(seconds(c.spec.creation_ms)),
    ),
    spec(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        |c, out| out.add(seconds(c.spec.start_ms.or(c.spec.creation_ms))),
    ),
    spec(
        "container_spec_cpu_period",
        "CPU period of the container.",
        |c, out| {
            if c.spec.has_cpu {
                out.add(c.spec.cpu.period as f64);
            }
        },
    ),
    spec(
        "container_spec_cpu_quota",
        "CPU quota of the container.",
        |c, out| {
            if c.spec.has_cpu && c.spec.cpu.quota != 0 {
                out.add(c.spec.cpu.quota as f64);
            }
        },
    ),
    spec(
        "container_spec_cpu_shares",
        "CPU share of the container.",
        |c, out| {
            if c.spec.has_cpu {
                out.add(c.spec.cpu.limit as f64);
            }
        },
    ),
    spec(
        "container_spec_memory_limit_bytes",
        "Memory limit for the container.",
        |c, out| {
            if c.spec.has_memory {
                out.add(bytes(c.spec.memory.limit));
            }
        },
    ),
    spec(
        "container_spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        |c, out| {
            if c.spec.has_memory {
                out.add(bytes(c.spec.memory.swap_limit));
            }
        },
    ),
    spec(
        "container_spec_memory_reservation_limit_bytes",
        "Memory reservation limit for the container.",
        |c, out| {
            if c.spec.has_memory {
                out.add(bytes(c.spec.memory.reservation));
            }
        },
    ),
];

/// Go's zero time shows as the second it is.
fn seconds(time_ms: Option<i64>) -> f64 {
    time_ms.map_or(-62_135_596_800.0, |ms| ms.div_euclid(1000) as f64)
}

/// Limits above 2^62 mean none: the kernel rounds its largest number to pages.
fn bytes(limit: u64) -> f64 {
    if limit > 1 << 62 { 0.0 } else { limit as f64 }
}
