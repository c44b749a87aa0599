//! drm: AMD graphics cards, of /sys/class/drm.

use super::Outcome;
use crate::files::{Files, list};
use crate::page::Page;

/// File of the device, metric behind `node_drm_`, help.
const NUMBERS: [(&str, &str, &str); 7] = [
    (
        "gpu_busy_percent",
        "gpu_busy_percent",
        "How busy the GPU is as a percentage.",
    ),
    (
        "mem_info_gtt_total",
        "memory_gtt_size_bytes",
        "The size of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_gtt_used",
        "memory_gtt_used_bytes",
        "The used amount of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_vis_vram_total",
        "memory_vis_vram_size_bytes",
        "The size of visible VRAM in bytes.",
    ),
    (
        "mem_info_vis_vram_used",
        "memory_vis_vram_used_bytes",
        "The used amount of visible VRAM in bytes.",
    ),
    (
        "mem_info_vram_total",
        "memory_vram_size_bytes",
        "The size of VRAM in bytes.",
    ),
    (
        "mem_info_vram_used",
        "memory_vram_used_bytes",
        "The used amount of VRAM in bytes.",
    ),
];

/// `card0` to `card9`; `card0-HDMI-A-1` is a plug of one.
fn is_card(name: &str) -> bool {
    name.strip_prefix("card")
        .is_some_and(|id| id.len() == 1 && id.as_bytes()[0].is_ascii_digit())
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let class = files.paths.sys.join("class/drm");
    let names = match list(&class) {
        Err(error) if error.is_missing() => return Ok(()),
        names => names?,
    };
    for card in names.iter().filter(|name| is_card(name)) {
        let device = class.join(card).join("device");
        let uevent = files.read(&device.join("uevent"))?;
        if !uevent.contains("DRIVER=amdgpu") {
            continue;
        }
        let mut text = |file: &str| {
            let value = files.value(&device.join(file));
            value.unwrap_or_default().to_owned()
        };
        out.gauge(
            "node_drm_card_info",
            "Card information",
            &[
                ("card", card),
                ("memory_vendor", &text("mem_info_vram_vendor")),
                (
                    "power_performance_level",
                    &text("power_dpm_force_performance_level"),
                ),
                ("unique_id", &text("unique_id")),
                ("vendor", "amd"),
            ],
            1.0,
        );
        for (file, metric, help) in NUMBERS {
            let value = text(file).parse().unwrap_or(0.0);
            out.gauge(
                &format!("node_drm_{metric}"),
                help,
                &[("card", card)],
                value,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cards() {
        assert!(super::is_card("card0"));
        assert!(
            !super::is_card("card0-HDMI-A-1")
                && !super::is_card("card")
                && !super::is_card("renderD128")
        );
    }
}
