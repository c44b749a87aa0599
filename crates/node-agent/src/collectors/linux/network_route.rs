//! network_route: the unicast routes of the kernel, asked over netlink.

use std::collections::{BTreeMap, HashMap};

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::netlink::{self, Socket, attribute, u16_at, u32_at};
use crate::page::Page;

const DESTINATION: u16 = 1;
const DEVICE: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const PREFERRED_SOURCE: u16 = 7;
const MULTIPATH: u16 = 9;

/// One line of `node_network_route_info`.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    device: u32,
    source: String,
    destination: String,
    gateway: String,
    priority: u32,
    protocol: u8,
    /// Of one of several ways to the same destination.
    weight: Option<u32>,
}

/// The names of include/uapi/linux/rtnetlink.h.
fn protocol(number: u8) -> &'static str {
    match number {
        0 => "unspec",
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        17 => "mrouted",
        42 => "babel",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        _ => "unknown",
    }
}

// struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags.
const ROUTE_BYTES: usize = 12;

/// The routes of one message: several if it has several ways, none if it is no unicast route.
fn parse(message: &[u8]) -> Vec<Route> {
    const UNICAST: u8 = 1;
    let Some((head, attributes)) = message.split_at_checked(ROUTE_BYTES) else {
        return Vec::new();
    };
    if head[7] != UNICAST {
        return Vec::new();
    }
    let ip = |bytes: Option<&[u8]>| {
        let address = bytes.and_then(netlink::address);
        address.map(|a| a.to_string()).unwrap_or_default()
    };
    let destination = match head[1] {
        0 => "default".to_owned(),
        length => format!("{}/{length}", ip(attribute(attributes, DESTINATION))),
    };
    let number = |kind| attribute(attributes, kind).and_then(|value| u32_at(value, 0));
    let route = |device, gateway, weight| Route {
        device,
        source: ip(attribute(attributes, PREFERRED_SOURCE)),
        destination: destination.clone(),
        gateway: ip(gateway),
        priority: number(PRIORITY).unwrap_or_default(),
        protocol: head[5],
        weight,
    };
    let mut ways = Vec::new();
    // struct rtnexthop: length, flags, hops, device; then attributes.
    let mut rest = attribute(attributes, MULTIPATH).unwrap_or_default();
    while let (Some(length), Some(device)) = (u16_at(rest, 0), u32_at(rest, 4)) {
        let Some(way) = rest.get(8..usize::from(length)) else {
            break;
        };
        let weight = u32::from(rest[3]) + 1;
        ways.push(route(device, attribute(way, GATEWAY), Some(weight)));
        rest = rest
            .get(usize::from(length).div_ceil(4) * 4..)
            .unwrap_or_default();
    }
    if ways.is_empty() {
        let device = number(DEVICE).unwrap_or_default();
        ways.push(route(device, attribute(attributes, GATEWAY), None));
    }
    ways
}

fn ask() -> std::io::Result<(HashMap<u32, String>, Vec<Route>)> {
    const GET_ROUTE: u16 = 26;
    let mut socket = Socket::route()?;
    let names = netlink::link_names(&mut socket)?;
    let mut routes = Vec::new();
    socket.dump(GET_ROUTE, &[0; ROUTE_BYTES], &mut |message| {
        routes.extend(parse(message));
    })?;
    Ok((names, routes))
}

pub fn collect(_: &mut Files, out: &mut Page) -> Outcome {
    let (names, routes) =
        ask().map_err(|e| CollectError::Other(format!("couldn't get routes: {e}")))?;
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for route in &routes {
        let device = names.get(&route.device).map_or("", String::as_str);
        *counts.entry(device).or_default() += 1.0;
        let weight = route.weight.map(|w| w.to_string()).unwrap_or_default();
        out.gauge(
            "node_network_route_info",
            "network routing table information",
            &[
                ("device", device),
                ("src", &route.source),
                ("dest", &route.destination),
                ("gw", &route.gateway),
                ("priority", &route.priority.to_string()),
                ("proto", protocol(route.protocol)),
                ("weight", &weight),
            ],
            1.0,
        );
    }
    for (device, count) in counts {
        out.gauge(
            "node_network_routes",
            "network routes by interface",
            &[("device", device)],
            count,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::push_attribute;

    #[test]
    fn routes_with_one_way_and_with_two() {
        let mut message = vec![2, 24, 0, 0, 254, 16, 0, 1, 0, 0, 0, 0];
        push_attribute(&mut message, DESTINATION, &[10, 1, 2, 0]);
        push_attribute(&mut message, DEVICE, &3u32.to_ne_bytes());
        push_attribute(&mut message, PRIORITY, &100u32.to_ne_bytes());
        push_attribute(&mut message, PREFERRED_SOURCE, &[10, 1, 2, 9]);
        let routes = parse(&message);
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].destination, "10.1.2.0/24");
        assert_eq!((routes[0].device, routes[0].priority), (3, 100));
        assert_eq!(
            (routes[0].source.as_str(), routes[0].weight),
            ("10.1.2.9", None)
        );
        assert_eq!(protocol(routes[0].protocol), "dhcp");

        let mut message = vec![2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        let mut ways = Vec::new();
        for (device, hops, gateway) in [(3u32, 0u8, [10, 0, 0, 1]), (4, 4, [10, 0, 0, 2])] {
            ways.extend([16, 0, 0, hops]);
            ways.extend(device.to_ne_bytes());
            push_attribute(&mut ways, GATEWAY, &gateway);
        }
        push_attribute(&mut message, MULTIPATH, &ways);
        let routes = parse(&message);
        let found: Vec<_> = routes.iter().map(|r| (r.device, r.weight)).collect();
        assert_eq!(found, [(3, Some(1)), (4, Some(5))]);
        assert_eq!(routes[1].gateway, "10.0.0.2");
        assert_eq!(routes[1].destination, "default");
        // A local route; a message that is cut off.
        assert!(parse(&[2, 0, 0, 0, 254, 4, 0, 2, 0, 0, 0, 0]).is_empty());
        assert!(parse(&message[..7]).is_empty());
    }
}
