//! dmi: the identity of the machine, of /sys/class/dmi/id.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// Label and file; a label is there if its file can be read.
const FIELDS: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let dir = files.paths.sys.join("class/dmi/id");
    if !dir.is_dir() {
        return Err(CollectError::NoData);
    }
    let mut values = Vec::new();
    for (label, file) in FIELDS {
        if let Some(value) = files.value(&dir.join(file)) {
            values.push((label, value.to_owned()));
        }
    }
    let labels: Vec<(&str, &str)> = values
        .iter()
        .map(|(label, value)| (*label, value.as_str()))
        .collect();
    out.gauge(
        "node_dmi_info",
        "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, product_sku, product_uuid, product_version, system_vendor if provided by DMI.",
        &labels,
        1.0,
    );
    Ok(())
}
