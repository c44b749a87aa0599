//! nfs: calls of the NFS client, of /proc/net/rpc/nfs.

use super::{CollectError, Outcome};
use crate::files::Files;
use crate::page::Page;

/// The calls of each version in the order of their columns: client and server count the same ones of
/// versions 2 and 3.
pub(super) const V2: &[&str] = &[
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write",
    "Create", "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];
pub(super) const V3: &[&str] = &[
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];
const V4: &[&str] = &[
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

/// The numbers of the line that begins with `name`.
pub(super) fn numbers<'t>(
    text: &'t str,
    name: &str,
) -> Option<impl Iterator<Item = f64> + use<'t>> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let fields = lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    Some(fields.map_while(|field| field.parse().ok()))
}

/// The calls of a version with their counts, of the line that begins with `name`. The first number says
/// how many follow; kernels that know fewer calls have them at 0.
pub(super) fn requests<'m>(
    text: &str,
    name: &str,
    methods: &'m [&'m str],
) -> impl Iterator<Item = (&'m str, f64)> + use<'m> {
    let counts: Option<Vec<f64>> = numbers(text, name).map(|counts| counts.skip(1).collect());
    let shown = if counts.is_some() { methods } else { &[] };
    let counts = counts.unwrap_or_default().into_iter();
    let counts = counts.chain(std::iter::repeat(0.0));
    shown.iter().copied().zip(counts)
}

pub fn collect(files: &mut Files, out: &mut Page) -> Outcome {
    let text = files
        .proc("net/rpc/nfs")
        .map_err(CollectError::missing_is_no_data)?;
    if let Some(net) = numbers(text, "net").map(Iterator::collect::<Vec<f64>>)
        && let [_, udp, tcp, connections] = net[..]
    {
        for (protocol, count) in [("udp", udp), ("tcp", tcp)] {
            out.counter(
                "node_nfs_packets_total",
                "Total NFSd network packets (sent+received) by protocol type.",
                &[("protocol", protocol)],
                count,
            );
        }
        out.counter(
            "node_nfs_connections_total",
            "Total number of NFSd TCP connections.",
            &[],
            connections,
        );
    }
    let rpc = [
        ("node_nfs_rpcs_total", "Total number of RPCs performed."),
        (
            "node_nfs_rpc_retransmissions_total",
            "Number of RPC transmissions performed.",
        ),
        (
            "node_nfs_rpc_authentication_refreshes_total",
            "Number of RPC authentication refreshes performed.",
        ),
    ];
    for ((name, help), value) in rpc.iter().zip(numbers(text, "rpc").into_iter().flatten()) {
        out.counter(name, help, &[], value);
    }
    for (line, proto, methods) in [("proc2", "2", V2), ("proc3", "3", V3), ("proc4", "4", V4)] {
        for (method, count) in requests(text, line, methods) {
            out.counter(
                "node_nfs_requests_total",
                "Number of NFS procedures invoked.",
                &[("proto", proto), ("method", method)],
                count,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines() {
        let text = "net 1 2\nrpc 3 x 4\n";
        assert_eq!(
            super::numbers(text, "net").unwrap().collect::<Vec<_>>(),
            [1.0, 2.0]
        );
        assert_eq!(super::numbers(text, "rpc").unwrap().count(), 1);
        assert!(super::numbers(text, "proc2").is_none());
    }
}
