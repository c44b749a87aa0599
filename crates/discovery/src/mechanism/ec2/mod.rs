//! `ec2_sd_configs`: the instances of an Amazon account in a region (prometheus/prometheus `discovery/aws`).
//!
//! Instances of an autoscaling group are targets of their own each, under their private addresses. Where
//! credentials come from is in `credentials`; how Amazon is asked, and its answers, in `api`.

mod api;
mod credentials;
mod labels;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use http_client::{ClientOptions, HttpClientConfig};
use model::Labels;
use serde::de::{Deserialize, Deserializer, Error as _};
use yaml_config::{Inline, Secret};

use self::api::Service;
use self::credentials::Chain;
use super::moby::Filter;
use super::{Mechanism, Updates};
use crate::group::TargetGroup;
use crate::metrics::Metrics;
use crate::refresh;

/// A section of `ec2_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Ec2Config(Inline<Ec2Section, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "aws.plain")]
pub struct Ec2Section {
    /// Amazon's own of the region, if empty.
    pub endpoint: String,
    /// That of the environment, the profile or the instance we run on, if empty.
    pub region: String,
    /// With `secret_key`; else those of the environment, the profile, the container or the instance.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub secret_key: Secret,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// A role to take on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_arn: String,
    /// What the role's owner asks for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    pub refresh_interval: yaml_config::Duration,
    pub port: u16,
    /// Amazon's own filters of instances.
    pub filters: Vec<Filter>,
}

impl Default for Ec2Section {
    fn default() -> Ec2Section {
        Ec2Section {
            endpoint: String::new(),
            region: String::new(),
            access_key: String::new(),
            secret_key: Secret::default(),
            profile: String::new(),
            role_arn: String::new(),
            external_id: String::new(),
            refresh_interval: yaml_config::Duration::from_secs(60),
            port: 80,
            filters: Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Ec2Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ec2Config, D::Error> {
        let section: Inline<Ec2Section, HttpClientConfig> = Inline::deserialize(deserializer)?;
        if section.own.filters.iter().any(|f| f.values.is_empty()) {
            return Err(D::Error::custom(
                "EC2 SD configuration filter values cannot be empty",
            ));
        }
        if section.own.access_key.is_empty() != section.own.secret_key.is_empty() {
            return Err(D::Error::custom(
                "EC2 SD configuration requires access_key and secret_key, or neither",
            ));
        }
        Ok(Ec2Config(section))
    }
}

impl Mechanism for Ec2Config {
    fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Ec2Config(Inline {
                own: section,
                inlined,
            }) = *self;
            let interval = *section.refresh_interval;
            let config = match (section.region.as_str(), section.endpoint.as_str()) {
                ("", endpoint) => endpoint.to_owned(),
                (region, "") => region.to_owned(),
                (region, endpoint) => format!("{region} {endpoint}"),
            };
            let described = ("ec2", config.as_str());
            let options = ClientOptions::default();
            let Some(client) = updates.client(described, &inlined, options.clone(), &metrics)
            else {
                return;
            };
            // Whom to ask for credentials is not what the section is about: no proxies of its own, no
            // authorization.
            let plain = HttpClientConfig::default();
            let Some(neutral) = updates.client(described, &plain, options, &metrics) else {
                return;
            };
            let account = Arc::new(tokio::sync::Mutex::new(Account {
                chain: Chain::new(&section, neutral),
                client,
                zones: None,
                section,
            }));
            let look = || {
                let account = account.clone();
                async move {
                    let asked = async { account.lock().await.look().await };
                    let answer = tokio::time::timeout(interval, asked).await;
                    answer.map_err(|_| "context deadline exceeded".to_owned())?
                }
            };
            refresh::every(interval, described, &metrics, &updates, look).await;
        })
    }
}

struct Account {
    section: Ec2Section,
    chain: Chain,
    client: http_client::Client,
    /// The ids of the region's zones by their names, which every account has of its own. They do not
    /// change; asked for until they have been told.
    zones: Option<BTreeMap<String, String>>,
}

impl Account {
    async fn look(&mut self) -> Result<Vec<TargetGroup>, String> {
        let result = self.try_look().await;
        if let Err(error) = &result
            && (error.contains("AuthFailure") || error.contains("UnauthorizedOperation"))
        {
            self.chain.forget();
        }
        result
    }

    async fn try_look(&mut self) -> Result<Vec<TargetGroup>, String> {
        let region = self.chain.region().await?;
        let credentials = self.chain.credentials(&region).await?;
        let service = Service {
            client: &self.client,
            name: "ec2",
            url: match self.section.endpoint.as_str() {
                "" => api::endpoint("ec2", &region),
                endpoint => endpoint.to_owned(),
            },
            region: &region,
            credentials: &credentials,
        };
        if self.zones.is_none() {
            match service.zones().await {
                Ok(zones) => self.zones = Some(zones),
                // Not everybody may ask for them; their ids are a label less.
                Err(error) => {
                    tracing::debug!(discovery = "ec2", err = %error, "Unable to describe availability zones");
                }
            }
        }
        let filters = self.section.filters.as_slice();
        let reservations = service.reservations(filters).await;
        let reservations =
            reservations.map_err(|error| format!("could not describe instances: {error}"))?;
        let zones = self.zones.as_ref();
        let instances = reservations.iter().flat_map(|reservation| {
            let instances = reservation.instances.items.iter();
            instances.map(|instance| (reservation.owner_id.as_str(), instance))
        });
        let targets = instances.filter_map(|(owner, instance)| {
            labels::target(instance, owner, &region, zones, self.section.port)
        });
        Ok(vec![TargetGroup {
            targets: targets.collect(),
            source: region.clone(),
            labels: Labels::empty(),
        }])
    }
}
