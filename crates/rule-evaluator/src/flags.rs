//! rule-evaluator's flags: those of Prometheus that concern rules and alerts, and ours.

use service::Flag;

/// The table; the kit adds `--log.*`, `--web.listen-address`, `--web.config.file`, `--grpc-address`.
pub const FLAGS: &[Flag] = &[
    Flag::string("config.file", "prometheus.yml", "Prometheus configuration file path."),
    service::AUTO_RELOAD,
    service::AUTO_RELOAD_INTERVAL,
    Flag::string(
        "query.grpc-address",
        "127.0.0.1:10901",
        "gRPC address of the scraper-store (thanos.Query) that expressions are evaluated on and results written to.",
    ),
    Flag::string(
        "write.grpc-address",
        "",
        "gRPC address of the store (thanos.WriteableStore) that results are written to; by default that of --query.grpc-address.",
    ),
    Flag::string(
        "query.url",
        "",
        "URL of a server with Prometheus' HTTP API (Prometheus, Thanos, Mimir, VictoriaMetrics) that expressions are evaluated on, instead of the gRPC endpoint.",
    ),
    Flag::one_of("query.http-method", &["POST", "GET"], "POST", "HTTP method of queries to --query.url."),
    Flag::string(
        "query.http-config-file",
        "",
        "File with the http_config (TLS, authentication, proxy) of requests to --query.url.",
    ),
    Flag::string(
        "write.url",
        "",
        "Remote write endpoint that results are written to; with --query.url and without --write.grpc-address by default <query.url>/api/v1/write.",
    ),
    Flag::string(
        "write.http-config-file",
        "",
        "File with the http_config of requests to --write.url; by default that of --query.http-config-file.",
    ),
    Flag::duration("query.timeout", "2m", "Longest time of one rule's query."),
    Flag::string(
        "alert-router.grpc-address",
        "",
        "gRPC address of the alert-router that alerts are pushed to, besides the alertmanagers of the configuration file.",
    )
    .repeatable(),
    Flag::string(
        "web.external-url",
        "",
        "The URL of the server that alerts link back to: scraper-store's, as users reach it.",
    ),
    Flag::bool("web.enable-lifecycle", false, "Enable stop and reload by HTTP request."),
    Flag::duration(
        "rules.alert.for-outage-tolerance",
        "1h",
        "How long an outage may be for the state of `for` to be restored.",
    ),
    Flag::duration(
        "rules.alert.for-grace-period",
        "10m",
        "Least time between an outage and the firing of an alert whose `for` was restored.",
    ),
    Flag::duration(
        "rules.alert.resend-delay",
        "1m",
        "Least time before an alert that still fires is sent again.",
    ),
    Flag::int("rules.max-concurrent-evals", "4", "Most rules of one group that are evaluated at once."),
    Flag::int(
        "alertmanager.notification-queue-capacity",
        "10000",
        "Most alerts that wait for one receiver; the oldest give way.",
    ),
    Flag::int("alertmanager.notification-batch-size", "256", "Most alerts in one request."),
    Flag::bool(
        "alertmanager.drain-notification-queue-on-shutdown",
        true,
        "Send what waits before stopping.",
    ),
    Flag::string("enable-feature", "", "Features to turn on, separated by commas.").repeatable(),
];
