//! Network interfaces and sockets.

use super::{Metric, Samples, counter, gauge};
use crate::groups::Group;
use crate::info::{Tcp, Udp};

/// The families.
pub(super) const TABLE: &[Metric] = &[
    counter(
        Group::Network,
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.rx_bytes as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.rx_packets as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.rx_dropped as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.rx_errors as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.tx_bytes as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.tx_packets as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.tx_dropped as f64);
            }
        },
    )
    .labels(&["interface"]),
    counter(
        Group::Network,
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |_, s, out| {
            for interface in s.network.iter().flat_map(|network| &network.interfaces) {
                out.with(&[&interface.name], interface.tx_errors as f64);
            }
        },
    )
    .labels(&["interface"]),
    gauge(
        Group::Tcp,
        "container_network_tcp_usage_total",
        "tcp connection usage statistic for container",
        |_, s, out| {
            if let Some(network) = &s.network {
                tcp(&network.tcp, out)
            }
        },
    )
    .labels(&["tcp_state"]),
    gauge(
        Group::Tcp,
        "container_network_tcp6_usage_total",
        "tcp6 connection usage statistic for container",
        |_, s, out| {
            if let Some(network) = &s.network {
                tcp(&network.tcp6, out)
            }
        },
    )
    .labels(&["tcp_state"]),
    gauge(
        Group::Udp,
        "container_network_udp_usage_total",
        "udp connection usage statistic for container",
        |_, s, out| {
            if let Some(network) = &s.network {
                udp(&network.udp, out)
            }
        },
    )
    .labels(&["udp_state"]),
    gauge(
        Group::Udp,
        "container_network_udp6_usage_total",
        "udp6 connection usage statistic for container",
        |_, s, out| {
            if let Some(network) = &s.network {
                udp(&network.udp6, out)
            }
        },
    )
    .labels(&["udp_state"]),
    gauge(
        Group::AdvancedTcp,
        "container_network_advance_tcp_stats_total",
        "advance tcp connections statistic for container",
        |_, s, out| {
            let Some(network) = &s.network else { return };
            for name in ADVANCED_TCP {
                let value = network.tcp_advanced.get(*name).copied().unwrap_or(0.0);
                out.with(&[&name.to_ascii_lowercase()], value);
            }
        },
    )
    .labels(&["tcp_state"]),
];

/// The fields of `/proc/<pid>/net/{snmp,netstat}` that are shown, in lower case.
pub const ADVANCED_TCP: &[&str] = &[
    "RtoAlgorithm",
    "RtoMin",
    "RtoMax",
    "MaxConn",
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "CurrEstab",
    "InSegs",
    "OutSegs",
    "RetransSegs",
    "InErrs",
    "OutRsts",
    "InCsumErrors",
    "EmbryonicRsts",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "PruneCalled",
    "RcvPruned",
    "OfoPruned",
    "OutOfWindowIcmps",
    "LockDroppedIcmps",
    "TW",
    "TWRecycled",
    "TWKilled",
    "TCPTimeWaitOverflow",
    "TCPTimeouts",
    "TCPSpuriousRTOs",
    "TCPLossProbes",
    "TCPLossProbeRecovery",
    "TCPRenoRecoveryFail",
    "TCPSackRecoveryFail",
    "TCPRenoFailures",
    "TCPSackFailures",
    "TCPLossFailures",
    "DelayedACKs",
    "DelayedACKLocked",
    "DelayedACKLost",
    "ListenOverflows",
    "ListenDrops",
    "TCPHPHits",
    "TCPPureAcks",
    "TCPHPAcks",
    "TCPRenoRecovery",
    "TCPSackRecovery",
    "TCPSACKReneging",
    "TCPFACKReorder",
    "TCPSACKReorder",
    "TCPRenoReorder",
    "TCPTSReorder",
    "TCPFullUndo",
    "TCPPartialUndo",
    "TCPDSACKUndo",
    "TCPLossUndo",
    "TCPFastRetrans",
    "TCPSlowStartRetrans",
    "TCPLostRetransmit",
    "TCPRetransFail",
    "TCPRcvCollapsed",
    "TCPDSACKOldSent",
    "TCPDSACKOfoSent",
    "TCPDSACKRecv",
    "TCPDSACKOfoRecv",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPAbortOnMemory",
    "TCPAbortOnTimeout",
    "TCPAbortOnLinger",
    "TCPAbortFailed",
    "TCPMemoryPressures",
    "TCPMemoryPressuresChrono",
    "TCPSACKDiscard",
    "TCPDSACKIgnoredOld",
    "TCPDSACKIgnoredNoUndo",
    "TCPMD5NotFound",
    "TCPMD5Unexpected",
    "TCPMD5Failure",
    "TCPSackShifted",
    "TCPSackMerged",
    "TCPSackShiftFallback",
    "TCPBacklogDrop",
    "PFMemallocDrop",
    "TCPMinTTLDrop",
    "TCPDeferAcceptDrop",
    "IPReversePathFilter",
    "TCPReqQFullDoCookies",
    "TCPReqQFullDrop",
    "TCPFastOpenActive",
    "TCPFastOpenActiveFail",
    "TCPFastOpenPassive",
    "TCPFastOpenPassiveFail",
    "TCPFastOpenListenOverflow",
    "TCPFastOpenCookieReqd",
    "TCPSynRetrans",
    "TCPOrigDataSent",
    "PAWSActive",
    "PAWSEstab",
];

fn tcp(tcp: &Tcp, out: &mut Samples<'_, '_>) {
    for (state, count) in [
        ("established", tcp.established),
        ("synsent", tcp.syn_sent),
        ("synrecv", tcp.syn_recv),
        ("finwait1", tcp.fin_wait1),
        ("finwait2", tcp.fin_wait2),
        ("timewait", tcp.time_wait),
        ("close", tcp.close),
        ("closewait", tcp.close_wait),
        ("lastack", tcp.last_ack),
        ("listen", tcp.listen),
        ("closing", tcp.closing),
    ] {
        out.with(&[state], count as f64);
    }
}

fn udp(udp: &Udp, out: &mut Samples<'_, '_>) {
    for (state, count) in [
        ("listen", udp.listen),
        ("dropped", udp.dropped),
        ("rxqueued", udp.rx_queued),
        ("txqueued", udp.tx_queued),
    ] {
        out.with(&[state], count as f64);
    }
}
