//! netclass: properties of /sys/class/net.
//!
//! Each property is a file, and opening them all is the dearest part of a scrape. Most are in what
//! netlink says of a device too, in one answer for all of them; where that is about the same devices
//! (and not those of another network namespace), only the rest is read from files.

use std::collections::HashMap;
use std::path::Path;

use golang::regexp::Regexp;
use model::MetricType::{self, Counter, Gauge};
use service::Args;

use super::filter::pattern;
use super::{CollectError, Collector, Outcome};
use crate::files::{Dir, Files, list};
use crate::netlink::{self, Link, Socket, attributes, hardware_address, u32_at};
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

/// IF_OPER_*, as sysfs spells them.
const STATES: [&str; 7] = [
    "unknown",
    "notpresent",
    "down",
    "lowerlayerdown",
    "testing",
    "dormant",
    "up",
];

struct NetClass {
    ignored: Option<Regexp>,
    ignore_invalid_speed: bool,
    /// Metric name and help of [`PROPERTIES`].
    names: Vec<(String, String)>,
}

pub fn new(args: &Args) -> Result<Collector, String> {
    if args.bool("collector.netclass.netlink") {
        tracing::info!("--collector.netclass.netlink: netlink is asked wherever it can answer");
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

/// What netlink says of a device, as the files would.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    index: u32,
    /// In the order of [`PROPERTIES`]; those that only a file has are `None`.
    numbers: [Option<f64>; 16],
    state: &'static str,
    address: String,
    broadcast: String,
    alias: String,
}

/// Properties that netlink does not tell, or not in the same way.
fn is_file_only(property: &str) -> bool {
    matches!(
        property,
        "addr_assign_type" | "dev_id" | "flags" | "name_assign_type"
    )
}

fn answer(link: &Link<'_>) -> Option<(String, Answer)> {
    const UP: u32 = 1;
    const DORMANT: u32 = 1 << 17;
    let mut name = None;
    let mut answer = Answer {
        index: link.index,
        state: STATES[0],
        ..Answer::default()
    };
    // Files about the carrier cannot be read while the device is down.
    let is_up = link.flags & UP != 0;
    let mut set = |property: &str, value: u32| {
        let at = PROPERTIES.iter().position(|p| p.0 == property);
        if let Some(number) = at.and_then(|at| answer.numbers.get_mut(at)) {
            *number = Some(value.into());
        }
    };
    set("ifindex", link.index);
    set("iflink", link.index);
    set("type", link.kind.into());
    if is_up {
        set("dormant", u32::from(link.flags & DORMANT != 0));
    }
    for (kind, value) in attributes(link.attributes) {
        let number = u32_at(value, 0).or(value.first().map(|b| u32::from(*b)));
        let Some(number) = number else { continue };
        match kind {
            4 => set("mtu", number),
            5 => set("iflink", number),
            13 => set("tx_queue_len", number),
            17 => set("link_mode", number),
            27 => set("netdev_group", number),
            33 if is_up => set("carrier", number),
            35 => set("carrier_changes", number),
            47 => set("carrier_up_count", number),
            48 => set("carrier_down_count", number),
            _ => {}
        }
    }
    for (kind, value) in attributes(link.attributes) {
        match kind {
            1 => answer.address = hardware_address(value),
            2 => answer.broadcast = hardware_address(value),
            netlink::IFLA_NAME => name = Some(netlink::text(value)),
            16 => {
                let state = value.first().map_or(0, |b| usize::from(*b));
                answer.state = STATES.get(state).copied().unwrap_or(STATES[0]);
            }
            20 => answer.alias = netlink::text(value).trim().to_owned(),
            _ => {}
        }
    }
    Some((name?, answer))
}

/// Netlink's answers, if they are about the devices in `class`: the names are the same, and the
/// hardware address and number of one are.
fn asked(files: &mut Files, class: &Path, names: &[String]) -> HashMap<String, Answer> {
    let ask = || -> std::io::Result<HashMap<String, Answer>> {
        let mut answers = HashMap::new();
        netlink::links(&mut Socket::route()?, &mut |link| {
            answers.extend(answer(&link));
        })?;
        Ok(answers)
    };
    let answers = ask().unwrap_or_default();
    let has_address = |a: &Answer| a.address.bytes().any(|b| !matches!(b, b'0' | b':'));
    let probe = names
        .iter()
        .find_map(|name| Some((name, answers.get(name).filter(|a| has_address(a))?)));
    let is_same = probe.is_some_and(|(name, answer)| {
        let dir = class.join(name);
        let is_known = |name: &String| answers.contains_key(name) || !class.join(name).is_dir();
        names.iter().all(is_known)
            && answers.keys().all(|name| names.contains(name))
            && files.value(&dir.join("address")) == Some(answer.address.as_str())
            && files.number(&dir.join("ifindex")) == Some(answer.index.into())
    });
    if is_same { answers } else { HashMap::new() }
}

impl NetClass {
    fn collect(&self, files: &mut Files, out: &mut Page) -> Outcome {
        let class = files.paths.sys.join("class/net");
        let names = list(&class).map_err(CollectError::missing_is_no_data)?;
        let answers = asked(files, &class, &names);
        for device in &names {
            if self.ignored.as_ref().is_some_and(|i| i.is_match(device)) {
                continue;
            }
            // Files such as bonding_masters are no devices.
            if let Ok(dir) = Dir::open(&class.join(device)) {
                self.device(files, out, device, &dir, answers.get(device));
            }
        }
        Ok(())
    }

    fn device(
        &self,
        files: &mut Files,
        out: &mut Page,
        device: &str,
        dir: &Dir,
        answer: Option<&Answer>,
    ) {
        let labels = [("device", device)];
        let mut up_flag = None;
        for (at, ((file, _, kind), (name, help))) in PROPERTIES.iter().zip(&self.names).enumerate()
        {
            let value = match answer {
                Some(answer) if !is_file_only(file) => answer.numbers[at],
                _ => files.number_in(dir, file),
            };
            // Reading fails for what a device does not have.
            let Some(value) = value else {
                continue;
            };
            if *file == "flags" {
                up_flag = Some(value as i64 & 1 == 1);
            }
            out.add(*kind, name, help, &labels, value);
        }
        if let Some(megabits) = files.number_in(dir, "speed")
            && (megabits >= 0.0 || !self.ignore_invalid_speed)
        {
            out.gauge(
                "node_network_speed_bytes",
                "Network device property: speed_bytes",
                &labels,
                (megabits * 1000.0 * 1000.0 / 8.0).trunc(),
            );
        }
        let mut text = |file: &str| files.value_in(dir, file).unwrap_or_default().to_owned();
        let duplex = text("duplex");
        let [state, address, broadcast, alias] = match answer {
            Some(answer) => [
                answer.state.to_owned(),
                answer.address.clone(),
                answer.broadcast.clone(),
                answer.alias.clone(),
            ],
            None => ["operstate", "address", "broadcast", "ifalias"].map(text),
        };
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
                ("address", &address),
                ("broadcast", &broadcast),
                ("duplex", &duplex),
                ("operstate", &state),
                ("adminstate", admin),
                ("ifalias", &alias),
            ],
            1.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Paths;

    fn files() -> Files {
        Files::new(Paths {
            proc: "/proc".into(),
            sys: "/sys".into(),
            root: "/".into(),
            udev: "/run/udev/data".into(),
        })
    }

    /// Whatever the machine that runs the tests has, both ways say the same of it.
    #[test]
    fn netlink_says_what_the_files_say() {
        let (mut files, class) = (files(), Path::new("/sys/class/net"));
        let names = list(class).unwrap();
        let answers = asked(&mut files, class, &names);
        for (name, answer) in &answers {
            let dir = Dir::open(&class.join(name)).unwrap();
            for (at, (file, ..)) in PROPERTIES.iter().enumerate() {
                if !is_file_only(file) {
                    let value = files.number_in(&dir, file);
                    assert_eq!(answer.numbers[at], value, "{file} of {name}");
                }
            }
            for (file, value) in [
                ("operstate", answer.state),
                ("address", &answer.address),
                ("broadcast", &answer.broadcast),
                ("ifalias", &answer.alias),
            ] {
                let found = files.value_in(&dir, file).unwrap_or_default();
                assert_eq!(found, value, "{file} of {name}");
            }
        }
    }

    #[test]
    fn devices_of_another_namespace_are_read_from_files() {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("class/net");
        std::fs::create_dir_all(class.join("lo")).unwrap();
        let names = vec!["lo".to_owned()];
        assert_eq!(asked(&mut files(), &class, &names), HashMap::new());
    }
}
