//! `dns_sd_configs`: targets from DNS records (prometheus/prometheus `discovery/dns`).

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType as Record};
use model::Labels;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::{Mechanism, Updates};
use crate::group::TargetGroup;
use crate::metrics::Metrics;
use crate::refresh;

/// A section of `dns_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DnsConfig {
    pub names: Vec<String>,
    pub refresh_interval: yaml_config::Duration,
    #[serde(rename = "type")]
    pub record: RecordType,
    /// For all records but SRV, which have ports of their own.
    pub port: i64,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum RecordType {
    #[serde(rename = "SRV")]
    Srv,
    #[serde(rename = "A")]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "MX")]
    Mx,
    #[serde(rename = "NS")]
    Ns,
}

impl RecordType {
    fn parse(name: &str) -> Option<RecordType> {
        Some(match name.to_uppercase().as_str() {
            "SRV" => RecordType::Srv,
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "NS" => RecordType::Ns,
            _ => return None,
        })
    }

    fn record(self) -> Record {
        match self {
            RecordType::Srv => Record::SRV,
            RecordType::A => Record::A,
            RecordType::Aaaa => Record::AAAA,
            RecordType::Mx => Record::MX,
            RecordType::Ns => Record::NS,
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(default, rename = "dns.plain")]
struct Plain {
    names: Vec<String>,
    refresh_interval: yaml_config::Duration,
    #[serde(rename = "type")]
    record: String,
    port: i64,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain {
            names: Vec::new(),
            refresh_interval: yaml_config::Duration::from_secs(30),
            record: "SRV".to_owned(),
            port: 0,
        }
    }
}

impl<'de> Deserialize<'de> for DnsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DnsConfig, D::Error> {
        let plain = Plain::deserialize(deserializer)?;
        if plain.names.is_empty() {
            return Err(D::Error::custom(
                "DNS-SD config must contain at least one SRV record name",
            ));
        }
        let Some(record) = RecordType::parse(&plain.record) else {
            return Err(D::Error::custom(format!(
                "invalid DNS-SD records type {}",
                plain.record
            )));
        };
        if record != RecordType::Srv && plain.port == 0 {
            return Err(D::Error::custom(
                "a port is required in DNS-SD configs for all record types except SRV",
            ));
        }
        Ok(DnsConfig {
            names: plain.names,
            refresh_interval: plain.refresh_interval,
            record,
            port: plain.port,
        })
    }
}

impl Mechanism for DnsConfig {
    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let interval = *self.refresh_interval;
            let config = Arc::new(*self);
            let described = ("dns", config.names.join(","));
            let counted = metrics.clone();
            let told = updates.clone();
            let look = || look(config.clone(), counted.clone(), told.clone());
            refresh::every(
                interval,
                (described.0, &described.1),
                &metrics,
                &updates,
                look,
            )
            .await;
        })
    }
}

/// Asks for all names at once. One that fails keeps its last targets; the others are published.
async fn look(
    config: Arc<DnsConfig>,
    metrics: Metrics,
    updates: Updates,
) -> Result<Vec<TargetGroup>, String> {
    // Read again every time: the system's servers may have changed.
    let resolver = TokioResolver::builder_tokio()
        .map_err(|error| format!("could not load resolv.conf: {error}"))?
        .build();
    let lookups = config
        .names
        .iter()
        .map(|name| lookup(&resolver, &config, name));
    let mut groups = Vec::new();
    for (name, result) in config.names.iter().zip(join_all(lookups).await) {
        metrics.dns_lookups.inc();
        let shown = format!("{name} {:?}", config.record.record());
        match result {
            Ok(targets) => {
                updates.recovered(&shown);
                groups.push(TargetGroup {
                    source: name.clone(),
                    targets,
                    labels: Labels::empty(),
                });
            }
            Err(error) => {
                metrics.dns_failures.inc();
                updates.failed("dns", &shown, &error);
            }
        }
    }
    Ok(groups)
}

async fn lookup(
    resolver: &TokioResolver,
    config: &DnsConfig,
    name: &str,
) -> Result<Vec<Labels>, String> {
    let answer = match resolver.lookup(name, config.record.record()).await {
        Ok(answer) => answer,
        // No such name, or no such record: an answer, and nothing is behind it.
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let found = answer.iter().filter_map(found);
    Ok(found
        .map(|found| labels(name, config.port, &found))
        .collect())
}

/// What a record says.
struct Found {
    host: String,
    /// The port of an SRV record.
    port: Option<u16>,
    label: &'static str,
}

fn found(data: &RData) -> Option<Found> {
    let plain = |host: &dyn fmt::Display, label| Found {
        host: host.to_string().trim_end_matches('.').to_owned(),
        port: None,
        label,
    };
    Some(match data {
        RData::SRV(record) => Found {
            port: Some(record.port()),
            ..plain(record.target(), "__meta_dns_srv_record_target")
        },
        RData::MX(record) => plain(record.exchange(), "__meta_dns_mx_record_target"),
        RData::NS(record) => plain(&record.0, "__meta_dns_ns_record_target"),
        RData::A(record) => plain(&record.0, ""),
        RData::AAAA(record) => plain(&record.0, ""),
        // CNAMEs on the way to the answer.
        _ => return None,
    })
}

fn labels(name: &str, port: i64, found: &Found) -> Labels {
    let port = found.port.map_or(port, i64::from).to_string();
    let address = if found.host.contains(':') {
        format!("[{}]:{port}", found.host)
    } else {
        format!("{}:{port}", found.host)
    };
    // The target's label has its final dot, the address has not.
    let target = format!("{}.", found.host);
    let mut pairs = vec![("__address__", address.as_str()), ("__meta_dns_name", name)];
    if !found.label.is_empty() {
        pairs.push((found.label, target.as_str()));
    }
    if found.port.is_some() {
        pairs.push(("__meta_dns_srv_record_port", port.as_str()));
    }
    Labels::from_pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, port: i64, found: Found, expected: &[(&str, &str)]) {
        assert_eq!(
            labels(name, port, &found),
            Labels::from_pairs(expected.iter().copied())
        );
    }

    #[test]
    fn labels_of_records() {
        let srv = Found {
            host: "db1.example.com".to_owned(),
            port: Some(3306),
            label: "__meta_dns_srv_record_target",
        };
        check(
            "_mysql._tcp.db.example.com.",
            0,
            srv,
            &[
                ("__address__", "db1.example.com:3306"),
                ("__meta_dns_name", "_mysql._tcp.db.example.com."),
                ("__meta_dns_srv_record_target", "db1.example.com."),
                ("__meta_dns_srv_record_port", "3306"),
            ],
        );
        let address = Found {
            host: "::1".to_owned(),
            port: None,
            label: "",
        };
        check(
            "web.example.com.",
            80,
            address,
            &[
                ("__address__", "[::1]:80"),
                ("__meta_dns_name", "web.example.com."),
            ],
        );
    }

    #[test]
    fn sections() {
        let parse = |text: &str| yaml_config::from_str::<DnsConfig>(text);
        assert_eq!(parse("names: [a]\n").unwrap().record, RecordType::Srv);
        assert_eq!(
            parse("{names: [a], type: aaaa, port: 1}\n").unwrap().record,
            RecordType::Aaaa
        );
        for (text, error) in [
            (
                "{}",
                "DNS-SD config must contain at least one SRV record name",
            ),
            ("{names: [a], type: TXT}", "invalid DNS-SD records type TXT"),
            (
                "{names: [a], type: A}",
                "a port is required in DNS-SD configs for all record types except SRV",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().message(), error);
        }
    }
}
