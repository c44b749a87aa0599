//! pcidevice: devices of /sys/bus/pci, on demand with the names of pci.ids.

use std::collections::HashMap;
use std::path::Path;

use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

const STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];

/// File and metric, help, and what stands for a file that is not there.
const VALUES: [(&str, &str, Option<f64>); 8] = [
    (
        "max_link_width",
        "Value of maximum link's width (number of lanes)",
        Some(-1.0),
    ),
    (
        "current_link_width",
        "Value of current link's width (number of lanes)",
        Some(-1.0),
    ),
    (
        "d3cold_allowed",
        "Whether the PCIe device supports D3cold power state (0/1).",
        None,
    ),
    (
        "sriov_drivers_autoprobe",
        "Whether SR-IOV drivers autoprobe is enabled for the device (0/1).",
        Some(0.0),
    ),
    (
        "sriov_numvfs",
        "Number of Virtual Functions (VFs) currently enabled for SR-IOV.",
        Some(0.0),
    ),
    (
        "sriov_totalvfs",
        "Total number of Virtual Functions (VFs) supported by the device.",
        Some(0.0),
    ),
    (
        "sriov_vf_total_msix",
        "Total number of MSI-X vectors for Virtual Functions.",
        Some(0.0),
    ),
    (
        "numa_node",
        "NUMA node number for the PCI device. -1 indicates unknown or not available.",
        None,
    ),
];

/// Where distributions put the names.
const IDS_FILES: [&str; 4] = [
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
];

/// Names by keys: `C 01 08 02`, `1022`, `1022 1634`, `1022 1634 17aa 5095`.
type Names = HashMap<String, String>;

pub fn new(args: &Args) -> Result<Collector, String> {
    let given = args.str("collector.pcidevice.idsfile").to_owned();
    let names = match (args.bool("collector.pcidevice.names"), given.as_str()) {
        (false, _) => None,
        (true, "") => {
            let text = IDS_FILES.iter().find_map(|path| std::fs::read(path).ok());
            Some(parse_ids(&String::from_utf8_lossy(
                &text.unwrap_or_default(),
            )))
        }
        (true, path) => {
            let text = std::fs::read(path)
                .map_err(|e| format!("--collector.pcidevice.idsfile: {path}: {e}"))?;
            Some(parse_ids(&String::from_utf8_lossy(&text)))
        }
    };
    Ok(Box::new(move |files, out| {
        collect(files, out, names.as_ref())
    }))
}

fn parse_ids(text: &str) -> Names {
    let mut names = Names::new();
    // The keys of the lines that the current one is indented under.
    let mut above: [String; 2] = Default::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let depth = line.bytes().take_while(|b| *b == b'\t').count();
        let Some((id, name)) = line.trim_start().split_once("  ") else {
            continue;
        };
        let key = match depth {
            0 => id.to_owned(),
            1 | 2 => format!("{} {id}", above[depth - 1]),
            _ => continue,
        };
        if depth < 2 {
            above[depth].clone_from(&key);
        }
        names.insert(key, name.trim().to_owned());
    }
    names
}

/// `0000:45:00.0` as segment, bus, device, function.
fn location(name: &str) -> Option<[&str; 4]> {
    let (segment, rest) = name.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    Some([segment, bus, device, function])
}

/// Transfers a second of `8.0 GT/s PCIe`.
fn speed(text: &str) -> Option<f64> {
    Some(text.split(' ').next()?.parse::<f64>().ok()? * 1e9)
}

fn collect(files: &mut Files, out: &mut Page, names: Option<&Names>) -> Outcome {
    let root = files.paths.sys.join("bus/pci/devices");
    for name in list(&root).map_err(CollectError::missing_is_no_data)? {
        let Some([segment, bus, device, function]) = location(&name) else {
            continue;
        };
        let labels = [
            ("segment", segment),
            ("bus", bus),
            ("device", device),
            ("function", function),
        ];
        let dir = root.join(&name);
        info(files, out, &dir, labels, names);
        for (file, help, missing) in VALUES {
            // No node is no value.
            let value = files.number(&dir.join(file)).filter(|v| *v >= 0.0);
            if let Some(value) = value.or(missing) {
                out.gauge(&format!("node_pcidevice_{file}"), help, &labels, value);
            }
        }
        for (which, word) in [("max", "maximum"), ("current", "current")] {
            let found = files.value(&dir.join(format!("{which}_link_speed")));
            out.gauge(
                &format!("node_pcidevice_{which}_link_transfers_per_second"),
                &format!("Value of {word} link's transfers per second (T/s)"),
                &labels,
                found.and_then(speed).unwrap_or(-1.0),
            );
        }
        let state = files.value(&dir.join("power_state")).unwrap_or_default();
        for one in STATES.iter().filter(|_| !state.is_empty()) {
            out.gauge(
                "node_pcidevice_power_state",
                "PCIe device power state, one of: D0, D1, D2, D3hot, D3cold, unknown or error.",
                &[labels[0], labels[1], labels[2], labels[3], ("state", one)],
                if *one == state { 1.0 } else { 0.0 },
            );
        }
    }
    Ok(())
}

fn info(
    files: &mut Files,
    out: &mut Page,
    dir: &Path,
    location_labels: [(&str, &str); 4],
    names: Option<&Names>,
) {
    // The directory above the device's own is its bridge, or the root of the bus.
    let real = dir.canonicalize().unwrap_or_default();
    let parent = real
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default()
        .to_string_lossy();
    let parent = location(&parent).unwrap_or(["*"; 4]);
    let mut id = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
    let (class, vendor, device) = (id("class"), id("vendor"), id("device"));
    let (sub_vendor, sub_device) = (id("subsystem_vendor"), id("subsystem_device"));
    let revision = id("revision");
    let mut labels = location_labels.to_vec();
    labels.extend([
        ("parent_segment", parent[0]),
        ("parent_bus", parent[1]),
        ("parent_device", parent[2]),
        ("parent_function", parent[3]),
        ("class_id", class.as_str()),
        ("vendor_id", &vendor),
        ("device_id", &device),
        ("subsystem_vendor_id", &sub_vendor),
        ("subsystem_device_id", &sub_device),
        ("revision", &revision),
    ]);
    let found = names.map(|names| {
        let hex = |id: &str| id.strip_prefix("0x").unwrap_or(id).to_lowercase();
        let get = |key: String, id: &str| names.get(&key).cloned().unwrap_or_else(|| id.to_owned());
        let (v, d) = (hex(&vendor), hex(&device));
        let (sv, sd) = (hex(&sub_vendor), hex(&sub_device));
        let c = hex(&class);
        // Class, subclass and interface, the longest that has a name.
        let class_key = |parts: usize| {
            let ids: Vec<&str> = (0..parts).filter_map(|p| c.get(2 * p..2 * p + 2)).collect();
            names.get(&format!("C {}", ids.join(" "))).cloned()
        };
        let class_name = class_key(3)
            .or_else(|| class_key(2))
            .or_else(|| class_key(1));
        [
            ("class_name", class_name.unwrap_or_else(|| class.clone())),
            ("vendor_name", get(v.clone(), &vendor)),
            ("device_name", get(format!("{v} {d}"), &device)),
            ("subsystem_vendor_name", get(sv.clone(), &sub_vendor)),
            (
                "subsystem_device_name",
                get(format!("{v} {d} {sv} {sd}"), &sub_device),
            ),
        ]
    });
    let found = found.iter().flatten();
    labels.extend(found.map(|(label, name)| (*label, name.as_str())));
    out.gauge(
        "node_pcidevice_info",
        "Non-numeric data from /sys/bus/pci/devices/<location>, value is always 1.",
        &labels,
        1.0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_nested() {
        let names = parse_ids(
            "# x\nC 01  Storage\n\t08  NVM\n\t\t02  Express\n1022  AMD\n\t1634  Bridge\n\t\t17aa 5095  T540\n\t\t\tdeep  x\n",
        );
        assert_eq!(names["C 01 08 02"], "Express");
        assert_eq!(names["1022 1634 17aa 5095"], "T540");
        assert_eq!(names.len(), 6);
        assert_eq!(location("0000:45:00.1"), Some(["0000", "45", "00", "1"]));
        assert_eq!(location("pci0000:00"), None);
        assert_eq!(speed("16.0 GT/s PCIe"), Some(1.6e10));
    }
}
