//! qdisc: the root queue of each network device, asked over netlink.

use std::collections::HashMap;
use std::path::Path;

use model::MetricType::{self, Counter, Gauge};
use serde_json::Value as Json;
use service::Args;

use super::filter::Filter;
use super::{CollectError, Collector, Outcome};
use crate::files::Files;
use crate::netlink::{self, Socket, attribute, u32_at, u64_at};
use crate::page::Page;

/// Metric behind `node_qdisc_` and help, in the order of [`Queue::values`].
const METRICS: [(&str, &str, MetricType); 7] = [
    ("bytes_total", "Number of bytes sent.", Counter),
    ("packets_total", "Number of packets sent.", Counter),
    ("drops_total", "Number of packets dropped.", Counter),
    (
        "requeues_total",
        "Number of packets dequeued, not transmitted, and requeued.",
        Counter,
    ),
    ("overlimits_total", "Number of overlimit packets.", Counter),
    (
        "current_queue_length",
        "Number of packets currently in queue to be sent.",
        Gauge,
    ),
    (
        "backlog",
        "Number of bytes currently in queue to be sent.",
        Gauge,
    ),
];

#[derive(Debug, PartialEq)]
struct Queue {
    device: String,
    kind: String,
    /// Of the queue above it; 0 for the root.
    parent: u32,
    values: [f64; 7],
}

pub fn new(args: &Args) -> Result<Collector, String> {
    let filter = Filter::exclusive(
        args,
        "collector.qdisc.device-exclude",
        "collector.qdisc.device-include",
    )?;
    let fixtures = args.str("collector.qdisc.fixtures").to_owned();
    Ok(Box::new(move |files, out| {
        let queues = if fixtures.is_empty() {
            ask().map_err(|e| CollectError::Other(format!("cannot ask for queues: {e}")))?
        } else {
            from_file(files, Path::new(&fixtures))?
        };
        write(out, &queues, &filter)
    }))
}

fn ask() -> std::io::Result<Vec<Queue>> {
    const GET_QDISC: u16 = 38;
    // struct tcmsg: family and padding, index, handle, parent, info.
    const TC_BYTES: usize = 20;
    let mut socket = Socket::route()?;
    let names = netlink::link_names(&mut socket)?;
    let mut queues = Vec::new();
    socket.dump(GET_QDISC, &[0; TC_BYTES], &mut |message| {
        queues.extend(parse(message, TC_BYTES, &names));
    })?;
    Ok(queues)
}

fn parse(message: &[u8], head: usize, names: &HashMap<u32, String>) -> Option<Queue> {
    const ROOT: u32 = u32::MAX;
    const KIND: u16 = 1;
    const STATS: u16 = 3;
    const STATS2: u16 = 7;
    const BASIC: u16 = 1;
    const QUEUE: u16 = 3;
    let device = names.get(&u32_at(message, 4)?)?.clone();
    let parent = match u32_at(message, 12)? {
        ROOT => 0,
        parent => parent,
    };
    let attributes = message.get(head..)?;
    let kind = netlink::text(attribute(attributes, KIND)?);
    let number = |bytes: Option<&[u8]>, at| bytes.and_then(|b| u32_at(b, at)).unwrap_or(0);
    let bytes_sent = |bytes: Option<&[u8]>| bytes.and_then(|b| u64_at(b, 0)).unwrap_or(0);
    // Since Linux 2.6.12 there is the second form; the first has no requeues.
    let old = attribute(attributes, STATS);
    let mut values = [
        bytes_sent(old) as f64,
        number(old, 8).into(),
        number(old, 12).into(),
        0.0,
        number(old, 16).into(),
        number(old, 28).into(),
        number(old, 32).into(),
    ];
    if let Some(stats) = attribute(attributes, STATS2) {
        let basic = attribute(stats, BASIC);
        let queue = attribute(stats, QUEUE);
        values = [
            bytes_sent(basic) as f64,
            number(basic, 8).into(),
            number(queue, 8).into(),
            number(queue, 12).into(),
            number(queue, 16).into(),
            number(queue, 0).into(),
            number(queue, 4).into(),
        ];
    }
    Some(Queue {
        device,
        kind,
        parent,
        values,
    })
}

/// `--collector.qdisc.fixtures`: what the kernel would say, as JSON.
fn from_file(files: &mut Files, dir: &Path) -> Result<Vec<Queue>, CollectError> {
    let path = dir.join("results.json");
    let json: Json = serde_json::from_str(files.read(&path)?)
        .map_err(|e| CollectError::Other(format!("{}: {e}", path.display())))?;
    let queue = |json: &Json| {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| json[key].as_f64().unwrap_or(0.0);
        Queue {
            device: text("IfaceName"),
            kind: text("Kind"),
            parent: number("Parent") as u32,
            values: [
                number("Bytes"),
                number("Packets"),
                number("Drops"),
                number("Requeues"),
                number("Overlimits"),
                number("Qlen"),
                number("Backlog"),
            ],
        }
    };
    Ok(json.as_array().into_iter().flatten().map(queue).collect())
}

fn write(out: &mut Page, queues: &[Queue], filter: &Filter) -> Outcome {
    for queue in queues {
        if queue.parent != 0 || filter.ignored(&queue.device) {
            continue;
        }
        let labels = [("device", queue.device.as_str()), ("kind", &queue.kind)];
        for ((name, help, kind), value) in METRICS.iter().zip(queue.values) {
            out.add(*kind, &format!("node_qdisc_{name}"), help, &labels, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::push_attribute;

    #[test]
    fn messages_of_both_forms() {
        let names = HashMap::from([(2, "eth0".to_owned())]);
        let mut message = Vec::new();
        for word in [0, 2, 0x8001_0000, u32::MAX, 0] {
            message.extend(u32::to_ne_bytes(word));
        }
        push_attribute(&mut message, 1, b"fq\0");
        let mut old = 100u64.to_ne_bytes().to_vec();
        for word in [2u32, 3, 4, 0, 0, 5, 6] {
            old.extend(word.to_ne_bytes());
        }
        push_attribute(&mut message, 3, &old);
        let queue = parse(&message, 20, &names).unwrap();
        assert_eq!((queue.kind.as_str(), queue.parent), ("fq", 0));
        assert_eq!(queue.values, [100.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0]);
        let (mut basic, mut five) = (200u64.to_ne_bytes().to_vec(), Vec::new());
        basic.extend(7u32.to_ne_bytes());
        for word in [1u32, 2, 3, 4, 5] {
            five.extend(word.to_ne_bytes());
        }
        let mut stats = Vec::new();
        push_attribute(&mut stats, 1, &basic);
        push_attribute(&mut stats, 3, &five);
        push_attribute(&mut message, 7, &stats);
        let queue = parse(&message, 20, &names).unwrap();
        assert_eq!(queue.values, [200.0, 7.0, 3.0, 4.0, 5.0, 1.0, 2.0]);
        assert_eq!(parse(&message[..18], 20, &names), None);
        assert_eq!(parse(&message, 20, &HashMap::new()), None);
    }
}
