//! timex: the kernel's clock discipline, from adjtimex.

use model::MetricType::{Counter, Gauge};

use super::{CollectError, Collector, Outcome};
use crate::page::Page;
use parking_lot::Mutex;
use service::Args;

/// adjtimex answers this state while the clock is not synchronized.
const TIME_ERROR: i32 = 5;
/// The status bit of a clock that counts nanoseconds.
const STA_NANO: i32 = 0x2000;
/// Frequencies are in parts per million with a 16-bit fraction.
const PPM_16: f64 = 1_000_000.0 * 65_536.0;
/// An offset beyond this is an overflow of the kernel's.
const OVERFLOW_SECONDS: f64 = 4.0;

pub fn new(_args: &Args) -> Result<Collector, String> {
    let overflows = Mutex::new(0u64);
    Ok(Box::new(move |_, out| collect(out, &mut overflows.lock())))
}

fn collect(out: &mut Page, overflows: &mut u64) -> Outcome {
    // SAFETY: timex is plain integers, for which zero is a value; mode 0 asks and changes nothing.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex)
    };
    if state < 0 {
        let error = std::io::Error::last_os_error();
        return Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => CollectError::NoData,
            _ => CollectError::Other(format!("failed to retrieve adjtimex stats: {error}")),
        });
    }
    let unit = if timex.status & STA_NANO != 0 {
        1e9
    } else {
        1e6
    };
    let offset = timex.offset as f64 / unit;
    if offset.abs() > OVERFLOW_SECONDS {
        *overflows += 1;
    }
    let metrics = [
        (
            Gauge,
            "sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            if state == TIME_ERROR { 0.0 } else { 1.0 },
        ),
        (
            Gauge,
            "offset_seconds",
            "Time offset in between local system and reference clock.",
            offset,
        ),
        (
            Counter,
            "offset_overflow_total",
            "Count of adjtimex() offset readings indicating kernel overflow (|offset| > 4s). See https://github.com/prometheus/node_exporter/issues/3764",
            *overflows as f64,
        ),
        (
            Gauge,
            "frequency_adjustment_ratio",
            "Local clock frequency adjustment.",
            1.0 + timex.freq as f64 / PPM_16,
        ),
        (
            Gauge,
            "maxerror_seconds",
            "Maximum error in seconds.",
            timex.maxerror as f64 / 1e6,
        ),
        (
            Gauge,
            "estimated_error_seconds",
            "Estimated error in seconds.",
            timex.esterror as f64 / 1e6,
        ),
        (
            Gauge,
            "status",
            "Value of the status array bits.",
            f64::from(timex.status),
        ),
        (
            Gauge,
            "loop_time_constant",
            "Phase-locked loop time constant.",
            timex.constant as f64,
        ),
        (
            Gauge,
            "tick_seconds",
            "Seconds between clock ticks.",
            timex.tick as f64 / 1e6,
        ),
        (
            Gauge,
            "pps_frequency_hertz",
            "Pulse per second frequency.",
            timex.ppsfreq as f64 / PPM_16,
        ),
        (
            Gauge,
            "pps_jitter_seconds",
            "Pulse per second jitter.",
            timex.jitter as f64 / unit,
        ),
        (
            Gauge,
            "pps_shift_seconds",
            "Pulse per second interval duration.",
            f64::from(timex.shift),
        ),
        (
            Gauge,
            "pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            timex.stabil as f64 / PPM_16,
        ),
        (
            Counter,
            "pps_jitter_total",
            "Pulse per second count of jitter limit exceeded events.",
            timex.jitcnt as f64,
        ),
        (
            Counter,
            "pps_calibration_total",
            "Pulse per second count of calibration intervals.",
            timex.calcnt as f64,
        ),
        (
            Counter,
            "pps_error_total",
            "Pulse per second count of calibration errors.",
            timex.errcnt as f64,
        ),
        (
            Counter,
            "pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            timex.stbcnt as f64,
        ),
        (
            Gauge,
            "tai_offset_seconds",
            "International Atomic Time (TAI) offset.",
            f64::from(timex.tai),
        ),
    ];
    for (kind, name, help, value) in metrics {
        out.add(kind, &format!("node_timex_{name}"), help, &[], value);
    }
    Ok(())
}
