//! From flags to what the agent runs with. What it cannot do is refused here, by the flag's name.

use std::sync::Arc;
use std::time::Duration;

use golang::regexp::Regexp;
use http_client::TlsConfig;
use service::{Args, Error};

use crate::scram::Mechanism;

/// Which names are wanted: matched by `filter` anywhere, and not by `exclude`.
#[derive(Debug)]
pub struct NameFilter {
    filter: Regexp,
    exclude: Regexp,
}

impl NameFilter {
    /// The filter of two regular expressions in Go's flavour, not anchored.
    ///
    /// # Errors
    /// The expression that is none.
    pub fn new(filter: &str, exclude: &str) -> Result<NameFilter, golang::regexp::Error> {
        Ok(NameFilter {
            filter: Regexp::new(filter)?,
            exclude: Regexp::new(exclude)?,
        })
    }

    /// Whether `name` is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.is_match(name) && !self.exclude.is_match(name)
    }
}

/// How to prove to a broker who we are.
#[derive(Clone)]
pub enum Sasl {
    /// SASL/PLAIN.
    Plain { username: String, password: String },
    /// SCRAM: the password does not go over the wire.
    Scram {
        mechanism: Mechanism,
        username: String,
        password: String,
    },
}

/// How brokers are reached.
#[derive(Clone)]
pub struct Access {
    /// `None`: plain TCP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The name certificates are checked against; empty: the broker's host.
    pub tls_server_name: String,
    /// `None`: no authentication.
    pub sasl: Option<Sasl>,
    /// Bound of connecting, and of each answer.
    pub timeout: Duration,
    /// Largest frame read, in bytes.
    pub max_frame_bytes: usize,
}

/// What the agent runs with.
pub struct Settings {
    /// `host:port` of the brokers that are asked first.
    pub servers: Vec<String>,
    pub access: Access,
    pub topics: NameFilter,
    pub groups: NameFilter,
    /// Labels of every metric about the cluster.
    pub labels: Vec<(String, String)>,
    /// Partitions nobody is assigned to are shown too.
    pub show_all: bool,
    pub allow_auto_topic_creation: bool,
    pub topic_workers: usize,
    pub group_workers: usize,
    pub poll_interval: Duration,
    pub poll_timeout: Duration,
    pub stale_after: Duration,
    pub history_points: usize,
}

impl Settings {
    /// The settings of a command line.
    ///
    /// # Errors
    /// What is wrong or not supported, with the flag's name.
    pub fn from_args(args: &Args) -> Result<Settings, Error> {
        refuse_unsupported(args)?;
        let filter = |what: &str| {
            let (filter, exclude) = (format!("{what}.filter"), format!("{what}.exclude"));
            NameFilter::new(args.str(&filter), args.str(&exclude))
                .map_err(|error| Error::new(format!("--{filter}, --{exclude}: {}", error.0)))
        };
        let servers = servers(args.list("kafka.server"))?;
        // Upstream refreshes metadata on its own interval; here one poll reads everything, so the
        // shorter of the two wishes holds where the metadata interval was given.
        let mut poll_interval = args.duration("poll.interval");
        if args.is_set("refresh.metadata") {
            poll_interval = poll_interval.min(args.duration("refresh.metadata"));
        }
        Ok(Settings {
            servers,
            access: Access {
                tls: tls(args)?,
                tls_server_name: args.str("tls.server-name").to_owned(),
                sasl: sasl(args)?,
                timeout: args
                    .duration("kafka.request-timeout")
                    .max(Duration::from_millis(1)),
                max_frame_bytes: usize::try_from(args.size("kafka.max-response-size"))
                    .unwrap_or(usize::MAX)
                    .clamp(1024, i32::MAX as usize),
            },
            topics: filter("topic")?,
            groups: filter("group")?,
            labels: labels(args.str("kafka.labels"))?,
            show_all: args.bool("offset.show-all"),
            allow_auto_topic_creation: args.bool("kafka.allow-auto-topic-creation"),
            topic_workers: args.count("topic.workers").max(1),
            group_workers: args.count("group.workers").max(1),
            poll_interval: poll_interval.max(Duration::from_millis(50)),
            poll_timeout: args.duration("group.metrics.timeout"),
            stale_after: args.duration("poll.stale-after"),
            history_points: args.count("lag.history-points").min(10_000),
        })
    }
}

fn refuse_unsupported(args: &Args) -> Result<(), Error> {
    for (flag, instead) in [
        (
            "use.consumelag.zookeeper",
            "groups that keep their offsets in ZooKeeper ended with Kafka 2",
        ),
        (
            "server.tls.enabled",
            "put the certificates into --web.config.file",
        ),
        (
            "server.tls.mutual-auth-enabled",
            "put client_auth_type into --web.config.file",
        ),
    ] {
        if args.bool(flag) {
            return Err(Error::new(format!("--{flag} is not supported: {instead}")));
        }
    }
    if !args.bool("sasl.handshake") {
        return Err(Error::new(
            "--no-sasl.handshake is not supported: only brokers that speak Kafka's own SASL handshake are",
        ));
    }
    if args.bool("concurrent.enable") {
        tracing::warn!("--concurrent.enable has no effect: scrapes are answered from memory");
    }
    if args.bool("log.enable-sarama") {
        tracing::warn!("--log.enable-sarama has no effect: use --log.level=debug");
    }
    Ok(())
}

/// Each value may list several, separated by commas, as KAFKA_BROKERS does.
fn servers(values: &[String]) -> Result<Vec<String>, Error> {
    let mut servers = Vec::new();
    for server in values.iter().flat_map(|value| value.split(',')) {
        let server = server.trim();
        if server.is_empty() {
            continue;
        }
        // Compose files of some images write the listener's protocol in front.
        let server = server.rsplit_once("://").map_or(server, |(_, rest)| rest);
        let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => servers.push(server.to_owned()),
            _ => {
                return Err(Error::new(format!(
                    "--kafka.server: {server:?} is not of the form host:port"
                )));
            }
        }
    }
    if servers.is_empty() {
        return Err(Error::new("--kafka.server: no address given"));
    }
    Ok(servers)
}

/// `a=b,c=d`; parts without `=` are passed over, as upstream.
fn labels(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        let mut pieces = part.split('=');
        let (Some(name), Some(value)) = (pieces.next(), pieces.next()) else {
            continue;
        };
        if !model::names::is_legacy_label_name(name) {
            return Err(Error::new(format!(
                "--kafka.labels: {name:?} is not a valid label name"
            )));
        }
        if ["id", "address", "topic", "partition", "consumergroup"].contains(&name) {
            return Err(Error::new(format!(
                "--kafka.labels: {name:?} is a label of the metrics themselves"
            )));
        }
        labels.retain(|(known, _)| known != name);
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

fn tls(args: &Args) -> Result<Option<Arc<rustls::ClientConfig>>, Error> {
    if !args.bool("tls.enabled") {
        return Ok(None);
    }
    let config = TlsConfig {
        ca_file: args.str("tls.ca-file").into(),
        cert_file: args.str("tls.cert-file").into(),
        key_file: args.str("tls.key-file").into(),
        insecure_skip_verify: args.bool("tls.insecure-skip-tls-verify"),
        ..TlsConfig::default()
    };
    if config.cert_file.as_os_str().is_empty() != config.key_file.as_os_str().is_empty() {
        return Err(Error::new(
            "--tls.cert-file and --tls.key-file: certificate and key must be supplied as a pair",
        ));
    }
    let config = http_client::client_config(&config)
        .map_err(|error| Error::new(format!("--tls.*: {error}")))?;
    Ok(Some(Arc::new(config)))
}

fn sasl(args: &Args) -> Result<Option<Sasl>, Error> {
    if !args.bool("sasl.enabled") {
        return Ok(None);
    }
    let mechanism = args.str("sasl.mechanism").to_lowercase();
    let username = args.str("sasl.username").to_owned();
    let password = args.str("sasl.password").to_owned();
    match mechanism.as_str() {
        "" | "plain" => Ok(Some(Sasl::Plain { username, password })),
        "scram-sha256" | "scram-sha512" => Ok(Some(Sasl::Scram {
            mechanism: match mechanism.as_str() {
                "scram-sha256" => Mechanism::Sha256,
                _ => Mechanism::Sha512,
            },
            username,
            password,
        })),
        "gssapi" | "awsiam" | "oauthbearer" => Err(Error::new(format!(
            "--sasl.mechanism={mechanism} is not supported: only plain, scram-sha256 and scram-sha512 are"
        ))),
        _ => Err(Error::new(format!(
            "invalid sasl mechanism \"{mechanism}\": can only be \"scram-sha256\", \"scram-sha512\", \"gssapi\", \"awsiam\", \"oauthbearer\" or \"plain\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::Boot;

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let boot = Boot::new(&crate::PROGRAM, args).map_err(|error| error.to_string())?;
        Settings::from_args(&boot.args).map_err(|error| error.to_string())
    }

    #[test]
    fn servers_may_be_lists_with_protocols() {
        let settings = settings(&[
            "--kafka.server=a:1, b:2,",
            "--kafka.server=PLAINTEXT://c:3",
            "--kafka.labels=cluster=x,nothing,zone=b=c",
        ])
        .unwrap();
        assert_eq!(settings.servers, ["a:1", "b:2", "c:3"]);
        let label = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(settings.labels, [label("cluster", "x"), label("zone", "b")]);
    }

    #[test]
    fn refusals_name_the_flag() {
        for (flag, word) in [
            ("--use.consumelag.zookeeper", "--use.consumelag.zookeeper"),
            ("--server.tls.enabled", "--web.config.file"),
            ("--server.tls.mutual-auth-enabled", "--web.config.file"),
            ("--no-sasl.handshake", "sasl.handshake"),
            ("--kafka.server=nohost", "host:port"),
            ("--topic.filter=(", "--topic.filter"),
            ("--kafka.labels=topic=x", "\"topic\""),
            ("--kafka.labels=1=x", "\"1\""),
            ("--refresh.metadata=abc", "invalid duration"),
        ] {
            let error = settings(&[flag]).err().unwrap_or_default();
            assert!(error.contains(word), "{flag}: {error:?}");
        }
        let sasl = |mechanism: &str| {
            let mechanism = format!("--sasl.mechanism={mechanism}");
            settings(&["--sasl.enabled", &mechanism])
                .err()
                .unwrap_or_default()
        };
        assert!(sasl("gssapi").contains("not supported"));
        assert!(sasl("x").contains("invalid sasl mechanism \"x\""));
        for known in ["", "PLAIN", "scram-sha256", "SCRAM-SHA512"] {
            assert_eq!(sasl(known), "");
        }
    }

    #[test]
    fn filters_match_anywhere() {
        let filter = NameFilter::new("ord", "^__").unwrap();
        assert!(filter.wants("my-orders"));
        assert!(!filter.wants("__orders"));
        assert!(!filter.wants("x"));
    }
}
