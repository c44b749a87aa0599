//! nfsd: calls of the kernel's NFS server, of /proc/net/rpc/nfsd.

use model::MetricType::{Counter, Gauge};

use super::nfs::{V2, V3, numbers, requests};
use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// The operations of version 4 in the order of their columns; those in [`HIDDEN`] are not shown.
const V4_OPERATIONS: &[&str] = &[
    "Op0Unused",
    "Op1Unused",
    "Op2Future",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "PutPubFH",
    "PutRootFH",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

/// Unused, or without a metric upstream.
const HIDDEN: [&str; 6] = [
    "Null",
    "Op0Unused",
    "Op1Unused",
    "Op2Future",
    "PutPubFH",
    "PutRootFH",
];

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files
        .proc("net/rpc/nfsd")
        .map_err(CollectError::missing_is_no_data)?;
    let value = |line: &str, column: usize| numbers(text, line)?.nth(column);
    let metrics = [
        (
            "rc",
            0,
            Counter,
            "reply_cache_hits_total",
            "Total number of NFSd Reply Cache hits (client lost server response).",
        ),
        (
            "rc",
            1,
            Counter,
            "reply_cache_misses_total",
            "Total number of NFSd Reply Cache an operation that requires caching (idempotent).",
        ),
        (
            "rc",
            2,
            Counter,
            "reply_cache_nocache_total",
            "Total number of NFSd Reply Cache non-idempotent operations (rename/delete/…).",
        ),
        (
            "fh",
            0,
            Counter,
            "file_handles_stale_total",
            "Total number of NFSd stale file handles",
        ),
        (
            "io",
            0,
            Counter,
            "disk_bytes_read_total",
            "Total NFSd bytes read.",
        ),
        (
            "io",
            1,
            Counter,
            "disk_bytes_written_total",
            "Total NFSd bytes written.",
        ),
        (
            "th",
            0,
            Gauge,
            "server_threads",
            "Total number of NFSd kernel threads that are running.",
        ),
        (
            "ra",
            0,
            Gauge,
            "read_ahead_cache_size_blocks",
            "How large the read ahead cache is in blocks.",
        ),
        (
            "ra",
            11,
            Counter,
            "read_ahead_cache_not_found_total",
            "Total number of NFSd read ahead cache not found.",
        ),
        (
            "net",
            3,
            Counter,
            "connections_total",
            "Total number of NFSd TCP connections.",
        ),
        (
            "rpc",
            0,
            Counter,
            "server_rpcs_total",
            "Total number of NFSd RPCs.",
        ),
    ];
    for (line, column, kind, name, help) in metrics {
        if let Some(value) = value(line, column) {
            out.add(kind, &format!("node_nfsd_{name}"), help, &[], value);
        }
    }
    for (proto, column) in [("udp", 1), ("tcp", 2)] {
        if let Some(value) = value("net", column) {
            let help = "Total NFSd network packets (sent+received) by protocol type.";
            out.counter("node_nfsd_packets_total", help, &[("proto", proto)], value);
        }
    }
    for (error, column) in [("fmt", 2), ("auth", 3), ("cInt", 4)] {
        if let Some(value) = value("rpc", column) {
            let help = "Total number of NFSd RPC errors by error type.";
            out.counter(
                "node_nfsd_rpc_errors_total",
                help,
                &[("error", error)],
                value,
            );
        }
    }
    for (line, proto, methods) in [
        ("proc2", "2", V2),
        ("proc3", "3", V3),
        ("proc4ops", "4", V4_OPERATIONS),
    ] {
        for (method, count) in requests(text, line, methods) {
            if !HIDDEN.contains(&method) {
                out.counter(
                    "node_nfsd_requests_total",
                    "Total number NFSd Requests by method and protocol.",
                    &[("proto", proto), ("method", method)],
                    count,
                );
            }
        }
    }
    if let Some(count) = value("wdeleg_getattr", 0) {
        let help = "Total number NFSd Requests by method and protocol.";
        out.counter(
            "node_nfsd_requests_total",
            help,
            &[("proto", "4"), ("method", "WdelegGetattr")],
            count,
        );
    }
    Ok(())
}
