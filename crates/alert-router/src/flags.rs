//! The command line: Alertmanager's flags, with its defaults.

use service::{Flag, FlagStyle, Program};

/// alert-router as data.
pub static PROGRAM: Program = Program {
    name: "alert-router",
    about: "Groups, silences and routes alerts, and notifies receivers.",
    metric_prefix: "alertmanager",
    listen: ":9093",
    grpc: Some("0.0.0.0:10904"),
    flags: FLAGS,
    style: FlagStyle::Kingpin,
    ..Program::DEFAULT
};

/// What features `--enable-feature` knows.
pub const FEATURES: [&str; 7] = [
    "alert-names-in-metrics",
    "receiver-name-in-metrics",
    "group-key-in-metrics",
    "classic-mode",
    "utf8-strict-mode",
    "auto-gomemlimit",
    "auto-gomaxprocs",
];

const FLAGS: &[Flag] = &[
    Flag::string(
        "config.file",
        "alertmanager.yml",
        "Alertmanager configuration file name.",
    ),
    Flag::string("storage.path", "data/", "Base path for data storage."),
    Flag::go_duration("data.retention", "120h", "How long to keep data for."),
    Flag::go_duration(
        "data.maintenance-interval",
        "15m",
        "Interval between garbage collection and snapshotting to disk of the silences and the notification logs.",
    ),
    Flag::int(
        "silences.max-silences",
        "0",
        "Maximum number of silences, including expired silences. If negative or zero, no limit is set.",
    ),
    Flag::int(
        "silences.max-silence-size-bytes",
        "0",
        "Maximum silence size in bytes. If negative or zero, no limit is set.",
    ),
    Flag::bool(
        "log.silences",
        false,
        "Log silences that are created, changed or expired.",
    ),
    Flag::go_duration("alerts.gc-interval", "30m", "Interval between alert GC."),
    Flag::int(
        "alerts.per-alertname-limit",
        "0",
        "Maximum number of alerts per alertname. If negative or zero, no limit is set.",
    ),
    Flag::go_duration(
        "dispatch.maintenance-interval",
        "30s",
        "Interval between maintenance of aggregation groups in the dispatcher.",
    ),
    Flag::go_duration(
        "dispatch.start-delay",
        "0s",
        "Minimum amount of time to wait before dispatching alerts. This option should be synced with value of --rules.alert.resend-delay on Prometheus.",
    ),
    Flag::string(
        "web.external-url",
        "",
        "The URL under which Alertmanager is externally reachable (for example, if Alertmanager is served via a reverse proxy). Used for generating relative and absolute links back to Alertmanager itself. If the URL has a path portion, it will be used to prefix all HTTP endpoints served by Alertmanager. If omitted, relevant URL components will be derived automatically.",
    ),
    Flag::string(
        "web.route-prefix",
        "",
        "Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.",
    ),
    Flag::int(
        "web.get-concurrency",
        "0",
        "Maximum number of GET requests processed concurrently. If negative or zero, the limit is GOMAXPROC or 8, whichever is larger.",
    ),
    Flag::go_duration(
        "web.timeout",
        "0s",
        "Timeout for HTTP requests. If negative or zero, no timeout is set.",
    ),
    Flag::string(
        "enable-feature",
        "",
        "Comma-separated experimental features to enable. Valid options: [alert-names-in-metrics, receiver-name-in-metrics, group-key-in-metrics, classic-mode, utf8-strict-mode, auto-gomemlimit, auto-gomaxprocs]",
    ),
    Flag::string(
        "cluster.listen-address",
        "0.0.0.0:9094",
        "Listen address for cluster. Set to empty string to disable HA mode.",
    ),
    Flag::string(
        "cluster.advertise-address",
        "",
        "Explicit address to advertise in cluster.",
    ),
    Flag::string("cluster.peer", "", "Initial peers (may be repeated).").repeatable(),
    Flag::string(
        "cluster.peer-name",
        "",
        "Explicit name of the peer, rather than generating a random one",
    ),
    Flag::go_duration(
        "cluster.peer-timeout",
        "15s",
        "Time to wait between peers to send notifications.",
    ),
    Flag::go_duration(
        "cluster.peers-resolve-timeout",
        "15s",
        "Time to resolve peers.",
    ),
    Flag::go_duration(
        "cluster.gossip-interval",
        "200ms",
        "Interval between sending gossip messages.",
    ),
    Flag::go_duration(
        "cluster.pushpull-interval",
        "60s",
        "Interval for gossip state syncs.",
    ),
    Flag::go_duration(
        "cluster.tcp-timeout",
        "10s",
        "Timeout for establishing a stream connection with a remote node.",
    ),
    Flag::go_duration(
        "cluster.probe-timeout",
        "500ms",
        "Timeout to wait for an ack from a probed node.",
    ),
    Flag::go_duration(
        "cluster.probe-interval",
        "1s",
        "Interval between random node probes.",
    ),
    Flag::go_duration(
        "cluster.settle-timeout",
        "60s",
        "Maximum time to wait for cluster connections to settle before evaluating notifications.",
    ),
    Flag::go_duration(
        "cluster.reconnect-interval",
        "10s",
        "Interval between attempting to reconnect to lost peers.",
    ),
    Flag::go_duration(
        "cluster.reconnect-timeout",
        "6h",
        "Length of time to attempt to reconnect to a lost peer.",
    ),
    Flag::string(
        "cluster.tls-config",
        "",
        "Path to config yaml file that can enable mutual TLS within the gossip protocol.",
    ),
    Flag::bool(
        "cluster.allow-insecure-public-advertise-address-discovery",
        false,
        "Allow alertmanager to discover and listen on a public IP address.",
    ),
    Flag::string(
        "cluster.label",
        "",
        "The cluster label is an optional string to include on each packet and stream.",
    ),
];
