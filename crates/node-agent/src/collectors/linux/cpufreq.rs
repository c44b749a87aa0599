//! cpufreq: frequencies and governors of /sys/devices/system/cpu/cpu*/cpufreq.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File, metric, help; values are kHz.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    (
        "cpuinfo_cur_freq",
        "frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let cpus = files.paths.sys.join("devices/system/cpu");
    for name in list(&cpus).map_err(CollectError::missing_is_no_data)? {
        let cpu = name.strip_prefix("cpu").unwrap_or_default();
        if cpu.is_empty() || !cpu.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let dir = cpus.join(&name).join("cpufreq");
        if !dir.is_dir() {
            continue;
        }
        for (file, metric, help) in FREQUENCIES {
            if let Some(khz) = files.number(&dir.join(file)) {
                out.gauge(
                    &format!("node_cpu_{metric}"),
                    help,
                    &[("cpu", cpu)],
                    khz * 1000.0,
                );
            }
        }
        let Some(governor) = files
            .value(&dir.join("scaling_governor"))
            .map(str::to_owned)
        else {
            continue;
        };
        let available = files
            .value(&dir.join("scaling_available_governors"))
            .unwrap_or_default();
        for one in available.split_ascii_whitespace() {
            out.gauge(
                "node_cpu_scaling_governor",
                "Current enabled CPU frequency governor.",
                &[("cpu", cpu), ("governor", one)],
                if one == governor { 1.0 } else { 0.0 },
            );
        }
    }
    Ok(())
}
