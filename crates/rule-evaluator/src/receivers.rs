//! Who gets alerts: alert-routers by flag, and the Alertmanagers that the configuration finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use discovery::{TargetGroup, TargetSets};
use http_client::{Client, ClientOptions};
use model::names::ValidationScheme;
use model::{Labels, LabelsBuilder};
use prometheus_config::{AlertmanagerConfig, Config};
use relabel::Rule;
use tonic::transport::{Channel, Endpoint};

use crate::notify::{GrpcReceiver, HttpReceiver, NamedSender, Sender};

/// A set of Alertmanagers, ready to make receivers of what discovery finds.
pub struct AlertmanagerSet {
    config: AlertmanagerConfig,
    client: Client,
    relabel: Vec<Rule>,
    alert_relabel: Vec<Rule>,
}

/// The sets of a configuration, by the name under which their targets are discovered.
///
/// # Errors
/// What is wrong with a set.
pub fn sets(config: &Config) -> Result<BTreeMap<String, AlertmanagerSet>, String> {
    let scheme = name_scheme(config);
    let mut sets = BTreeMap::new();
    for (i, set) in config.alerting.alertmanagers.iter().enumerate() {
        let client = Client::new(&set.http, ClientOptions::default()).map_err(|e| e.to_string())?;
        let compile = |rules: &[Option<relabel::Config>]| {
            let rules: Vec<relabel::Config> = rules.iter().flatten().cloned().collect();
            relabel::compile_all(&rules, scheme).map_err(|e| e.to_string())
        };
        let relabel = compile(&set.section.relabel_configs)?;
        let alert_relabel = compile(&set.section.alert_relabel_configs)?;
        let set = AlertmanagerSet {
            config: set.clone(),
            client,
            relabel,
            alert_relabel,
        };
        sets.insert(format!("config-{i}"), set);
    }
    Ok(sets)
}

/// The scheme of names that the configuration has in force.
pub fn name_scheme(config: &Config) -> ValidationScheme {
    match config.global.metric_name_validation_scheme.as_str() {
        "legacy" => ValidationScheme::Legacy,
        _ => ValidationScheme::Utf8,
    }
}

/// The receivers that the targets found make, by URL; one URL in two sets is one receiver.
pub fn from_targets(
    sets: &BTreeMap<String, AlertmanagerSet>,
    targets: &TargetSets,
) -> Vec<NamedSender> {
    let mut receivers: BTreeMap<String, Arc<dyn Sender>> = BTreeMap::new();
    for (name, groups) in targets {
        let Some(set) = sets.get(name) else { continue };
        for url in groups.iter().flat_map(|group| urls(set, group)) {
            receivers.entry(url.clone()).or_insert_with(|| {
                let timeout = *set.config.section.timeout;
                let rules = set.alert_relabel.clone();
                Arc::new(HttpReceiver::new(set.client.clone(), url, timeout, rules))
            });
        }
    }
    receivers.into_iter().collect()
}

/// The endpoints of a group's targets, as relabelling leaves them.
fn urls(set: &AlertmanagerSet, group: &TargetGroup) -> Vec<String> {
    let section = &set.config.section;
    let prefix = section.path_prefix.trim_matches('/');
    let path = if prefix.is_empty() {
        "/api/v2/alerts".to_owned()
    } else {
        format!("/{prefix}/api/v2/alerts")
    };
    let mut urls = Vec::new();
    for target in &group.targets {
        let mut labels = LabelsBuilder::new(Labels::from_pairs(group.labels.iter().chain(target)));
        labels
            .set("__scheme__", &section.scheme)
            .set("__alerts_path__", &path);
        if relabel::apply(&set.relabel, &mut labels) && !labels.get("__address__").is_empty() {
            let [scheme, address, path] =
                ["__scheme__", "__address__", "__alerts_path__"].map(|name| labels.get(name));
            urls.push(format!("{scheme}://{address}{path}"));
        }
    }
    urls
}

/// A channel to `host:port`, connected when first used and again whenever needed.
///
/// # Errors
/// An address that is none.
pub fn channel(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| format!("{address} is no host:port: {e}"))?;
    Ok(endpoint
        .connect_timeout(std::time::Duration::from_secs(3))
        .http2_keep_alive_interval(std::time::Duration::from_secs(10))
        .keep_alive_timeout(std::time::Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// The alert-routers at `addresses`.
///
/// # Errors
/// An address that is none.
pub fn routers(addresses: &[String]) -> Result<Vec<NamedSender>, String> {
    let router = |address: &String| {
        let sender: Arc<dyn Sender> = Arc::new(GrpcReceiver::new(channel(address)?));
        Ok((format!("grpc://{address}"), sender))
    };
    addresses
        .iter()
        .filter(|a| !a.is_empty())
        .map(router)
        .collect()
}
