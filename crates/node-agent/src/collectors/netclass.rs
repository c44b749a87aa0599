//! netclass: properties of /sys/class/net.

use std::path::Path;

use golang::regexp::Regexp;
use model::MetricType::{self, Counter, Gauge};
use service::Args;

use super::filter::pattern;
use super::{CollectError, Collector, Outcome};
use crate::files::{Files, list};
use crate::page::Page;

/// File and metric of the plain properties.
const PROPERTIES: [(&str, &str, MetricType); 16] = [
    ("addr_assign_type", "address_assign_type", Gauge),
    ("carrier", "carrier", Gauge),
    ("carrier_changes", "carrier_changes_total", Counter),
    ("carrier_up_count", "carrier_up_changes_total", Counter),
    ("carrier_down_count", "carrier_down_changes_total", Counter),
    ("dev_id", "device_id", Gauge),
    ("dormant", "dormant", Gauge),
    ("flags", "flags", Gauge),
    ("ifindex", "iface_id", Gauge),
    ("iflink", "iface_link", Gauge),
    ("link_mode", "iface_link_mode", Gauge),
    ("mtu", "mtu_bytes", Gauge),
    ("name_assign_type", "name_assign_type", Gauge),
    ("netdev_group", "net_dev_group", Gauge),
    ("tx_queue_len", "transmit_queue_length", Gauge),
    ("type", "protocol_type", Gauge),
];

struct NetClass {
    ignored: Option<Regexp>,
    ignore_invalid_speed: bool,
    /// Metric name and help of [`PROPERTIES`].
    names: Vec<(String, String)>,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    if args.bool("collector.netclass.netlink") {
        tracing::info!("--collector.netclass.netlink: the same values are read from sysfs");
    }
    let names = PROPERTIES.iter().map(|(_, name, _)| {
        (
            format!("node_network_{name}"),
            format!("Network device property: {name}"),
        )
    });
    let netclass = NetClass {
        ignored: pattern(args, "collector.netclass.ignored-devices")?,
        ignore_invalid_speed: args.bool("collector.netclass.ignore-invalid-speed"),
        names: names.collect(),
    };
    Ok(Box::new(move |files, out| netclass.collect(files, out)))
}

impl NetClass {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let class = files.paths.sys.join("class/net");
        for device in list(&class).map_err(CollectError::missing_is_no_data)? {
            let dir = class.join(&device);
            // Files such as bonding_masters are no devices.
            if self.ignored.as_ref().is_some_and(|i| i.is_match(&device)) || !dir.is_dir() {
                continue;
            }
            self.device(files, out, &device, &dir);
        }
        Ok(())
    }

    fn device(&self, files: &mut Files, out: &mut Page, device: &str, dir: &Path) {
        let labels = [("device", device)];
        let mut up_flag = None;
        for ((file, _, kind), (name, help)) in PROPERTIES.iter().zip(&self.names) {
            // Reading fails for what a device does not have.
            let Some(value) = files.number(&dir.join(file)) else {
                continue;
            };
            if *file == "flags" {
                up_flag = Some(value as i64 & 1 == 1);
            }
            out.add(*kind, name, help, &labels, value);
        }
        if let Some(megabits) = files.number(&dir.join("speed"))
            && (megabits >= 0.0 || !self.ignore_invalid_speed)
        {
            out.gauge(
                "node_network_speed_bytes",
                "Network device property: speed_bytes",
                &labels,
                (megabits * 1000.0 * 1000.0 / 8.0).trunc(),
            );
        }
        let mut text = |file: &str| files.value(&dir.join(file)).unwrap_or_default().to_owned();
        let state = text("operstate");
        out.gauge(
            "node_network_up",
            "Value is 1 if operstate is 'up', 0 otherwise.",
            &labels,
            if state == "up" { 1.0 } else { 0.0 },
        );
        let admin = match up_flag {
            None => "unknown",
            Some(true) => "up",
            Some(false) => "down",
        };
        out.gauge(
            "node_network_info",
            "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
            &[
                ("device", device),
                ("address", &text("address")),
                ("broadcast", &text("broadcast")),
                ("duplex", &text("duplex")),
                ("operstate", &state),
                ("adminstate", admin),
                ("ifalias", &text("ifalias")),
            ],
            1.0,
        );
    }
}
