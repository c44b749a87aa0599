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
    let (zone, offset) = local_zone(now.as_secs());
    out.gauge(
        "node_time_zone_offset_seconds",
        "System time zone offset in seconds.",
        &[("time_zone", &zone)],
        offset,
    );
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
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

/// Name and offset in seconds of the process' time zone (`TZ`, /etc/localtime) at a time.
fn local_zone(seconds: u64) -> (String, f64) {
    let time = seconds as libc::time_t;
    // SAFETY: all fields of the struct may be zero; both pointers live until the call returns, and the
    // name it sets is a text of the C library's that stays.
    unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&time, &mut local).is_null() || local.tm_zone.is_null() {
            return ("UTC".to_owned(), 0.0);
        }
        let name = std::ffi::CStr::from_ptr(local.tm_zone);
        (name.to_string_lossy().into_owned(), local.tm_gmtoff as f64)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zones_have_a_name() {
        let (name, offset) = super::local_zone(1_700_000_000);
        assert!(!name.is_empty());
        assert!(offset.abs() <= 50_400.0);
    }
}
