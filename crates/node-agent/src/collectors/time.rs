//! time: the clock of the system, and the clock sources of /sys.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Outcome;
use crate::files::{Files, list};
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    // A clock before 1970 counts as its beginning.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    out.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        now.as_nanos() as f64 / 1e9,
    );
    // The process runs in UTC: the host's zone is not that of its containers anyway.
    let (zone, offset) = (zone_name(), 0.0);
    out.gauge(
        "node_time_zone_offset_seconds",
        "System time zone offset in seconds.",
        &[("time_zone", &zone)],
        offset,
    );
    let sources = files.paths.sys.join("devices/system/clocksource");
    for name in list(&sources)? {
        let Some(number) = name.strip_prefix("clocksource") else {
            continue;
        };
        let dir = sources.join(&name);
        for source in files
            .read(&dir.join("available_clocksource"))?
            .split_ascii_whitespace()
        {
            out.gauge(
                "node_time_clocksource_available_info",
                "Available clocksources read from '/sys/devices/system/clocksource'.",
                &[("device", number), ("clocksource", source)],
                1.0,
            );
        }
        out.gauge(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            &[
                ("device", number),
                (
                    "clocksource",
                    files.read(&dir.join("current_clocksource"))?.trim(),
                ),
            ],
            1.0,
        );
    }
    Ok(())
}

/// What the offset belongs to.
fn zone_name() -> String {
    "UTC".to_owned()
}
