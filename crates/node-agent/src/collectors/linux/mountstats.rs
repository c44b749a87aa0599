//! mountstats: what the NFS client counts for each mount, of /proc/self/mountstats.

use std::collections::HashSet;

use model::MetricType::{self, Counter, Gauge};

use super::Outcome;
use crate::files::Files;
use crate::page::Page;

/// Behind this many milliseconds a double loses precision; upstream starts again at 0.
const MANTISSA: u64 = 1 << 53;

/// The columns of `bytes:`, metric behind `node_mountstats_nfs_` and help.
const BYTES: [(&str, &str); 8] = [
    (
        "read_bytes_total",
        "Number of bytes read using the read() syscall.",
    ),
    (
        "write_bytes_total",
        "Number of bytes written using the write() syscall.",
    ),
    (
        "direct_read_bytes_total",
        "Number of bytes read using the read() syscall in O_DIRECT mode.",
    ),
    (
        "direct_write_bytes_total",
        "Number of bytes written using the write() syscall in O_DIRECT mode.",
    ),
    (
        "total_read_bytes_total",
        "Number of bytes read from the NFS server, in total.",
    ),
    (
        "total_write_bytes_total",
        "Number of bytes written to the NFS server, in total.",
    ),
    (
        "read_pages_total",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "write_pages_total",
        "Number of pages written directly via mmap()'d files.",
    ),
];

/// The columns of `events:`; the one without a name is not shown.
const EVENTS: [(&str, &str); 27] = [
    (
        "inode_revalidate",
        "Number of times cached inode attributes are re-validated from the server.",
    ),
    (
        "dnode_revalidate",
        "Number of times cached dentry nodes are re-validated from the server.",
    ),
    (
        "data_invalidate",
        "Number of times an inode cache is cleared.",
    ),
    (
        "attribute_invalidate",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "vfs_open",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "vfs_lookup",
        "Number of times a directory lookup has occurred.",
    ),
    (
        "vfs_access",
        "Number of times permissions have been checked.",
    ),
    (
        "vfs_update_page",
        "Number of updates (and potential writes) to pages.",
    ),
    (
        "vfs_read_page",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "vfs_read_pages",
        "Number of times a group of pages have been read.",
    ),
    (
        "vfs_write_page",
        "Number of pages written directly via mmap()'d files.",
    ),
    (
        "vfs_write_pages",
        "Number of times a group of pages have been written.",
    ),
    (
        "vfs_getdents",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "vfs_setattr",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "vfs_flush",
        "Number of pending writes that have been forcefully flushed to the server.",
    ),
    (
        "vfs_fsync",
        "Number of times fsync() has been called on directories and files.",
    ),
    (
        "vfs_lock",
        "Number of times locking has been attempted on a file.",
    ),
    (
        "vfs_file_release",
        "Number of times files have been closed and released.",
    ),
    ("", ""),
    ("truncation", "Number of times files have been truncated."),
    (
        "write_extension",
        "Number of times a file has been grown due to writes beyond its existing end.",
    ),
    (
        "silly_rename",
        "Number of times a file was removed while still open by another process.",
    ),
    (
        "short_read",
        "Number of times the NFS server gave less data than expected while reading.",
    ),
    (
        "short_write",
        "Number of times the NFS server wrote less data than expected while writing.",
    ),
    (
        "jukebox_delay",
        "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage.",
    ),
    ("pnfs_read", "Number of NFS v4.1+ pNFS reads."),
    ("pnfs_write", "Number of NFS v4.1+ pNFS writes."),
];

/// Columns of [`Transport::numbers`].
const TRANSPORT: [(usize, &str, &str, MetricType); 10] = [
    (
        1,
        "bind_total",
        "Number of times the client has had to establish a connection from scratch to the NFS server.",
        Counter,
    ),
    (
        2,
        "connect_total",
        "Number of times the client has made a TCP connection to the NFS server.",
        Counter,
    ),
    (
        4,
        "idle_time_seconds",
        "Duration since the NFS mount last saw any RPC traffic, in seconds.",
        Gauge,
    ),
    (
        5,
        "sends_total",
        "Number of RPC requests for this mount sent to the NFS server.",
        Counter,
    ),
    (
        6,
        "receives_total",
        "Number of RPC responses for this mount received from the NFS server.",
        Counter,
    ),
    (
        7,
        "bad_transaction_ids_total",
        "Number of times the NFS server sent a response with a transaction ID unknown to this client.",
        Counter,
    ),
    (
        9,
        "backlog_queue_total",
        "Total number of items added to the RPC backlog queue.",
        Counter,
    ),
    (
        10,
        "maximum_rpc_slots",
        "Maximum number of simultaneously active RPC requests ever used.",
        Gauge,
    ),
    (
        11,
        "sending_queue_total",
        "Total number of items added to the RPC transmission sending queue.",
        Counter,
    ),
    (
        12,
        "pending_queue_total",
        "Total number of items added to the RPC transmission pending queue.",
        Counter,
    ),
];

/// The columns of an operation, and what they are divided by: times are in milliseconds.
const OPERATIONS: [(&str, &str, f64); 8] = [
    (
        "requests_total",
        "Number of requests performed for a given operation.",
        1.0,
    ),
    (
        "transmissions_total",
        "Number of times an actual RPC request has been transmitted for a given operation.",
        1.0,
    ),
    (
        "major_timeouts_total",
        "Number of times a request has had a major timeout for a given operation.",
        1.0,
    ),
    (
        "sent_bytes_total",
        "Number of bytes sent for a given operation, including RPC headers and payload.",
        1.0,
    ),
    (
        "received_bytes_total",
        "Number of bytes received for a given operation, including RPC headers and payload.",
        1.0,
    ),
    (
        "queue_time_seconds_total",
        "Duration all requests spent queued for transmission for a given operation before they were sent, in seconds.",
        1000.0,
    ),
    (
        "response_time_seconds_total",
        "Duration all requests took to get a reply back after a request for a given operation was transmitted, in seconds.",
        1000.0,
    ),
    (
        "request_time_seconds_total",
        "Duration all requests took from when a request was enqueued to when it was completely handled for a given operation, in seconds.",
        1000.0,
    ),
];

/// One `xprt:` line.
#[derive(Debug, PartialEq, Eq)]
struct Transport<'t> {
    protocol: &'t str,
    /// Port, binds, connects, connect time, idle time, sends, receives, bad ids, active requests,
    /// backlog, most slots, sending queue, pending queue.
    numbers: [u64; 13],
}

/// One mount with statistics.
#[derive(Debug, Default)]
struct Mount<'t> {
    device: &'t str,
    mount_point: &'t str,
    version: &'t str,
    age: Option<f64>,
    bytes: Vec<u64>,
    events: Vec<u64>,
    transports: Vec<Transport<'t>>,
    operations: Vec<(&'t str, Vec<u64>)>,
}

fn numbers<'t>(fields: impl Iterator<Item = &'t str>) -> Vec<u64> {
    fields.map_while(|field| field.parse().ok()).collect()
}

/// `tcp 832 0 1 0 11 6428 6428 0 12154 0 24 26 5726`; UDP has no connects, 1.0 no queues.
fn transport<'t>(line: &'t str, version: &str) -> Option<Transport<'t>> {
    let mut fields = line.split_ascii_whitespace();
    let protocol = fields.next()?;
    let mut found = numbers(fields);
    let most = match protocol {
        "tcp" | "udp" if version == "1.0" => 10,
        "tcp" | "udp" => 13,
        // Counters of RDMA's own follow the first ten.
        "rdma" => 10,
        _ => return None,
    };
    if protocol == "udp" && found.len() >= 2 {
        found.splice(2..2, [0, 0, 0]);
    }
    if found.len() < most {
        return None;
    }
    found.truncate(most);
    found.resize(13, 0);
    let numbers = found.try_into().ok()?;
    Some(Transport { protocol, numbers })
}

/// The mounts of type nfs and nfs4, each with its place among all mounts.
fn parse(text: &str) -> Vec<(usize, Mount<'_>)> {
    let mut mounts: Vec<(usize, Mount<'_>)> = Vec::new();
    let mut place = 0;
    let mut inside = false;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // device DEVICE mounted on POINT with fstype TYPE statvers=VERSION
        if let [
            "device",
            device,
            "mounted",
            "on",
            mount_point,
            "with",
            "fstype",
            kind,
            rest @ ..,
        ] = fields.as_slice()
        {
            let version = rest.first().and_then(|v| v.strip_prefix("statvers="));
            inside = matches!(*kind, "nfs" | "nfs4") && version.is_some();
            if inside {
                let mount = Mount {
                    device,
                    mount_point,
                    version: version.unwrap_or_default(),
                    ..Mount::default()
                };
                mounts.push((place, mount));
            }
            place += 1;
            continue;
        }
        let Some((_, mount)) = mounts.last_mut().filter(|_| inside) else {
            continue;
        };
        let Some((key, rest)) = line.trim().split_once(':') else {
            continue;
        };
        let values = || numbers(rest.split_ascii_whitespace());
        match key {
            "age" => mount.age = rest.trim().parse().ok(),
            "bytes" => mount.bytes = values(),
            "events" => mount.events = values(),
            "xprt" => mount.transports.extend(transport(rest, mount.version)),
            "opts" | "caps" | "nfsv4" | "sec" | "RPC iostats version" | "impl_id" | "fsc" => {}
            operation => {
                let counts = values();
                if counts.len() >= OPERATIONS.len() {
                    mount.operations.push((operation, counts));
                }
            }
        }
    }
    mounts
}

/// `addr=` of the options of each line of mountinfo: its lines come in the order of mountstats.
fn addresses(text: &str) -> Vec<String> {
    let address = |line: &str| -> String {
        let options = line.split(" - ").nth(1).unwrap_or_default();
        let options = options.split(' ').nth(2).unwrap_or_default();
        let found = options.split(',').find_map(|o| o.strip_prefix("addr="));
        found.unwrap_or_default().to_owned()
    };
    text.lines().map(address).collect()
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let addresses = addresses(files.proc("self/mountinfo")?);
    let text = files.proc("self/mountstats")?;
    let mut seen_points = HashSet::new();
    let mut seen_devices = HashSet::new();
    for (place, mount) in parse(text) {
        let address = addresses.get(place).map_or("", String::as_str);
        for transport in &mount.transports {
            let labels = [
                ("export", mount.device),
                ("protocol", transport.protocol),
                ("mountaddr", address),
            ];
            if seen_points.insert((labels, mount.mount_point)) {
                out.gauge(
                    "node_mountstats_nfs_mountpoint_info",
                    "Info metric for an NFS mountpoint.",
                    &[
                        labels[0],
                        labels[1],
                        labels[2],
                        ("mountpoint", mount.mount_point),
                    ],
                    1.0,
                );
            }
            // One export that is mounted twice has the same counters twice.
            if !seen_devices.insert(labels) {
                break;
            }
            write(out, &mount, &labels);
        }
    }
    Ok(())
}

fn write(out: &mut Page, mount: &Mount<'_>, labels: &[(&str, &str); 3]) {
    let name = |metric: &str| format!("node_mountstats_nfs_{metric}");
    if let Some(age) = mount.age {
        let help = "The age of the NFS mount in seconds.";
        out.counter(&name("age_seconds_total"), help, labels, age);
    }
    for ((metric, help), value) in BYTES.iter().zip(&mount.bytes) {
        out.counter(&name(metric), help, labels, *value as f64);
    }
    for ((metric, help), value) in EVENTS.iter().zip(&mount.events) {
        if !metric.is_empty() {
            let metric = name(&format!("event_{metric}_total"));
            out.counter(&metric, help, labels, *value as f64);
        }
    }
    for (at, transport) in mount.transports.iter().enumerate() {
        let at = at.to_string();
        let labels = [labels[0], labels[1], labels[2], ("transport", at.as_str())];
        for (column, metric, help, kind) in TRANSPORT {
            let metric = name(&format!("transport_{metric}"));
            let value = (transport.numbers[column] % MANTISSA) as f64;
            out.add(kind, &metric, help, &labels, value);
        }
    }
    for (operation, counts) in &mount.operations {
        let labels = [labels[0], labels[1], labels[2], ("operation", *operation)];
        for ((metric, help, divisor), count) in OPERATIONS.iter().zip(counts) {
            let count = if *divisor == 1.0 {
                *count
            } else {
                count % MANTISSA
            };
            let metric = name(&format!("operations_{metric}"));
            out.counter(&metric, help, &labels, count as f64 / divisor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports() {
        let tcp = transport("\ttcp 832 0 1 0 11 6428 6428 0 12154 0 24 26 5726", "1.1").unwrap();
        assert_eq!(
            (tcp.protocol, tcp.numbers[4], tcp.numbers[12]),
            ("tcp", 11, 5726)
        );
        let udp = transport("udp 832 0 6428 6428 0 12154 0 24 26 5726", "1.1").unwrap();
        assert_eq!(
            (udp.numbers[2], udp.numbers[5], udp.numbers[12]),
            (0, 6428, 5726)
        );
        let old = transport("tcp 1 2 3 4 5 6 7 8 9 10", "1.0").unwrap();
        assert_eq!((old.numbers[9], old.numbers[10]), (10, 0));
        let rdma = transport("rdma 1 2 3 4 5 6 7 8 9 10 11 12 13 14", "1.1").unwrap();
        assert_eq!((rdma.numbers[9], rdma.numbers[10]), (10, 0));
        for bad in [
            "",
            "tcp",
            "tcp 1 2 x",
            "udp 1",
            "vsock 1 2 3 4 5 6 7 8 9 10 11 12 13",
        ] {
            assert_eq!(transport(bad, "1.1"), None, "{bad:?}");
        }
    }

    #[test]
    fn other_file_systems_have_a_place_only() {
        let text = "device a mounted on /a with fstype ext4\n\tage: 5\n\
                    device s:/x mounted on /x with fstype nfs4 statvers=1.1\n\tage:\t7\n\
                    \t READ: 1 2 3 4 5 6 7 8\n\tbroken: 1\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 1);
        let (place, mount) = &mounts[0];
        assert_eq!(
            (*place, mount.age, mount.operations.len()),
            (1, Some(7.0), 1)
        );
        let info = "1 1 0:5 / /a rw - ext4 a rw\n2 1 0:6 / /x rw shared:1 - nfs4 s:/x rw,addr=10.0.0.1,vers=4\nshort\n";
        assert_eq!(addresses(info), ["", "10.0.0.1", ""]);
    }
}
