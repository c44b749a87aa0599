//! Processes, threads, file descriptors, limits.

use super::{Metric, gauge};
use crate::groups::Group;

/// The families.
pub(super) const TABLE: &[Metric] = &[
    gauge(
        Group::Process,
        "container_processes",
        "Number of processes running inside the container.",
        |_, s, out| {
            if let Some(processes) = &s.processes {
                out.add(processes.process_count as f64);
            }
        },
    ),
    gauge(
        Group::Process,
        "container_file_descriptors",
        "Number of open file descriptors for the container.",
        |_, s, out| {
            if let Some(processes) = &s.processes {
                out.add(processes.fd_count as f64);
            }
        },
    ),
    gauge(
        Group::Process,
        "container_sockets",
        "Number of open sockets for the container.",
        |_, s, out| {
            if let Some(processes) = &s.processes {
                out.add(processes.socket_count as f64);
            }
        },
    ),
    gauge(
        Group::Process,
        "container_threads",
        "Number of threads running inside the container",
        |_, s, out| {
            if let Some(processes) = &s.processes {
                out.add(processes.threads_current as f64);
            }
        },
    ),
    gauge(
        Group::Process,
        "container_threads_max",
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        |_, s, out| {
            if let Some(processes) = &s.processes {
                out.add(processes.threads_max as f64);
            }
        },
    ),
    gauge(
        Group::Process,
        "container_ulimits_soft",
        "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
        |_, s, out| {
        for limit in s.processes.iter().flat_map(|processes| &processes.ulimits) {
            out.with(&[&limit.name], limit.soft_limit as f64);
        }
        },
    )
    .labels(&["ulimit"]),
];
