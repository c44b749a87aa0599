//! From flags to what the agent runs with. What it cannot do is refused here, by the flag's name.

use std::sync::Arc;
use std::time::Duration;

use golang::regexp::Regexp;
use http_client::{OAuth2, TlsConfig, Tokens};
use service::{Args, Error};
use yaml_config::Secret;

use crate::config;
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
    /// OAUTHBEARER, with tokens from a server.
    OAuthBearer(Arc<Tokens>),
}

impl Sasl {
    /// The mechanism a user named; `oauth2` is where tokens come from. Empty is `plain`.
    ///
    /// # Errors
    /// It is unknown or not supported, or there is nowhere to get tokens from.
    pub fn new(
        mechanism: &str,
        username: String,
        password: String,
        oauth2: &OAuth2,
    ) -> Result<Sasl, String> {
        let scram = |mechanism| Sasl::Scram {
            mechanism,
            username: username.clone(),
            password: password.clone(),
        };
        match mechanism.to_lowercase().as_str() {
            "" | "plain" => Ok(Sasl::Plain { username, password }),
            "scram-sha256" => Ok(scram(Mechanism::Sha256)),
            "scram-sha512" => Ok(scram(Mechanism::Sha512)),
            "oauthbearer" if oauth2.token_url.is_empty() => {
                Err("oauthbearer needs the URL tokens come from".to_owned())
            }
            "oauthbearer" => Tokens::new(oauth2)
                .map(|tokens| Sasl::OAuthBearer(Arc::new(tokens)))
                .map_err(|error| error.to_string()),
            "gssapi" | "awsiam" => Err(format!(
                "sasl mechanism {mechanism:?} is not supported: only plain, scram-sha256, scram-sha512 and oauthbearer are"
            )),
            _ => Err(format!(
                "invalid sasl mechanism \"{mechanism}\": can only be \"scram-sha256\", \"scram-sha512\", \"gssapi\", \"awsiam\", \"oauthbearer\" or \"plain\""
            )),
        }
    }
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

/// What the agent runs with for one cluster.
pub struct Settings {
    /// The cluster's name in the configuration file; `None`: the one of the command line.
    pub name: Option<String>,
    /// `host:port` of the brokers that are asked first.
    pub servers: Vec<String>,
    pub access: Access,
    /// `host:port` of ZooKeeper, where old consumers keep their commits; empty: nobody does.
    pub zookeeper: Vec<String>,
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
    /// Whether records are read for their times where the history does not reach.
    pub read_records: bool,
    /// How often configuration and log sizes are read; zero: never.
    pub details_interval: Duration,
}

/// What differs between clusters.
pub struct Place {
    pub name: Option<String>,
    pub servers: Vec<String>,
    pub tls: TlsConfig,
    pub tls_enabled: bool,
    pub sasl: Option<Sasl>,
    pub topics: NameFilter,
    pub groups: NameFilter,
    pub labels: Vec<(String, String)>,
}

impl Settings {
    /// The settings of each cluster: those of `--config.file`, or the one of the command line.
    ///
    /// # Errors
    /// What is wrong or not supported, with the flag's name or the place in the file.
    pub fn all(args: &Args) -> Result<Vec<Settings>, Error> {
        match args.get("config.file").unwrap_or_default() {
            "" => Ok(vec![Settings::from_args(args)?]),
            path => config::load(args, path.as_ref()),
        }
    }

    /// The settings of a command line.
    ///
    /// # Errors
    /// What is wrong or not supported, with the flag's name.
    pub fn from_args(args: &Args) -> Result<Settings, Error> {
        let filter = |what: &str| {
            let (filter, exclude) = (format!("{what}.filter"), format!("{what}.exclude"));
            NameFilter::new(args.str(&filter), args.str(&exclude))
                .map_err(|error| Error::new(format!("--{filter}, --{exclude}: {}", error.0)))
        };
        let listed = args.list("kafka.server").iter();
        let listed: Vec<&str> = listed.flat_map(|value| value.split(',')).collect();
        let servers =
            servers(&listed).map_err(|reason| Error::new(format!("--kafka.server: {reason}")))?;
        let place = Place {
            name: None,
            servers,
            tls: tls(args)?,
            tls_enabled: args.bool("tls.enabled"),
            sasl: sasl(args)?,
            topics: filter("topic")?,
            groups: filter("group")?,
            labels: labels_of(args)?,
        };
        Settings::of(place, args)
    }

    /// The settings of one cluster; what is the same for all is on the command line.
    ///
    /// # Errors
    /// Certificates that cannot be used; a flag that is not supported.
    pub fn of(place: Place, args: &Args) -> Result<Settings, Error> {
        refuse_unsupported(args)?;
        // Upstream refreshes metadata on its own interval; here one poll reads everything, so the
        // shorter of the two wishes holds where the metadata interval was given.
        let mut poll_interval = args.duration("poll.interval");
        if args.is_set("refresh.metadata") {
            poll_interval = poll_interval.min(args.duration("refresh.metadata"));
        }
        let tls = match place.tls_enabled {
            false => None,
            true => Some(Arc::new(
                http_client::client_config(&place.tls)
                    .map_err(|error| Error::new(format!("TLS to brokers: {error}")))?,
            )),
        };
        Ok(Settings {
            name: place.name,
            servers: place.servers,
            access: Access {
                tls,
                tls_server_name: place.tls.server_name,
                sasl: place.sasl,
                timeout: args
                    .duration("kafka.request-timeout")
                    .max(Duration::from_millis(1)),
                max_frame_bytes: usize::try_from(args.size("kafka.max-response-size"))
                    .unwrap_or(usize::MAX)
                    .clamp(1024, i32::MAX as usize),
            },
            zookeeper: zookeeper(args)?,
            topics: place.topics,
            groups: place.groups,
            labels: place.labels,
            show_all: args.bool("offset.show-all"),
            allow_auto_topic_creation: args.bool("kafka.allow-auto-topic-creation"),
            topic_workers: args.count("topic.workers").max(1),
            group_workers: args.count("group.workers").max(1),
            poll_interval: poll_interval.max(Duration::from_millis(50)),
            poll_timeout: args.duration("group.metrics.timeout"),
            stale_after: args.duration("poll.stale-after"),
            history_points: args.count("lag.history-points").min(10_000),
            read_records: args.bool("lag.read-records"),
            details_interval: args.duration("refresh.details"),
        })
    }
}

fn refuse_unsupported(args: &Args) -> Result<(), Error> {
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

/// Addresses, `host:port` each.
///
/// # Errors
/// The one that is none.
pub fn servers(listed: &[&str]) -> Result<Vec<String>, String> {
    let mut servers = Vec::new();
    for server in listed {
        let server = server.trim();
        if server.is_empty() {
            continue;
        }
        // Compose files of some images write the listener's protocol in front.
        let server = server.rsplit_once("://").map_or(server, |(_, rest)| rest);
        let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => servers.push(server.to_owned()),
            _ => return Err(format!("{server:?} is not of the form host:port")),
        }
    }
    match servers.is_empty() {
        true => Err("no address given".to_owned()),
        false => Ok(servers),
    }
}

fn zookeeper(args: &Args) -> Result<Vec<String>, Error> {
    if !args.bool("use.consumelag.zookeeper") {
        return Ok(Vec::new());
    }
    let listed = args.list("zookeeper.server").iter();
    let listed: Vec<&str> = listed.flat_map(|value| value.split(',')).collect();
    servers(&listed).map_err(|reason| Error::new(format!("--zookeeper.server: {reason}")))
}

/// `--kafka.labels`: `a=b,c=d`; parts without `=` are passed over, as upstream.
///
/// # Errors
/// A name that cannot be had.
pub fn labels_of(args: &Args) -> Result<Vec<(String, String)>, Error> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for part in args.str("kafka.labels").split(',') {
        let mut pieces = part.split('=');
        let (Some(name), Some(value)) = (pieces.next(), pieces.next()) else {
            continue;
        };
        label_name(name).map_err(|reason| Error::new(format!("--kafka.labels: {reason}")))?;
        labels.retain(|(known, _)| known != name);
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

/// Checks the name of a constant label.
///
/// # Errors
/// It is no name, or the metrics have such a label themselves.
pub fn label_name(name: &str) -> Result<(), String> {
    if !model::names::is_legacy_label_name(name) {
        return Err(format!("{name:?} is not a valid label name"));
    }
    match crate::page::LABELS.contains(&name) {
        true => Err(format!("{name:?} is a label of the metrics themselves")),
        false => Ok(()),
    }
}

fn tls(args: &Args) -> Result<TlsConfig, Error> {
    let config = TlsConfig {
        ca_file: args.str("tls.ca-file").into(),
        cert_file: args.str("tls.cert-file").into(),
        key_file: args.str("tls.key-file").into(),
        server_name: args.str("tls.server-name").to_owned(),
        insecure_skip_verify: args.bool("tls.insecure-skip-tls-verify"),
        ..TlsConfig::default()
    };
    if config.cert_file.as_os_str().is_empty() != config.key_file.as_os_str().is_empty() {
        return Err(Error::new(
            "--tls.cert-file and --tls.key-file: certificate and key must be supplied as a pair",
        ));
    }
    Ok(config)
}

/// The client credentials of OAUTHBEARER are user name and password, as upstream.
fn sasl(args: &Args) -> Result<Option<Sasl>, Error> {
    if !args.bool("sasl.enabled") {
        return Ok(None);
    }
    let username = args.str("sasl.username").to_owned();
    let password = args.str("sasl.password").to_owned();
    let oauth2 = OAuth2 {
        client_id: username.clone(),
        client_secret: Secret::new(password.clone()),
        token_url: args.str("sasl.oauthbearer-token-url").to_owned(),
        ..OAuth2::default()
    };
    Sasl::new(args.str("sasl.mechanism"), username, password, &oauth2)
        .map(Some)
        .map_err(|reason| Error::new(format!("--sasl.mechanism: {reason}")))
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
        assert!(sasl("awsiam").contains("not supported"));
        assert!(sasl("oauthbearer").contains("URL"));
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
