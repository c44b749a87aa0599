//! `--config.file`: several clusters in one process.
//!
//! ```yaml
//! clusters:
//!   - name: east                      # the label `cluster` of all its metrics
//!     brokers: [kafka-1:9092, kafka-2:9092]
//!     labels: {region: eu}
//!     tls_config: {ca_file: ca.pem}   # as everywhere in Prometheus; absent: no TLS
//!     sasl: {mechanism: scram-sha512, username: agent, password_file: password}
//!     topic_exclude: ^__
//! ```
//!
//! Intervals, timeouts and limits are the same for all and on the command line, as are the filters of
//! clusters that have none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http_client::{HttpClientConfig, OAuth2, TlsConfig};
use serde::Deserialize;
use service::{Args, Error};
use yaml_config::{Secret, at_most_one};

use crate::settings::{NameFilter, Place, Sasl, Settings, label_name, labels_of, servers};

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    clusters: Vec<ClusterSection>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClusterSection {
    name: String,
    brokers: Vec<String>,
    labels: BTreeMap<String, String>,
    tls_config: Option<TlsConfig>,
    sasl: Option<SaslSection>,
    topic_filter: Option<String>,
    topic_exclude: Option<String>,
    group_filter: Option<String>,
    group_exclude: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaslSection {
    mechanism: String,
    username: String,
    password: Secret,
    password_file: PathBuf,
    /// Where the tokens of `oauthbearer` come from.
    oauth2: Option<OAuth2>,
}

/// Flags that say of one cluster what the file says of each.
const INSTEAD: [&str; 14] = [
    "kafka.server",
    "sasl.enabled",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer-token-url",
    "tls.enabled",
    "tls.server-name",
    "tls.ca-file",
    "tls.cert-file",
    "tls.key-file",
    "tls.insecure-skip-tls-verify",
    "kafka.version",
    "use.consumelag.zookeeper",
];

/// The settings of each cluster of the file.
///
/// # Errors
/// What is wrong with it, with the line or the cluster.
pub fn load(args: &Args, path: &Path) -> Result<Vec<Settings>, Error> {
    if let Some(flag) = INSTEAD.iter().find(|flag| args.is_set(flag)) {
        return Err(Error::new(format!(
            "--{flag} and --config.file: the file says it for each cluster"
        )));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(format!("--config.file {}: {error}", path.display())))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    parse(args, &text, directory)
        .map_err(|error| error.context(format!("--config.file {}", path.display())))
}

fn parse(args: &Args, text: &str, directory: &Path) -> Result<Vec<Settings>, Error> {
    let file: File = yaml_config::from_str(text).map_err(|error| Error::new(error.to_string()))?;
    if file.clusters.is_empty() {
        return Err(Error::new("clusters: none is given"));
    }
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(file.clusters.len());
    for (at, section) in file.clusters.into_iter().enumerate() {
        let name = section.name.clone();
        if name.is_empty() {
            return Err(Error::new(format!("clusters[{at}]: name is missing")));
        }
        if !names.insert(name.clone()) {
            return Err(Error::new(format!("cluster {name:?} is given twice")));
        }
        let settings = cluster(args, section, directory);
        all.push(settings.map_err(|error| error.context(format!("cluster {name:?}")))?);
    }
    Ok(all)
}

fn cluster(args: &Args, section: ClusterSection, directory: &Path) -> Result<Settings, Error> {
    let brokers: Vec<&str> = section.brokers.iter().map(String::as_str).collect();
    let servers = servers(&brokers).map_err(|reason| Error::new(format!("brokers: {reason}")))?;
    let mut labels = labels_of(args)?;
    let named = [("cluster".to_owned(), section.name.clone())];
    for (label, value) in section.labels.into_iter().chain(named) {
        label_name(&label).map_err(|reason| Error::new(format!("labels: {reason}")))?;
        labels.retain(|(known, _)| *known != label);
        labels.push((label, value));
    }
    let filter = |what: &str, filter: &Option<String>, exclude: &Option<String>| {
        let or_flag = |own: &Option<String>, flag: &str| match own {
            Some(own) => own.clone(),
            None => args.str(&format!("{what}.{flag}")).to_owned(),
        };
        NameFilter::new(&or_flag(filter, "filter"), &or_flag(exclude, "exclude"))
            .map_err(|error| Error::new(format!("{what}_filter, {what}_exclude: {}", error.0)))
    };
    let mut tls = section.tls_config.clone().unwrap_or_default();
    tls.set_directory(directory);
    let place = Place {
        tls,
        tls_enabled: section.tls_config.is_some(),
        sasl: section
            .sasl
            .map(|sasl| credentials(sasl, directory))
            .transpose()
            .map_err(|reason| Error::new(format!("sasl: {reason}")))?,
        topics: filter("topic", &section.topic_filter, &section.topic_exclude)?,
        groups: filter("group", &section.group_filter, &section.group_exclude)?,
        name: Some(section.name),
        servers,
        labels,
    };
    Settings::of(place, args)
}

fn credentials(section: SaslSection, directory: &Path) -> Result<Sasl, String> {
    let has_file = !section.password_file.as_os_str().is_empty();
    at_most_one(
        "",
        &[
            ("password", !section.password.is_empty()),
            ("password_file", has_file),
        ],
    )?;
    let password = match has_file {
        false => section.password.reveal().to_owned(),
        true => {
            let path = directory.join(&section.password_file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            text.trim().to_owned()
        }
    };
    // The HTTP section knows which of its files are relative to the configuration's folder.
    let mut http = HttpClientConfig {
        oauth2: Some(section.oauth2.unwrap_or_default()),
        ..HttpClientConfig::default()
    };
    http.set_directory(directory);
    let oauth2 = http.oauth2.unwrap_or_default();
    Sasl::new(&section.mechanism, section.username, password, &oauth2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::Boot;

    fn load(flags: &[&str], text: &str) -> Result<Vec<Settings>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kafka.yml"), text).unwrap();
        std::fs::write(dir.path().join("secret"), "from a file\n").unwrap();
        let path = dir.path().join("kafka.yml");
        let file = format!("--config.file={}", path.display());
        let mut all = vec![file.as_str()];
        all.extend(flags);
        let boot = Boot::new(&crate::PROGRAM, &all).unwrap();
        Settings::all(&boot.args).map_err(|error| error.to_string())
    }

    #[test]
    fn clusters_have_their_own_access_and_share_the_rest() {
        let all = load(
            &["--poll.interval=7s", "--kafka.labels=env=test,cluster=x", "--topic.exclude=^__"],
            "clusters:\n\
             - name: east\n  brokers: ['k1:9092', 'PLAINTEXT://k2:9092']\n  labels: {region: eu}\n\
             - name: west\n  brokers: ['k3:9093']\n  tls_config: {insecure_skip_verify: true, server_name: k}\n  \
               sasl: {mechanism: SCRAM-SHA512, username: u, password_file: secret}\n  topic_exclude: ^$\n\
             - name: north\n  brokers: ['k4:1']\n  \
               sasl: {mechanism: oauthbearer, oauth2: {client_id: a, client_secret: b, token_url: 'http://t/'}}\n",
        )
        .unwrap();
        let [east, west, north] = &all[..] else {
            panic!("three clusters");
        };
        assert_eq!(east.name.as_deref(), Some("east"));
        assert_eq!(east.servers, ["k1:9092", "k2:9092"]);
        let labels: Vec<String> = east
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(labels, ["env=test", "region=eu", "cluster=east"]);
        assert!(east.access.tls.is_none() && east.access.sasl.is_none());
        assert!(
            !east.topics.wants("__consumer_offsets") && west.topics.wants("__consumer_offsets")
        );
        assert_eq!(west.poll_interval, std::time::Duration::from_secs(7));
        assert!(west.access.tls.is_some());
        assert_eq!(west.access.tls_server_name, "k");
        assert!(
            matches!(&west.access.sasl, Some(Sasl::Scram { password, .. }) if password == "from a file")
        );
        assert!(matches!(&north.access.sasl, Some(Sasl::OAuthBearer(_))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = "clusters: [{name: a, brokers: ['k:1']}]";
        for (flags, text, word) in [
            (&[][..], "clusters: []", "none is given"),
            (&[], "clusters: [{brokers: ['k:1']}]", "name is missing"),
            (&[], "clusters: [{name: a}]", "no address"),
            (&[], "clusters: [{name: a, brokers: [k]}]", "host:port"),
            (&[], "clusters: [{name: a, borkers: []}]", "borkers"),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1']}, {name: a, brokers: ['k:1']}]",
                "twice",
            ),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1'], labels: {topic: x}}]",
                "label of the metrics",
            ),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1'], topic_filter: '('}]",
                "topic_filter",
            ),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1'], sasl: {mechanism: gssapi}}]",
                "not supported",
            ),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1'], sasl: {mechanism: oauthbearer}}]",
                "URL",
            ),
            (
                &[],
                "clusters: [{name: a, brokers: ['k:1'], sasl: {password: x, password_file: y}}]",
                "password_file",
            ),
            (&["--kafka.server=k:1"], one, "--kafka.server"),
            (&["--tls.enabled"], one, "--tls.enabled"),
        ] {
            let error = load(flags, text).err().unwrap_or_default();
            assert!(error.contains(word), "{text}: {error:?}");
        }
        assert!(load(&[], one).is_ok());
    }
}
