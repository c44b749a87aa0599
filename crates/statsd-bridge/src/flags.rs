//! statsd-bridge's flags: upstream's, then ours.

use service::Flag;

/// The table; the kit adds `--log.*`, `--web.listen-address`, `--web.config.file`.
pub const FLAGS: &[Flag] = &[
    Flag::bool(
        "web.enable-lifecycle",
        false,
        "Enable shutdown and reload via HTTP request.",
    ),
    Flag::string(
        "web.telemetry-path",
        "/metrics",
        "Path under which to expose metrics.",
    ),
    Flag::string(
        "statsd.listen-udp",
        ":9125",
        "The UDP address on which to receive statsd metric lines. \"\" disables it. Repeatable for multiple addresses. If it is not given, port 8125 of this host, where k6 and other clients send by default, is taken too if it is free.",
    )
    .repeatable(),
    Flag::string(
        "statsd.listen-tcp",
        ":9125",
        "The TCP address on which to receive statsd metric lines. \"\" disables it.",
    ),
    Flag::string(
        "statsd.listen-unixgram",
        "",
        "The Unixgram socket path to receive statsd metric lines in datagram. \"\" disables it.",
    ),
    Flag::string(
        "statsd.unixsocket-mode",
        "755",
        "The permission mode of the unix socket.",
    ),
    Flag::string(
        "statsd.mapping-config",
        "",
        "Metric mapping configuration file name.",
    ),
    Flag::int(
        "statsd.read-buffer",
        "0",
        "Size (in bytes) of the operating system's transmit read buffer associated with the UDP or Unixgram connection. Please make sure the kernel parameters net.core.rmem_max is set to a value greater than the value specified. 0: as much as the kernel gives, up to 8 MiB.",
    ),
    Flag::int(
        "statsd.cache-size",
        "1000",
        "Maximum size of the metric mapping cache of each listening thread; 0 switches it off.",
    ),
    Flag::one_of(
        "statsd.cache-type",
        &["lru", "random"],
        "lru",
        "Metric mapping cache type. Valid options are \"lru\" and \"random\"",
    ),
    Flag::int(
        "statsd.event-queue-size",
        "10000",
        "Accepted for compatibility, without effect: events are counted as they are received, there is no queue.",
    ),
    Flag::int(
        "statsd.event-flush-threshold",
        "1000",
        "Accepted for compatibility, without effect: there is no queue.",
    ),
    Flag::go_duration(
        "statsd.event-flush-interval",
        "200ms",
        "Accepted for compatibility, without effect: there is no queue.",
    ),
    Flag::int(
        "statsd.udp-packet-queue-size",
        "10000",
        "Accepted for compatibility, without effect: packets wait in the kernel's buffer only, see --statsd.read-buffer.",
    ),
    Flag::string(
        "debug.dump-fsm",
        "",
        "The path to dump internal FSM generated for glob matching as Dot file.",
    ),
    Flag::bool("check-config", false, "Check configuration and exit."),
    Flag::bool(
        "statsd.parse-dogstatsd-tags",
        true,
        "Parse DogStatsd style tags. Enabled by default.",
    ),
    Flag::bool(
        "statsd.parse-influxdb-tags",
        true,
        "Parse InfluxDB style tags. Enabled by default.",
    ),
    Flag::bool(
        "statsd.parse-librato-tags",
        true,
        "Parse Librato style tags. Enabled by default.",
    ),
    Flag::bool(
        "statsd.parse-signalfx-tags",
        true,
        "Parse SignalFX style tags. Enabled by default.",
    ),
    Flag::string(
        "statsd.relay.address",
        "",
        "The UDP relay target address (host:port).",
    ),
    Flag::int(
        "statsd.relay.packet-length",
        "1400",
        "Maximum relay output packet length to avoid fragmentation.",
    ),
    Flag::int(
        "statsd.udp-sockets",
        "0",
        "Sockets, with a thread each, on the UDP port; the kernel spreads senders over them. 0: one for each CPU, up to 8.",
    ),
    Flag::bool(
        "statsd.sets",
        true,
        "Count the distinct values of StatsD sets (type s); --no-statsd.sets counts them as errors, as statsd_exporter does.",
    ),
    Flag::go_duration(
        "statsd.set-window",
        "1m",
        "How long a set remembers a value.",
    ),
    Flag::int(
        "statsd.max-series-per-metric",
        "100000",
        "Series one metric may have; events that would add one more are left out and counted by metric. 0: no limit.",
    ),
    Flag::int(
        "statsd.max-series",
        "1000000",
        "Series all metrics together may have. 0: no limit.",
    ),
];
