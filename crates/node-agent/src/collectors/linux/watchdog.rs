//! watchdog: watchdog timers of /sys/class/watchdog.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/watchdog");
    for name in list(&class).map_err(CollectError::missing_is_no_data)? {
        let dir = class.join(&name);
        let values = [
            ("access_cs0", ""),
            ("bootstatus", ""),
            ("fw_version", ""),
            ("nowayout", ""),
            ("pretimeout", "_seconds"),
            ("timeleft", "_seconds"),
            ("timeout", "_seconds"),
        ];
        for (file, unit) in values {
            if let Some(value) = files.number(&dir.join(file)) {
                out.gauge(
                    &format!("node_watchdog_{file}{unit}"),
                    &format!("Value of /sys/class/watchdog/<watchdog>/{file}"),
                    &[("name", &name)],
                    value,
                );
            }
        }
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        out.gauge(
            "node_watchdog_info",
            "Info of /sys/class/watchdog/<watchdog>",
            &[
                ("name", &name),
                ("options", &text("options")),
                ("identity", &text("identity")),
                ("state", &text("state")),
                ("status", &text("status")),
                ("pretimeout_governor", &text("pretimeout_governor")),
            ],
            1.0,
        );
    }
    Ok(())
}
