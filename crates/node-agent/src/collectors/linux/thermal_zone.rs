//! thermal_zone: temperatures and cooling devices of /sys/class/thermal.

use super::{CollectError, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/thermal");
    for name in list(&class).map_err(CollectError::missing_is_no_data)? {
        let dir = class.join(&name);
        let kind = files
            .value(&dir.join("type"))
            .unwrap_or_default()
            .to_owned();
        if let Some(zone) = name.strip_prefix("thermal_zone") {
            // Zones that are off refuse to be read.
            if let Some(millis) = files.number(&dir.join("temp")) {
                out.gauge(
                    "node_thermal_zone_temp",
                    "Zone temperature in Celsius",
                    &[("zone", zone), ("type", &kind)],
                    millis / 1000.0,
                );
            }
        } else if let Some(device) = name.strip_prefix("cooling_device") {
            let labels = [("name", device), ("type", kind.as_str())];
            let metrics = [
                ("cur_state", "Current throttle state of the cooling device"),
                ("max_state", "Maximum throttle state of the cooling device"),
            ];
            for (file, help) in metrics {
                if let Some(state) = files.number(&dir.join(file)) {
                    out.gauge(&format!("node_cooling_device_{file}"), help, &labels, state);
                }
            }
        }
    }
    Ok(())
}
