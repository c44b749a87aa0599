//! scraper-store's flags: Prometheus' names and defaults, and ours beside them.

use service::Flag;

/// The table; the kit adds `--log.*`, `--web.listen-address`, `--web.config.file` and the like.
pub const FLAGS: &[Flag] = &[
    Flag::string(
        "config.file",
        "prometheus.yml",
        "Prometheus configuration file path.",
    ),
    service::AUTO_RELOAD,
    service::AUTO_RELOAD_INTERVAL,
    Flag::duration(
        "web.read-timeout",
        "5m",
        "Longest time to read a request, and an idle connection's life.",
    ),
    Flag::int(
        "web.max-connections",
        "512",
        "Most connections at once, over all listeners.",
    ),
    Flag::string(
        "web.external-url",
        "",
        "The URL under which the server is reachable from outside; its path prefixes every endpoint.",
    ),
    Flag::string(
        "web.route-prefix",
        "",
        "Prefix of the internal routes; by default the path of --web.external-url.",
    ),
    Flag::bool(
        "web.enable-lifecycle",
        false,
        "Enable stop and reload by HTTP request.",
    ),
    Flag::bool(
        "web.enable-admin-api",
        false,
        "Enable the endpoints for administration.",
    ),
    Flag::bool(
        "web.enable-remote-write-receiver",
        false,
        "Enable the endpoint that receives remote write requests.",
    ),
    Flag::bool(
        "web.enable-otlp-receiver",
        false,
        "Enable the endpoint that receives metrics of OpenTelemetry.",
    ),
    Flag::string(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        "Remote write messages that are accepted.",
    )
    .repeatable(),
    Flag::string(
        "web.cors.origin",
        ".*",
        "Regular expression of the origins that browsers may ask from; anchored.",
    ),
    Flag::string("web.page-title", "Firewatch", "Title of the web pages."),
    Flag::string("storage.tsdb.path", "data/", "Directory of the samples."),
    Flag::duration(
        "storage.tsdb.retention.time",
        "0s",
        "How long samples are kept. Without this flag and the next: 15d.",
    ),
    Flag::size(
        "storage.tsdb.retention.size",
        "0B",
        "Most bytes that blocks may take; 0: no limit.",
    ),
    Flag::bool(
        "storage.tsdb.no-lockfile",
        false,
        "Do not create a lock file in the data directory.",
    ),
    Flag::duration(
        "storage.tsdb.min-block-duration",
        "2h",
        "Time range of a new block.",
    )
    .hidden(),
    Flag::duration(
        "storage.tsdb.max-block-duration",
        "0s",
        "Largest time range of a compacted block; 0: a tenth of the retention, at most 31d.",
    )
    .hidden(),
    Flag::size(
        "storage.tsdb.wal-segment-size",
        "0B",
        "Size of a log segment; 0: 128MiB.",
    )
    .hidden(),
    Flag::bool(
        "storage.tsdb.wal-compression",
        true,
        "Compress the write-ahead log.",
    )
    .hidden(),
    Flag::one_of(
        "storage.tsdb.wal-compression-type",
        &["snappy", "zstd"],
        "snappy",
        "How the write-ahead log is compressed.",
    )
    .hidden(),
    Flag::string(
        "storage.tsdb.delay-compact-file.path",
        "",
        "Path to a JSON file with the blocks that were uploaded, as Thanos' sidecar writes it (thanos.shipper.json). New blocks that are not in it are not compacted.",
    ),
    Flag::duration(
        "storage.tsdb.block-reload-interval",
        "1m",
        "How often the data directory is looked through for blocks that were put there or taken away; at least 1s.",
    )
    .hidden(),
    Flag::size(
        "storage.tsdb.max-block-chunk-segment-size",
        "0B",
        "Largest chunk file of a block, from 1MB on; 0: 512MB.",
    )
    .hidden(),
    Flag::bool(
        "agent",
        false,
        "Run as an agent: scrape and send on by remote write, without queries.",
    ),
    Flag::string(
        "storage.agent.path",
        "data-agent/",
        "Directory of the agent's log. Use with agent mode only.",
    ),
    Flag::size(
        "storage.agent.wal-segment-size",
        "0B",
        "Size of a log segment; 0: 128MiB. Use with agent mode only.",
    )
    .hidden(),
    Flag::bool(
        "storage.agent.wal-compression",
        true,
        "Compress the agent's log. Use with agent mode only.",
    ),
    Flag::one_of(
        "storage.agent.wal-compression-type",
        &["snappy", "zstd"],
        "snappy",
        "How the agent's log is compressed. Use with agent mode only.",
    )
    .hidden(),
    Flag::duration(
        "storage.agent.wal-truncate-frequency",
        "0s",
        "How often the agent's log is truncated; 0: 2h. Use with agent mode only.",
    )
    .hidden(),
    Flag::duration(
        "storage.agent.retention.min-time",
        "0s",
        "How long a series without samples is remembered when the log is truncated; 0: 5m. Use with agent mode only.",
    ),
    Flag::duration(
        "storage.agent.retention.max-time",
        "0s",
        "How long the log is kept for an endpoint that does not take it; 0: 4h. Use with agent mode only.",
    ),
    Flag::bool(
        "storage.agent.no-lockfile",
        false,
        "Do not create a lock file in the agent's directory. Use with agent mode only.",
    ),
    Flag::duration(
        "storage.remote.flush-deadline",
        "1m",
        "Longest time that stopping and reloading wait for samples to be sent.",
    ),
    Flag::int(
        "storage.remote.read-sample-limit",
        "50000000",
        "Most samples of an answer to remote read in one piece; 0: no limit. Streamed answers have none.",
    ),
    Flag::int(
        "storage.remote.read-concurrent-limit",
        "10",
        "Most remote reads at once.",
    ),
    Flag::int(
        "storage.remote.read-max-bytes-in-frame",
        "1048576",
        "Bytes of a frame of a streamed answer to remote read, beyond which a series goes on in another.",
    ),
    Flag::duration(
        "storage.remote.log-retention",
        "6h",
        "How long the write-ahead log is kept for a remote write endpoint that does not take it.",
    ),
    Flag::duration(
        "query.lookback-delta",
        "5m",
        "How far back an instant looks for a sample.",
    ),
    Flag::duration("query.timeout", "2m", "Longest time of a query."),
    Flag::int("query.max-concurrency", "20", "Most queries at once."),
    Flag::int(
        "query.max-samples",
        "50000000",
        "Most samples that one query may hold in memory.",
    ),
    Flag::size(
        "query.max-memory",
        "1GiB",
        "Most memory that all queries together may hold; one that would exceed it fails alone.",
    ),
    Flag::string(
        "enable-feature",
        "",
        "Features to turn on, separated by commas.",
    )
    .repeatable(),
    Flag::string(
        "rule-evaluator.grpc-address",
        "",
        "gRPC address of the rule-evaluator whose rules and alerts the API shows.",
    ),
    Flag::int(
        "web.max-notifications-subscribers",
        "16",
        "Most streams of live notifications at once.",
    ),
    Flag::int(
        "storage.tsdb.samples-per-chunk",
        "120",
        "Samples in a chunk, about.",
    )
    .hidden(),
    Flag::bool(
        "storage.tsdb.allow-overlapping-compaction",
        true,
        "Merge overlapping blocks; off, somebody else does it.",
    )
    .hidden(),
    Flag::bool(
        "scrape.adjust-timestamps",
        true,
        "Align the times of scrapes that are a few milliseconds off, which makes chunks smaller.",
    )
    .hidden(),
    Flag::duration(
        "scrape.timestamp-tolerance",
        "2ms",
        "How far off a scrape may be to be aligned.",
    )
    .hidden(),
    Flag::string(
        "web.user-assets",
        "",
        "Folder of files that are served below /user.",
    ),
    // What follows is accepted for Prometheus' command lines and has no effect here.
    other("alertmanager.notification-queue-capacity", "10000", RULES),
    other("alertmanager.notification-batch-size", "256", RULES),
    Flag::bool(
        "alertmanager.drain-notification-queue-on-shutdown",
        true,
        RULES,
    ),
    other("rules.alert.for-outage-tolerance", "1h", RULES),
    other("rules.alert.for-grace-period", "10m", RULES),
    other("rules.alert.resend-delay", "1m", RULES),
    other("rules.max-concurrent-evals", "4", RULES),
    other("scrape.discovery-reload-interval", "5s", NONE).hidden(),
    other("storage.tsdb.head-chunks-write-queue-size", "0", NONE).hidden(),
    other("storage.tsdb.delayed-compaction.max-percent", "10", NONE).hidden(),
    other("web.console.templates", "consoles", NONE),
    other("web.console.libraries", "console_libraries", NONE),
    // Prometheus 2's; 3 refuses it.
    Flag::bool("storage.tsdb.allow-overlapping-blocks", true, NONE).hidden(),
    other("web.search.max-limit", "10000", NONE),
    Flag::bool("auto-gomaxprocs", true, NONE),
    Flag::bool("auto-gomemlimit", true, NONE),
    Flag::float("auto-gomemlimit.ratio", "0.9", NONE),
];

const NONE: &str = "Accepted for Prometheus' command lines; has no effect here.";
const RULES: &str =
    "Accepted for Prometheus' command lines; rule-evaluator has a flag of this name.";

/// A flag without effect.
const fn other(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag::string(name, default, help)
}

/// Says which of the flags given have no effect.
pub fn note_idle(args: &service::Args) {
    for flag in FLAGS
        .iter()
        .filter(|flag| [NONE, RULES].contains(&flag.help))
    {
        if args.is_set(flag.name) {
            tracing::info!(flag = flag.name, why = flag.help, "A flag has no effect");
        }
    }
}
