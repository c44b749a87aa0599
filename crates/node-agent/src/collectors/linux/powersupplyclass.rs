//! powersupplyclass: batteries and adapters of /sys/class/power_supply.

use service::Args;

use super::filter::pattern;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File, metric, divisor.
const VALUES: [(&str, &str, f64); 49] = [
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("cycle_count", "cyclecount", 1.0),
    ("online", "online", 1.0),
    ("present", "present", 1.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("current_boot", "current_boot", 1e6),
    ("current_max", "current_max", 1e6),
    ("current_now", "current_ampere", 1e6),
    ("energy_empty", "energy_empty", 1e6),
    ("energy_empty_design", "energy_empty_design", 1e6),
    ("energy_full", "energy_full", 1e6),
    ("energy_full_design", "energy_full_design", 1e6),
    ("energy_now", "energy_watthour", 1e6),
    ("voltage_boot", "voltage_boot", 1e6),
    ("voltage_max", "voltage_max", 1e6),
    ("voltage_max_design", "voltage_max_design", 1e6),
    ("voltage_min", "voltage_min", 1e6),
    ("voltage_min_design", "voltage_min_design", 1e6),
    ("voltage_now", "voltage_volt", 1e6),
    ("voltage_ocv", "voltage_ocv", 1e6),
    ("charge_control_limit", "charge_control_limit", 1e6),
    ("charge_control_limit_max", "charge_control_limit_max", 1e6),
    ("charge_counter", "charge_counter", 1e6),
    ("charge_empty", "charge_empty", 1e6),
    ("charge_empty_design", "charge_empty_design", 1e6),
    ("charge_full", "charge_full", 1e6),
    ("charge_full_design", "charge_full_design", 1e6),
    ("charge_now", "charge_ampere", 1e6),
    ("charge_term_current", "charge_term_current", 1e6),
    ("constant_charge_current", "constant_charge_current", 1e6),
    (
        "constant_charge_current_max",
        "constant_charge_current_max",
        1e6,
    ),
    ("constant_charge_voltage", "constant_charge_voltage", 1e6),
    (
        "constant_charge_voltage_max",
        "constant_charge_voltage_max",
        1e6,
    ),
    ("precharge_current", "precharge_current", 1e6),
    ("input_current_limit", "input_current_limit", 1e6),
    ("power_now", "power_watt", 1e6),
    ("temp", "temp_celsius", 10.0),
    ("temp_alert_max", "temp_alert_max_celsius", 10.0),
    ("temp_alert_min", "temp_alert_min_celsius", 10.0),
    ("temp_ambient", "temp_ambient_celsius", 10.0),
    ("temp_ambient_max", "temp_ambient_max_celsius", 10.0),
    ("temp_ambient_min", "temp_ambient_min_celsius", 10.0),
    ("temp_max", "temp_max_celsius", 10.0),
    ("temp_min", "temp_min_celsius", 10.0),
];

const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];

pub fn new(args: &Args) -> Result<Collector, String> {
    let ignored = pattern(args, "collector.powersupply.ignored-supplies")?;
    Ok(Box::new(move |files, out| {
        let class = files.paths.sys.join("class/power_supply");
        for supply in list(&class).map_err(CollectError::missing_is_no_data)? {
            if !ignored.as_ref().is_some_and(|i| i.is_match(&supply)) {
                collect(files, out, &supply);
            }
        }
        Outcome::Ok(())
    }))
}

fn collect(files: &mut Files, out: &mut Page, supply: &str) {
    let dir = files.paths.sys.join("class/power_supply").join(supply);
    for (file, metric, divisor) in VALUES {
        if let Some(value) = files.number(&dir.join(file)) {
            out.gauge(
                &format!("node_power_supply_{metric}"),
                &format!("{metric} value of /sys/class/power_supply/<power_supply>."),
                &[("power_supply", supply)],
                value / divisor,
            );
        }
    }
    let mut values = Vec::new();
    for file in TEXTS {
        if let Some(value) = files
            .value(&dir.join(file))
            .filter(|value| !value.is_empty())
        {
            values.push((file, value.to_owned()));
        }
    }
    let mut labels = vec![("power_supply", supply)];
    labels.extend(values.iter().map(|(label, value)| (*label, value.as_str())));
    out.gauge(
        "node_power_supply_info",
        "info of /sys/class/power_supply/<power_supply>.",
        &labels,
        1.0,
    );
}
