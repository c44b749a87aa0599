//! The collectors of systems that are not Linux, by the crate sysinfo: what it answers everywhere, by
//! node_exporter's names on macOS where it has them.

use parking_lot::Mutex;
use sysinfo::{Disks, Networks, System};

use super::{Build, CollectError, Outcome, filter::Filter, textfile, time, uname};
use crate::page::Page;

/// Every collector there is here.
pub const TABLE: &[(&str, Build)] = &[
    ("cpu", |_| {
        // A share of the time is one since the last scrape.
        let system = Mutex::new(System::new().map_err(|e| e.to_string())?);
        Ok(Box::new(move |_, out| cpu(&mut system.lock(), out)))
    }),
    ("filesystem", |args| {
        let points = Filter::include_over_default(
            args,
            "collector.filesystem.mount-points-exclude",
            "collector.filesystem.mount-points-include",
        )?;
        let types = Filter::include_over_default(
            args,
            "collector.filesystem.fs-types-exclude",
            "collector.filesystem.fs-types-include",
        )?;
        Ok(Box::new(move |_, out| filesystem(out, &points, &types)))
    }),
    ("loadavg", |_| Ok(Box::new(|_, out| loadavg(out)))),
    ("meminfo", |_| Ok(Box::new(|_, out| memory(out)))),
    ("netdev", |args| {
        let filter = Filter::exclusive(
            args,
            "collector.netdev.device-exclude",
            "collector.netdev.device-include",
        )?;
        Ok(Box::new(move |_, out| networks(out, &filter)))
    }),
    ("textfile", textfile::new),
    ("time", |_| {
        Ok(Box::new(|files, out| {
            boot_time(out)?;
            time::collect(files, out)
        }))
    }),
    ("uname", |_| Ok(Box::new(uname::collect))),
];

fn said(error: sysinfo::Error) -> CollectError {
    CollectError::Other(error.to_string())
}

fn boot_time(out: &mut Page) -> Outcome {
    let start = System::boot_time().map_err(said)?;
    out.gauge(
        "node_boot_time_seconds",
        "Unix time of last boot, including microseconds.",
        &[],
        start as f64,
    );
    Ok(())
}

/// node_exporter counts seconds in modes, which sysinfo does not tell: these names are ours.
fn cpu(system: &mut System, out: &mut Page) -> Outcome {
    system.refresh_cpu_all();
    for (number, cpu) in system.cpus().iter().enumerate() {
        let number = number.to_string();
        let labels = [("cpu", number.as_str())];
        out.gauge(
            "node_cpu_usage_ratio",
            "Share of the time since the last scrape that the CPU was busy, from 0 to 1.",
            &labels,
            f64::from(cpu.usage()) / 100.0,
        );
        out.gauge(
            "node_cpu_frequency_hertz",
            "Current CPU thread frequency in hertz.",
            &labels,
            cpu.frequency() as f64 * 1e6,
        );
    }
    Ok(())
}

fn loadavg(out: &mut Page) -> Outcome {
    let load = System::load_average().map_err(said)?;
    for (minutes, load) in [("1", load.one), ("5", load.five), ("15", load.fifteen)] {
        let help = format!("{minutes}m load average.");
        out.gauge(&format!("node_load{minutes}"), &help, &[], load);
    }
    Ok(())
}

fn memory(out: &mut Page) -> Outcome {
    let mut system = System::new().map_err(said)?;
    system.refresh_memory();
    for (name, value) in [
        ("total_bytes", system.total_memory()),
        ("free_bytes", system.free_memory()),
        ("available_bytes", system.available_memory()),
        ("swap_total_bytes", system.total_swap()),
        ("swap_used_bytes", system.used_swap()),
    ] {
        out.gauge(
            &format!("node_memory_{name}"),
            &format!("Memory information field {name}."),
            &[],
            value as f64,
        );
    }
    Ok(())
}

fn filesystem(out: &mut Page, points: &Filter, types: &Filter) -> Outcome {
    let disks = Disks::new_with_refreshed_list().map_err(said)?;
    for disk in &disks {
        let text = |os: &std::ffi::OsStr| os.to_string_lossy().into_owned();
        let point = disk.mount_point().to_string_lossy().into_owned();
        let kind = text(disk.file_system());
        if points.ignored(&point) || types.ignored(&kind) {
            continue;
        }
        let device = text(disk.name());
        let labels = [
            ("device", device.as_str()),
            ("mountpoint", &point),
            ("fstype", &kind),
            ("device_error", ""),
        ];
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        for (name, help, value) in [
            (
                "size_bytes",
                "Filesystem size in bytes.",
                disk.total_space() as f64,
            ),
            (
                "avail_bytes",
                "Filesystem space available to non-root users in bytes.",
                disk.available_space() as f64,
            ),
            (
                "readonly",
                "Filesystem read-only status.",
                flag(disk.is_read_only()),
            ),
        ] {
            out.gauge(&format!("node_filesystem_{name}"), help, &labels, value);
        }
    }
    Ok(())
}

fn networks(out: &mut Page, filter: &Filter) -> Outcome {
    let networks = Networks::new_with_refreshed_list().map_err(said)?;
    if networks.is_empty() {
        return Err(CollectError::NoData);
    }
    for (device, data) in &networks {
        let device = device.to_string_lossy();
        if filter.ignored(&device) {
            continue;
        }
        for (name, value) in [
            ("receive_bytes", data.total_received()),
            ("receive_packets", data.total_packets_received()),
            ("receive_errs", data.total_errors_on_received()),
            ("transmit_bytes", data.total_transmitted()),
            ("transmit_packets", data.total_packets_transmitted()),
            ("transmit_errs", data.total_errors_on_transmitted()),
        ] {
            out.counter(
                &format!("node_network_{name}_total"),
                &format!("Network device statistic {name}."),
                &[("device", &device)],
                value as f64,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, Paths};

    /// sysinfo knows Linux too: the collectors answer here as they would elsewhere.
    #[test]
    fn every_collector_answers() {
        let boot = service::Boot::new(&crate::PROGRAM, &[""; 0]).unwrap();
        let none = || std::path::PathBuf::from("/not/there");
        let mut files = Files::new(Paths {
            proc: none(),
            sys: "/sys".into(),
            root: none(),
            udev: none(),
        });
        for (name, new) in TABLE {
            let flag = format!("collector.{name}");
            assert!(crate::FLAGS.iter().any(|f| f.name == flag), "{name}");
            let mut page = Page::new();
            let collector = new(&boot.args).unwrap();
            collector(&mut files, &mut page).unwrap();
            // No text files, and in a container perhaps no disks.
            let may_be_empty = ["textfile", "filesystem"].contains(name);
            assert!(may_be_empty || !page.is_empty(), "{name}");
        }
    }
}
