//! The flags: kafka_exporter's with its defaults and words (`kafka_exporter.go`), then ours.

use service::Flag;

/// The table; the kit adds `--web.config.file`, `--log.*`, `--version`, `--healthcheck`.
pub const FLAGS: &[Flag] = &[
    Flag::string(
        "web.listen-address",
        ":9308",
        "Address to listen on for web interface and telemetry.",
    )
    .repeatable(),
    Flag::string(
        "web.telemetry-path",
        "/metrics",
        "Path under which to expose metrics.",
    ),
    Flag::string(
        "topic.filter",
        ".*",
        "Regex that determines which topics to collect.",
    ),
    Flag::string(
        "topic.exclude",
        "^$",
        "Regex that determines which topics to exclude.",
    ),
    Flag::string(
        "group.filter",
        ".*",
        "Regex that determines which consumer groups to collect.",
    ),
    Flag::string(
        "group.exclude",
        "^$",
        "Regex that determines which consumer groups to exclude.",
    ),
    Flag::bool(
        "log.enable-sarama",
        false,
        "Turn on Sarama logging, default is false.",
    ),
    Flag::string(
        "kafka.server",
        "kafka:9092",
        "Address (host:port) of Kafka server.",
    )
    .repeatable()
    .env("KAFKA_BROKERS"),
    Flag::bool(
        "sasl.enabled",
        false,
        "Connect using SASL/PLAIN, default is false.",
    ),
    Flag::bool(
        "sasl.handshake",
        true,
        "Only set this to false if using a non-Kafka SASL proxy, default is true.",
    ),
    Flag::string("sasl.username", "", "SASL user name."),
    Flag::string("sasl.password", "", "SASL user password."),
    Flag::string(
        "sasl.aws-region",
        "",
        "The AWS region for IAM SASL authentication",
    )
    .env("AWS_REGION"),
    Flag::string(
        "sasl.oauthbearer-token-url",
        "",
        "The url to retrieve OAuthBearer tokens from, for OAuthBearer SASL authentication",
    ),
    Flag::string(
        "sasl.mechanism",
        "",
        "SASL SCRAM SHA algorithm: sha256 or sha512 or SASL mechanism: gssapi, awsiam or oauthbearer",
    ),
    Flag::string(
        "sasl.service-name",
        "",
        "Service name when using kerberos Auth",
    ),
    Flag::string("sasl.kerberos-config-path", "", "Kerberos config path"),
    Flag::string("sasl.realm", "", "Kerberos realm"),
    Flag::string(
        "sasl.kerberos-auth-type",
        "",
        "Kerberos auth type. Either 'keytabAuth' or 'userAuth'",
    ),
    Flag::string("sasl.keytab-path", "", "Kerberos keytab file path"),
    Flag::bool(
        "sasl.disable-PA-FX-FAST",
        false,
        "Configure the Kerberos client to not use PA_FX_FAST, default is false.",
    ),
    Flag::bool(
        "tls.enabled",
        false,
        "Connect to Kafka using TLS, default is false.",
    ),
    Flag::string(
        "tls.server-name",
        "",
        "Used to verify the hostname on the returned certificates unless tls.insecure-skip-tls-verify is given. The kafka server's name should be given.",
    ),
    Flag::string(
        "tls.ca-file",
        "",
        "The optional certificate authority file for Kafka TLS client authentication.",
    ),
    Flag::string(
        "tls.cert-file",
        "",
        "The optional certificate file for Kafka client authentication.",
    ),
    Flag::string(
        "tls.key-file",
        "",
        "The optional key file for Kafka client authentication.",
    ),
    Flag::bool(
        "server.tls.enabled",
        false,
        "Enable TLS for web server, default is false.",
    ),
    Flag::bool(
        "server.tls.mutual-auth-enabled",
        false,
        "Enable TLS client mutual authentication, default is false.",
    ),
    Flag::string(
        "server.tls.ca-file",
        "",
        "The certificate authority file for the web server.",
    ),
    Flag::string(
        "server.tls.cert-file",
        "",
        "The certificate file for the web server.",
    ),
    Flag::string(
        "server.tls.key-file",
        "",
        "The key file for the web server.",
    ),
    Flag::bool(
        "tls.insecure-skip-tls-verify",
        false,
        "If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure. Default is false",
    ),
    Flag::string("kafka.version", "2.0.0", "Kafka broker version"),
    Flag::bool(
        "use.consumelag.zookeeper",
        false,
        "if you need to use a group from zookeeper, default is false",
    ),
    Flag::string(
        "zookeeper.server",
        "localhost:2181",
        "Address (hosts) of zookeeper server.",
    )
    .repeatable(),
    Flag::string("kafka.labels", "", "Kafka cluster name"),
    Flag::go_duration("refresh.metadata", "30s", "Metadata refresh interval"),
    Flag::bool(
        "offset.show-all",
        true,
        "Whether show the offset/lag for all consumer group, otherwise, only show connected consumer groups, default is true",
    ),
    Flag::bool(
        "concurrent.enable",
        false,
        "If true, all scrapes will trigger kafka operations otherwise, they will share results. WARN: This should be disabled on large clusters. Default is false",
    ),
    Flag::int("topic.workers", "100", "Number of topic workers"),
    Flag::int(
        "group.workers",
        "100",
        "Most requests about groups that are under way at once",
    ),
    Flag::go_duration(
        "group.metrics.timeout",
        "5m",
        "Longest time of one poll of the cluster",
    ),
    Flag::bool(
        "kafka.allow-auto-topic-creation",
        false,
        "If true, the broker may auto-create topics that we requested which do not already exist, default is false.",
    ),
    Flag::int("verbosity", "0", "Verbosity log level"),
    Flag::go_duration(
        "poll.interval",
        "30s",
        "Time between two polls of the cluster; scrapes are answered from the last one.",
    ),
    Flag::go_duration(
        "poll.stale-after",
        "5m",
        "Age at which the data of the last good poll is shown no longer while the cluster cannot be reached.",
    ),
    Flag::go_duration(
        "kafka.request-timeout",
        "10s",
        "Longest time to connect to a broker, and to wait for one answer.",
    ),
    Flag::size(
        "kafka.max-response-size",
        "64MB",
        "Largest answer of a broker that is read.",
    ),
    Flag::int(
        "lag.history-points",
        "60",
        "Log ends remembered for each partition, from which lag is told in seconds; 0: no such metric.",
    ),
    Flag::bool(
        "lag.read-records",
        true,
        "Read the first unread record of a partition for its time where the remembered log ends do not reach back to it; needs to be allowed to read the topic.",
    ),
    Flag::go_duration(
        "refresh.details",
        "5m",
        "Time between two looks at topic configuration and log sizes; 0: none.",
    ),
    Flag::string(
        "config.file",
        "",
        "File with several clusters to watch, instead of the flags about one.",
    ),
];
