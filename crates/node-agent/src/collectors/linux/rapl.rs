//! rapl: energy counters of /sys/class/powercap.

use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

pub fn new(args: &Args) -> Result<Collector, String> {
    let label = args.bool("collector.rapl.enable-zone-label");
    Ok(Box::new(move |files, out| collect(files, out, label)))
}

/// `package-0` is zone `package`, index `0`; a zone without a number has index 0.
fn zone(name: &str) -> (&str, &str) {
    match name.rsplit_once('-') {
        Some((zone, index)) if !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) => {
            (zone, index)
        }
        _ => (name, "0"),
    }
}

fn collect(files: &mut Files, out: &mut Page, label: bool) -> Outcome {
    let class = files.paths.sys.join("class/powercap");
    for entry in list(&class).map_err(CollectError::missing_is_no_data)? {
        let dir = class.join(&entry);
        // Control types have no name and no counter; reading needs root.
        let Some(name) = files.value(&dir.join("name")).map(str::to_owned) else {
            continue;
        };
        let Some(micros) = files.number(&dir.join("energy_uj")) else {
            continue;
        };
        let (zone, index) = zone(&name);
        let path = dir.to_string_lossy();
        let joules = micros / 1_000_000.0;
        if label {
            out.counter(
                "node_rapl_joules_total",
                "Current RAPL value in joules",
                &[("index", index), ("path", &path), ("rapl_zone", zone)],
                joules,
            );
        } else {
            let metric = zone.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            out.counter(
                &format!("node_rapl_{metric}_joules_total"),
                &format!("Current RAPL {zone} value in joules"),
                &[("index", index), ("path", &path)],
                joules,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn zones() {
        assert_eq!(super::zone("package-10"), ("package", "10"));
        assert_eq!(super::zone("dram"), ("dram", "0"));
        assert_eq!(super::zone("intel-rapl"), ("intel-rapl", "0"));
    }
}
