//! systemd: its units and state, asked over D-Bus.

use std::collections::BTreeMap;
use std::io;

use golang::regexp::Regexp;
use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::dbus::{Connection, Value};
use crate::page::Page;

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// systemd's own socket, for root, where there is no bus.
const PRIVATE: &str = "/run/systemd/private";

const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];
/// The state of the system and the last run of a timer came with it.
const VERSION_WITH_STATE: f64 = 212.0;

struct Systemd {
    include: Regexp,
    exclude: Regexp,
    private: bool,
    restarts: bool,
    start_times: bool,
    tasks: bool,
}

/// What `ListUnits` says of one.
struct Unit<'v> {
    name: &'v str,
    state: &'v str,
    object: &'v str,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let whole = |flag: &str| {
        let text = args.str(flag).replace("$$", "$");
        Regexp::anchored(&text).map_err(|e| format!("--{flag}: {e}"))
    };
    let systemd = Systemd {
        include: whole("collector.systemd.unit-include")?,
        exclude: whole("collector.systemd.unit-exclude")?,
        private: args.bool("collector.systemd.private"),
        restarts: args.bool("collector.systemd.enable-restarts-metrics"),
        start_times: args.bool("collector.systemd.enable-start-time-metrics"),
        tasks: args.bool("collector.systemd.enable-task-metrics"),
    };
    Ok(Box::new(move |_, out| systemd.collect(out)))
}

/// The bus; systemd's own socket where there is none.
fn connect(private: bool) -> io::Result<Connection> {
    if private {
        return Connection::direct(PRIVATE);
    }
    match Connection::system() {
        Err(error) if rustix::process::geteuid().is_root() => {
            Connection::direct(PRIVATE).map_err(|_| error)
        }
        connection => connection,
    }
}

/// `252.5-2` is 252.5, `v255` is 255: the first number with three digits or more.
fn version(text: &str) -> Option<f64> {
    let is_digit = |b: &u8| b.is_ascii_digit();
    let mut rest = text;
    while let Some(start) = rest.bytes().position(|b| is_digit(&b)) {
        rest = &rest[start..];
        let digits = rest.bytes().take_while(is_digit).count();
        if digits >= 3 {
            let fraction = rest[digits..].strip_prefix('.').unwrap_or_default();
            let after = fraction.bytes().take_while(is_digit).count();
            let length = digits + if after > 0 { 1 + after } else { 0 };
            return rest[..length].parse().ok();
        }
        rest = &rest[digits..];
    }
    None
}

impl Systemd {
    fn collect(&self, out: &mut Page) -> Outcome {
        let failed = |what: &'static str| {
            move |error: io::Error| CollectError::Other(format!("couldn't get {what}: {error}"))
        };
        let mut bus = connect(self.private).map_err(failed("dbus connection"))?;
        let manager = |bus: &mut Connection, name: &str| {
            let value = bus.property(SERVICE, PATH, MANAGER, name)?;
            Ok::<String, io::Error>(value.text().unwrap_or_default().to_owned())
        };
        let full = manager(&mut bus, "Version").unwrap_or_default();
        let (number, full) = match version(&full) {
            Some(number) => (number, full.as_str()),
            None => (0.0, ""),
        };
        out.gauge(
            "node_systemd_version",
            "Detected systemd version",
            &[("version", full)],
            number,
        );
        let virtualization = match manager(&mut bus, "Virtualization") {
            Ok(kind) if kind.is_empty() => "none".to_owned(),
            Ok(kind) => kind,
            Err(_) => "unknown".to_owned(),
        };
        out.gauge(
            "node_systemd_virtualization_info",
            "Detected virtualization technology",
            &[("virtualization_type", &virtualization)],
            1.0,
        );
        let answer = bus
            .call(SERVICE, PATH, MANAGER, "ListUnits", &[])
            .map_err(failed("units"))?;
        let units = answer.first().map(Value::list).unwrap_or_default();
        let mut summary: BTreeMap<&str, f64> = STATES.iter().map(|s| (*s, 0.0)).collect();
        for unit in units {
            // Name, description, load state, active state, sub state, followed, object, ...
            let text = |at: usize| unit.list().get(at).and_then(Value::text);
            let (Some(name), Some(load), Some(state), Some(object)) =
                (text(0), text(2), text(3), text(6))
            else {
                continue;
            };
            *summary.entry(state).or_default() += 1.0;
            let wanted = self.include.is_match(name) && !self.exclude.is_match(name);
            if wanted && load == "loaded" {
                let unit = Unit {
                    name,
                    state,
                    object,
                };
                self.unit(&mut bus, out, &unit, number);
            }
        }
        for (state, count) in summary {
            let help = "Summary of systemd unit states";
            out.gauge("node_systemd_units", help, &[("state", state)], count);
        }
        if number >= VERSION_WITH_STATE {
            let state = manager(&mut bus, "SystemState").map_err(failed("system state"))?;
            out.gauge(
                "node_systemd_system_running",
                "Whether the system is operational (see 'systemctl is-system-running')",
                &[],
                if state == "running" { 1.0 } else { 0.0 },
            );
        }
        Ok(())
    }

    /// What a unit does not answer is left out: it may have gone.
    fn unit(&self, bus: &mut Connection, out: &mut Page, unit: &Unit<'_>, version: f64) {
        let labels = [("name", unit.name)];
        let kind = unit.name.rsplit('.').next().unwrap_or_default();
        let mut ask = |interface: &str, property: &str| {
            let interface = format!("org.freedesktop.systemd1.{interface}");
            let value = bus.property(SERVICE, unit.object, &interface, property);
            value
                .inspect_err(
                    |e| tracing::debug!(unit = unit.name, property, err = %e, "no such property"),
                )
                .ok()
        };
        let typed = match kind {
            "service" => ask("Service", "Type"),
            "mount" => ask("Mount", "Type"),
            _ => None,
        };
        let typed = typed.as_ref().and_then(Value::text).unwrap_or_default();
        for state in STATES {
            out.gauge(
                "node_systemd_unit_state",
                "Systemd unit",
                &[labels[0], ("state", state), ("type", typed)],
                if state == unit.state { 1.0 } else { 0.0 },
            );
        }
        let mut number =
            |interface: &str, property: &str| ask(interface, property)?.number().map(|n| n as f64);
        if self.start_times {
            let entered = match unit.state {
                "active" => number("Unit", "ActiveEnterTimestamp"),
                _ => Some(0.0),
            };
            if let Some(microseconds) = entered {
                out.gauge(
                    "node_systemd_unit_start_time_seconds",
                    "Start time of the unit since unix epoch in seconds.",
                    &labels,
                    microseconds / 1e6,
                );
            }
        }
        if kind == "service"
            && self.restarts
            && let Some(count) = number("Service", "NRestarts")
        {
            let help = "Service unit count of Restart triggers";
            out.counter("node_systemd_service_restart_total", help, &labels, count);
        }
        if kind == "service" && self.tasks {
            for (property, name, help) in [
                (
                    "TasksCurrent",
                    "node_systemd_unit_tasks_current",
                    "Current number of tasks per Systemd unit",
                ),
                (
                    "TasksMax",
                    "node_systemd_unit_tasks_max",
                    "Maximum number of tasks per Systemd unit",
                ),
            ] {
                // The largest number means that there is no limit, or no accounting.
                if let Some(count) = number("Service", property).filter(|n| *n < u64::MAX as f64) {
                    out.gauge(name, help, &labels, count);
                }
            }
        }
        if kind == "timer"
            && version >= VERSION_WITH_STATE
            && let Some(microseconds) = number("Timer", "LastTriggerUSec")
        {
            out.gauge(
                "node_systemd_timer_last_trigger_seconds",
                "Seconds since epoch of last trigger.",
                &labels,
                microseconds / 1e6,
            );
        }
        if kind == "socket" {
            let (Some(accepted), Some(current)) = (
                number("Socket", "NAccepted"),
                number("Socket", "NConnections"),
            ) else {
                return;
            };
            out.counter(
                "node_systemd_socket_accepted_connections_total",
                "Total number of accepted socket connections",
                &labels,
                accepted,
            );
            out.gauge(
                "node_systemd_socket_current_connections",
                "Current number of socket connections",
                &labels,
                current,
            );
            // Since systemd 239.
            if let Some(refused) = number("Socket", "NRefused") {
                out.gauge(
                    "node_systemd_socket_refused_connections_total",
                    "Total number of refused socket connections",
                    &labels,
                    refused,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions() {
        assert_eq!(version("252.5-2~deb12u1"), Some(252.5));
        assert_eq!(version("v255"), Some(255.0));
        assert_eq!(version("12 systemd 239-4.el8"), Some(239.0));
        assert_eq!(version("256."), Some(256.0));
        assert_eq!(version("no"), None);
    }
}
