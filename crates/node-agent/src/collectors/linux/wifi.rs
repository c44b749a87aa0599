//! wifi: wireless interfaces and their stations, asked over netlink (nl80211).

use std::path::Path;

use base64::Engine;
use model::MetricType::{self, Counter, Gauge};
use serde_json::Value as Json;
use service::Args;

use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::netlink::{
    self, Socket, attribute, attributes, hardware_address, u16_at, u32_at, u64_at,
};
use crate::page::Page;

/// Metric behind `node_wifi_station_` and help, in the order of [`Station::values`].
const STATION: [(&str, &str, MetricType); 12] = [
    (
        "connected_seconds_total",
        "The total number of seconds a station has been connected to an access point.",
        Counter,
    ),
    (
        "inactive_seconds",
        "The number of seconds since any wireless activity has occurred on a station.",
        Gauge,
    ),
    (
        "receive_bits_per_second",
        "The current WiFi receive bitrate of a station, in bits per second.",
        Gauge,
    ),
    (
        "transmit_bits_per_second",
        "The current WiFi transmit bitrate of a station, in bits per second.",
        Gauge,
    ),
    (
        "receive_bytes_total",
        "The total number of bytes received by a WiFi station.",
        Counter,
    ),
    (
        "transmit_bytes_total",
        "The total number of bytes transmitted by a WiFi station.",
        Counter,
    ),
    (
        "signal_dbm",
        "The current WiFi signal strength, in decibel-milliwatts (dBm).",
        Gauge,
    ),
    (
        "received_packets_total",
        "The total number of packets received by a station.",
        Counter,
    ),
    (
        "transmitted_packets_total",
        "The total number of packets transmitted by a station.",
        Counter,
    ),
    (
        "transmit_retries_total",
        "The total number of times a station has had to retry while sending a packet.",
        Counter,
    ),
    (
        "transmit_failed_total",
        "The total number of times a station has failed to send a packet.",
        Counter,
    ),
    (
        "beacon_loss_total",
        "The total number of times a station has detected a beacon loss.",
        Counter,
    ),
];

#[derive(Debug, Default, PartialEq)]
struct Interface {
    index: u32,
    name: String,
    megahertz: f64,
}

/// What the interface is connected to.
#[derive(Debug, Default, PartialEq)]
struct Network {
    bssid: String,
    ssid: String,
    status: u32,
}

#[derive(Debug, Default, PartialEq)]
struct Station {
    address: String,
    values: [f64; 12],
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let fixtures = args.str("collector.wifi.fixtures").to_owned();
    Ok(Box::new(move |files, out| {
        if fixtures.is_empty() {
            from_kernel(out)
        } else {
            from_files(files, out, Path::new(&fixtures))
        }
    }))
}

fn write(
    out: &mut Page,
    interface: &Interface,
    network: Option<Network>,
    stations: Option<Vec<Station>>,
) {
    let device = ("device", interface.name.as_str());
    out.gauge(
        "node_wifi_interface_frequency_hertz",
        "The current frequency a WiFi interface is operating at, in hertz.",
        &[device],
        interface.megahertz * 1000.0 * 1000.0,
    );
    if let Some(network) = network {
        let mode = match network.status {
            0 | 1 => "client",
            2 => "ad-hoc",
            _ => "unknown",
        };
        out.gauge(
            "node_wifi_station_info",
            "Labeled WiFi interface station information as provided by the operating system.",
            &[
                device,
                ("bssid", &network.bssid),
                ("ssid", &network.ssid),
                ("mode", mode),
            ],
            1.0,
        );
    }
    for station in stations.unwrap_or_default() {
        let labels = [device, ("mac_address", station.address.as_str())];
        for ((name, help, kind), value) in STATION.iter().zip(station.values) {
            let name = format!("node_wifi_station_{name}");
            out.add(*kind, &name, help, &labels, value);
        }
    }
}

/// nl80211: commands, attributes of a message, and of what is nested in it.
mod nl80211 {
    pub const GET_INTERFACE: u8 = 5;
    pub const GET_STATION: u8 = 17;
    pub const GET_SCAN: u8 = 32;
    pub const INDEX: u16 = 3;
    pub const NAME: u16 = 4;
    pub const ADDRESS: u16 = 6;
    pub const STATION: u16 = 21;
    pub const FREQUENCY: u16 = 38;
    pub const NETWORK: u16 = 47;
    pub const NETWORK_BSSID: u16 = 1;
    pub const NETWORK_ELEMENTS: u16 = 6;
    pub const NETWORK_STATUS: u16 = 9;
    pub const RATE_16: u16 = 1;
    pub const RATE_32: u16 = 5;
}

/// A conversation with the kernel's nl80211.
struct Kernel {
    socket: Socket,
    family: u16,
}

impl Kernel {
    fn open() -> std::io::Result<Kernel> {
        const CONTROL: u16 = 16;
        const GET_FAMILY: u8 = 3;
        const FAMILY_ID: u16 = 1;
        const FAMILY_NAME: u16 = 2;
        let mut socket = Socket::generic()?;
        let mut request = vec![GET_FAMILY, 1, 0, 0];
        netlink::push_attribute(&mut request, FAMILY_NAME, b"nl80211\0");
        let mut family = None;
        socket.ask(CONTROL, &request, &mut |answer| {
            let id = answer.get(4..).and_then(|rest| attribute(rest, FAMILY_ID));
            family = family.or(id.and_then(|id| u16_at(id, 0)));
        })?;
        match family {
            Some(family) => Ok(Kernel { socket, family }),
            None => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn dump<T>(
        &mut self,
        command: u8,
        interface: Option<u32>,
        parse: fn(&[u8]) -> Option<T>,
    ) -> std::io::Result<Vec<T>> {
        let mut request = vec![command, 0, 0, 0];
        if let Some(index) = interface {
            netlink::push_attribute(&mut request, nl80211::INDEX, &index.to_ne_bytes());
        }
        let mut found = Vec::new();
        self.socket.dump(self.family, &request, &mut |answer| {
            found.extend(answer.get(4..).and_then(parse));
        })?;
        Ok(found)
    }
}

fn parse_interface(message: &[u8]) -> Option<Interface> {
    let number = |kind| attribute(message, kind).and_then(|value| u32_at(value, 0));
    Some(Interface {
        index: number(nl80211::INDEX)?,
        // Some virtual devices have none.
        name: netlink::text(attribute(message, nl80211::NAME)?),
        megahertz: number(nl80211::FREQUENCY).unwrap_or_default().into(),
    })
}

/// The network that the interface takes part in: the one with a status.
fn parse_network(message: &[u8]) -> Option<Network> {
    let network = attribute(message, nl80211::NETWORK)?;
    let status = u32_at(attribute(network, nl80211::NETWORK_STATUS)?, 0)?;
    let bssid = attribute(network, nl80211::NETWORK_BSSID).unwrap_or_default();
    let elements = attribute(network, nl80211::NETWORK_ELEMENTS).unwrap_or_default();
    Some(Network {
        bssid: hardware_address(bssid),
        ssid: ssid(elements),
        status,
    })
}

/// Information elements: number, length, value; number 0 is the name of the network.
fn ssid(mut elements: &[u8]) -> String {
    while let [number, length, rest @ ..] = elements {
        let Some((value, others)) = rest.split_at_checked(usize::from(*length)) else {
            break;
        };
        if *number == 0 {
            return String::from_utf8_lossy(value).into_owned();
        }
        elements = others;
    }
    String::new()
}

fn parse_station(message: &[u8]) -> Option<Station> {
    let info = attribute(message, nl80211::STATION)?;
    let mut values = [0.0; 12];
    for (kind, value) in attributes(info) {
        let small = f64::from(u32_at(value, 0).unwrap_or_default());
        match kind {
            16 => values[0] = small,
            1 => values[1] = small / 1000.0,
            14 => values[2] = bits_per_second(value),
            8 => values[3] = bits_per_second(value),
            // The counter of 64 bits comes later and replaces the one of 32.
            2 | 23 => values[4] = u64_at(value, 0).map_or(small, |n| n as f64),
            3 | 24 => values[5] = u64_at(value, 0).map_or(small, |n| n as f64),
            7 => values[6] = value.first().map_or(0.0, |b| f64::from(*b as i8)),
            9 => values[7] = small,
            10 => values[8] = small,
            11 => values[9] = small,
            12 => values[10] = small,
            18 => values[11] = small,
            _ => {}
        }
    }
    Some(Station {
        address: hardware_address(attribute(message, nl80211::ADDRESS)?),
        values,
    })
}

/// A rate is counted in 100 kbit/s.
fn bits_per_second(rate: &[u8]) -> f64 {
    let long = attribute(rate, nl80211::RATE_32).and_then(|value| u32_at(value, 0));
    let short = || attribute(rate, nl80211::RATE_16).and_then(|value| u16_at(value, 0));
    let units = long.unwrap_or_else(|| short().unwrap_or_default().into());
    f64::from(units) * 100_000.0
}

fn from_kernel(out: &mut Page) -> Outcome {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let failed = |what: &str, error: std::io::Error| {
        CollectError::Other(format!("failed to retrieve {what}: {error}"))
    };
    let mut kernel = match Kernel::open() {
        // The host has no wireless devices, or we may not ask.
        Err(e) if matches!(e.kind(), NotFound | PermissionDenied) => {
            return Err(CollectError::NoData);
        }
        kernel => kernel.map_err(|e| failed("the nl80211 family", e))?,
    };
    let interfaces = kernel
        .dump(nl80211::GET_INTERFACE, None, parse_interface)
        .map_err(|e| failed("wifi interfaces", e))?;
    for interface in interfaces {
        let index = Some(interface.index);
        let mut networks = kernel
            .dump(nl80211::GET_SCAN, index, parse_network)
            .map_err(|e| failed("BSS", e))?;
        let stations = kernel
            .dump(nl80211::GET_STATION, index, parse_station)
            .map_err(|e| failed("station info", e))?;
        write(out, &interface, networks.pop(), Some(stations));
    }
    Ok(())
}

/// `--collector.wifi.fixtures`: what the kernel would say, as JSON. Durations are in nanoseconds,
/// addresses in base64.
fn from_files(files: &mut Files, out: &mut Page, dir: &Path) -> Outcome {
    let mut load = |name: &str| -> Result<Json, CollectError> {
        let path = dir.join(name);
        let text = files.read(&path)?;
        serde_json::from_str(text)
            .map_err(|e| CollectError::Other(format!("{}: {e}", path.display())))
    };
    let address = |json: &Json| {
        let text = json.as_str().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        hardware_address(&bytes.unwrap_or_default())
    };
    for json in load("interfaces.json")?.as_array().into_iter().flatten() {
        let Some(name) = json["name"].as_str() else {
            continue;
        };
        let interface = Interface {
            index: 0,
            name: name.to_owned(),
            megahertz: json["frequency"].as_f64().unwrap_or(0.0),
        };
        let network = load(&format!("{name}/bss.json")).ok().map(|json| Network {
            bssid: address(&json["bssid"]),
            ssid: json["ssid"].as_str().unwrap_or_default().to_owned(),
            status: json["status"].as_u64().unwrap_or_default() as u32,
        });
        let station = |json: &Json| {
            let number = |key: &str| json[key].as_f64().unwrap_or(0.0);
            Station {
                address: address(&json["hardwareaddr"]),
                values: [
                    number("connected") / 1e9,
                    number("inactive") / 1e9,
                    number("receivebitrate"),
                    number("transmitbitrate"),
                    number("receivedbytes"),
                    number("transmittedbytes"),
                    number("signal"),
                    number("receivedpackets"),
                    number("transmittedpackets"),
                    number("transmitretries"),
                    number("transmitfailed"),
                    number("beaconloss"),
                ],
            }
        };
        let stations = load(&format!("{name}/stationinfo.json")).ok();
        let stations =
            stations.map(|json| json.as_array().into_iter().flatten().map(station).collect());
        write(out, &interface, network, stations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::push_attribute;

    #[test]
    fn messages_of_the_kernel() {
        let mut message = Vec::new();
        push_attribute(&mut message, nl80211::INDEX, &4u32.to_ne_bytes());
        assert_eq!(parse_interface(&message), None);
        push_attribute(&mut message, nl80211::NAME, b"wlan0\0");
        push_attribute(&mut message, nl80211::FREQUENCY, &2412u32.to_ne_bytes());
        let interface = parse_interface(&message).unwrap();
        assert_eq!((interface.index, interface.name.as_str()), (4, "wlan0"));
        assert_eq!(interface.megahertz, 2412.0);

        let mut network = Vec::new();
        push_attribute(&mut network, 1, &[0, 0x11, 0x22, 0x33, 0x44, 0x55]);
        push_attribute(&mut network, 6, b"\x01\x01x\x00\x04Home\x05");
        let mut message = Vec::new();
        push_attribute(&mut message, nl80211::NETWORK, &network);
        assert_eq!(parse_network(&message), None, "only seen, not joined");
        push_attribute(&mut network, 9, &1u32.to_ne_bytes());
        let mut message = Vec::new();
        push_attribute(&mut message, nl80211::NETWORK, &network);
        let network = parse_network(&message).unwrap();
        assert_eq!((network.ssid.as_str(), network.status), ("Home", 1));
        assert_eq!(network.bssid, "00:11:22:33:44:55");

        let mut rate = Vec::new();
        push_attribute(&mut rate, 1, &540u16.to_ne_bytes());
        let mut info = Vec::new();
        push_attribute(&mut info, 1, &1500u32.to_ne_bytes());
        push_attribute(&mut info, 2, &7u32.to_ne_bytes());
        push_attribute(&mut info, 23, &(1u64 << 40).to_ne_bytes());
        push_attribute(&mut info, 7, &[(-52i8) as u8]);
        push_attribute(&mut info, 8, &rate);
        let mut message = Vec::new();
        push_attribute(&mut message, nl80211::ADDRESS, &[1, 2, 3, 4, 5, 6]);
        push_attribute(&mut message, nl80211::STATION, &info);
        let station = parse_station(&message).unwrap();
        assert_eq!(station.address, "01:02:03:04:05:06");
        assert_eq!(station.values[1], 1.5);
        assert_eq!(station.values[3], 54e6);
        assert_eq!(station.values[4], (1u64 << 40) as f64);
        assert_eq!(station.values[6], -52.0);
        for cut in 0..message.len() {
            let _ = parse_station(&message[..cut]);
        }
    }

    #[test]
    fn names_of_networks() {
        assert_eq!(ssid(&[]), "");
        assert_eq!(ssid(&[0, 200, 1]), "");
        assert_eq!(ssid(&[5, 1, 9, 0, 2, b'o', b'k']), "ok");
    }
}
