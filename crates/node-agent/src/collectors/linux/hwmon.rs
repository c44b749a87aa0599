//! hwmon: the sensors of /sys/class/hwmon.

use std::collections::BTreeMap;
use std::path::Path;

use model::MetricType::{Counter, Gauge};
use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// What is a sensor among the files of a chip.
const TYPES: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

struct HwMon {
    chips: Filter,
    sensors: Filter,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let hwmon = HwMon {
        chips: Filter::exclusive(
            args,
            "collector.hwmon.chip-exclude",
            "collector.hwmon.chip-include",
        )?,
        sensors: Filter::exclusive(
            args,
            "collector.hwmon.sensor-exclude",
            "collector.hwmon.sensor-include",
        )?,
    };
    Ok(Box::new(move |files, out| hwmon.collect(files, out)))
}

/// A name as part of a metric's: lower case, `_` for the rest, none at the ends.
fn clean(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let kept = lower.replace(
        |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':' || c == '_'),
        "_",
    );
    kept.trim_matches('_').to_owned()
}

/// `temp1_crit` is `temp`, `1`, `crit`.
fn explode(file: &str) -> Option<(&str, u64, &str)> {
    let digits = file.find(|c: char| c.is_ascii_digit());
    let Some(start) = digits else {
        // Without a number the property is whatever follows the longest type known.
        return match TYPES.iter().find(|kind| **kind == file) {
            Some(kind) => Some((kind, 0, "")),
            None => file
                .rsplit_once('_')
                .map(|(kind, property)| (kind, 0, property)),
        };
    };
    let (kind, rest) = file.split_at(start);
    if kind.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number = rest[..end].parse().ok()?;
    match &rest[end..] {
        "" => Some((kind, number, "")),
        property => Some((kind, number, property.strip_prefix('_')?)),
    }
}

/// The name of a chip: of its device, of its `name` file, or of its directory.
fn chip_name(files: &mut Files, dir: &Path) -> Option<String> {
    if let Ok(device) = dir.join("device").canonicalize() {
        let name = clean(&device.file_name()?.to_string_lossy());
        let kind = device.parent().and_then(Path::file_name);
        let kind = clean(&kind.unwrap_or_default().to_string_lossy());
        match (kind.is_empty(), name.is_empty()) {
            (false, false) => {
                // Several monitors of one device are told apart by their names.
                return Some(format!("{kind}_{name}"));
            }
            (true, false) => return Some(name),
            _ => {}
        }
    }
    if let Some(name) = files
        .value(&dir.join("name"))
        .map(clean)
        .filter(|n| !n.is_empty())
    {
        return Some(name);
    }
    let real = dir.canonicalize().ok()?;
    Some(clean(&real.file_name()?.to_string_lossy())).filter(|name| !name.is_empty())
}

impl HwMon {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let class = files.paths.sys.join("class/hwmon");
        let dirs: Vec<_> = list(&class)
            .map_err(CollectError::missing_is_no_data)?
            .into_iter()
            .map(|name| class.join(name))
            .filter(|dir| dir.is_dir())
            .collect();
        let named: Vec<_> = dirs
            .iter()
            .filter_map(|dir| Some((dir, chip_name(files, dir)?)))
            .collect();
        for (dir, name) in &named {
            let human = files
                .value(&dir.join("name"))
                .map(clean)
                .filter(|n| !n.is_empty());
            // Chips that share a device carry their own names behind it.
            let shared = named.iter().filter(|(_, other)| other == name).count() > 1;
            let chip = match &human {
                Some(human) if shared => format!("{name}_{human}"),
                _ => name.clone(),
            };
            if self.chips.ignored(&chip) {
                continue;
            }
            if let Some(human) = &human {
                out.gauge(
                    "node_hwmon_chip_names",
                    "Annotation metric for human-readable chip names",
                    &[("chip", &chip), ("chip_name", human)],
                    1.0,
                );
            }
            self.chip(files, out, dir, &chip);
        }
        Ok(())
    }

    fn chip(&self, files: &mut Files, out: &mut Page, dir: &Path, chip: &str) {
        let mut sensors: BTreeMap<String, (String, BTreeMap<String, String>)> = BTreeMap::new();
        for dir in [dir.to_owned(), dir.join("device")] {
            for file in list(&dir).unwrap_or_default() {
                let Some((kind, number, property)) = explode(&file) else {
                    continue;
                };
                if !TYPES.contains(&kind) {
                    continue;
                }
                let path = dir.join(&file);
                // Reading some sensors fails while they are off.
                if let Some(value) = files.value(&path) {
                    let entry = sensors.entry(format!("{kind}{number}"));
                    let entry = entry.or_insert_with(|| (kind.to_owned(), BTreeMap::new()));
                    entry.1.insert(property.to_owned(), value.to_owned());
                }
            }
        }
        for (sensor, (kind, data)) in &sensors {
            if self.sensors.ignored(&format!("{chip};{sensor}")) {
                continue;
            }
            if let Some(label) = data.get("label").filter(|label| !clean(label).is_empty()) {
                out.gauge(
                    "node_hwmon_sensor_label",
                    "Label for given chip and sensor",
                    &[("chip", chip), ("sensor", sensor), ("label", label)],
                    1.0,
                );
            }
            write(out, chip, sensor, kind, data);
        }
    }
}

fn write(out: &mut Page, chip: &str, sensor: &str, kind: &str, data: &BTreeMap<String, String>) {
    let labels = [("chip", chip), ("sensor", sensor)];
    let own = data.get("").map(String::as_str).unwrap_or_default();
    match kind {
        "beep_enable" => {
            let value = if own == "1" { 1.0 } else { 0.0 };
            out.gauge(
                "node_hwmon_beep_enabled",
                "Hardware beep enabled",
                &labels,
                value,
            );
            return;
        }
        "vrm" => {
            if let Ok(value) = own.parse() {
                out.gauge(
                    "node_hwmon_voltage_regulator_version",
                    "Hardware voltage regulator",
                    &labels,
                    value,
                );
            }
            return;
        }
        "update_interval" => {
            if let Ok(value) = own.parse::<f64>() {
                out.gauge(
                    "node_hwmon_update_interval_seconds",
                    "Hardware monitor update interval",
                    &labels,
                    value * 0.001,
                );
            }
            return;
        }
        _ => {}
    }
    for (element, value) in data {
        let Ok(value) = value.parse::<f64>() else {
            continue;
        };
        if element == "label" {
            continue;
        }
        let mut name = format!("node_hwmon_{kind}");
        if element == "input" {
            // The value itself, unless there is one without a property.
            if data.contains_key("") {
                name.push_str("_input");
            }
        } else if !element.is_empty() {
            name.push('_');
            name.push_str(&clean(element));
        }
        let element = element.as_str();
        let (suffix, help, factor, counter) = match (kind, element) {
            (_, "fault" | "alarm") => (
                "",
                format!("Hardware sensor {element} status ({kind})"),
                1.0,
                false,
            ),
            (_, "beep") => (
                "_enabled",
                "Hardware monitor sensor has beeping enabled".to_owned(),
                1.0,
                false,
            ),
            ("in" | "cpu", _) => (
                "_volts",
                format!("Hardware monitor for voltage ({element})"),
                0.001,
                false,
            ),
            ("temp", e) if e != "type" => (
                "_celsius",
                format!("Hardware monitor for temperature ({element})"),
                0.001,
                false,
            ),
            ("curr", _) => (
                "_amps",
                format!("Hardware monitor for current ({element})"),
                0.001,
                false,
            ),
            ("energy", _) => (
                "_joule_total",
                format!("Hardware monitor for joules used so far ({element})"),
                1e-6,
                true,
            ),
            ("power", "accuracy") => (
                "",
                "Hardware monitor power meter accuracy, as a ratio".to_owned(),
                1e-6,
                false,
            ),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => (
                "_seconds",
                format!("Hardware monitor power usage update interval ({element})"),
                0.001,
                false,
            ),
            ("power", _) => (
                "_watt",
                format!("Hardware monitor for power usage in watts ({element})"),
                1e-6,
                false,
            ),
            ("humidity", _) => (
                "",
                format!(
                    "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({element})"
                ),
                1e-6,
                false,
            ),
            ("fan", "input" | "min" | "max" | "target") => (
                "_rpm",
                format!("Hardware monitor for fan revolutions per minute ({element})"),
                1.0,
                false,
            ),
            ("freq", "input") => (
                "_freq_mhz",
                "Hardware monitor for GPU frequency in MHz".to_owned(),
                1e-6,
                false,
            ),
            _ => (
                "",
                format!("Hardware monitor {kind} element {element}"),
                1.0,
                false,
            ),
        };
        name.push_str(suffix);
        // Upstream divides by a million and multiplies by a thousandth: the last digit shows it.
        let value = if factor == 1e-6 {
            value / 1e6
        } else {
            value * factor
        };
        // The clock of a graphics chip is named by its label.
        let by_label = if kind == "freq" && element == "input" {
            data.get("label").map(|l| clean(l))
        } else {
            None
        };
        let labels = [
            ("chip", chip),
            ("sensor", by_label.as_deref().unwrap_or(sensor)),
        ];
        out.add(
            if counter { Counter } else { Gauge },
            &name,
            &help,
            &labels,
            value,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        assert_eq!(explode("temp1_crit_alarm"), Some(("temp", 1, "crit_alarm")));
        assert_eq!(explode("fan12"), Some(("fan", 12, "")));
        assert_eq!(explode("beep_enable"), Some(("beep_enable", 0, "")));
        assert_eq!(
            explode("in0_99999999999999999999"),
            Some(("in", 0, "99999999999999999999"))
        );
        assert_eq!(explode("temp99999999999999999999_input"), None);
        assert_eq!(explode("7_x"), None);
        assert_eq!(clean(" Asus WMI\n"), "asus_wmi");
    }
}
