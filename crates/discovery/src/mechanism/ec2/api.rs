//! Asking Amazon: the query protocol, signed, and its answers in XML.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_client::{AwsCredentials, Client, SigningScope, sign_v4};
use serde::de::DeserializeOwned;

use super::super::moby::Filter;
use crate::fetch::fetch;
use crate::labels::escaped;

const EC2_VERSION: &str = "2016-11-15";
/// Instances in one answer: what Amazon allows at most.
const PAGE: usize = 1000;
/// More pages than any region has instances for.
const MAX_PAGES: usize = 1000;

/// A service of Amazon's in a region, and who asks it.
pub(super) struct Service<'a> {
    pub client: &'a Client,
    /// As in signatures: `ec2`.
    pub name: &'static str,
    pub url: String,
    pub region: &'a str,
    pub credentials: &'a AwsCredentials,
}

/// Where a service of a region listens.
pub(super) fn endpoint(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://{service}.{region}.{domain}/")
}

impl Service<'_> {
    /// The ids of the zones by their names.
    pub async fn zones(&self) -> Result<BTreeMap<String, String>, String> {
        let zones: Zones = self.ask("DescribeAvailabilityZones", &[]).await?;
        let zones = zones.zones.items.into_iter();
        Ok(zones.map(|zone| (zone.zone_name, zone.zone_id)).collect())
    }

    /// All instances that pass the filters.
    pub async fn reservations(&self, filters: &[Filter]) -> Result<Vec<Reservation>, String> {
        let mut common = vec![("MaxResults".to_owned(), PAGE.to_string())];
        for (i, filter) in (1..).zip(filters) {
            common.push((format!("Filter.{i}.Name"), filter.name.clone()));
            let values = (1..).zip(&filter.values);
            common.extend(values.map(|(j, v)| (format!("Filter.{i}.Value.{j}"), v.clone())));
        }
        let mut found = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut parameters = common.clone();
            if !token.is_empty() {
                parameters.push(("NextToken".to_owned(), token));
            }
            let page: Instances = self.ask("DescribeInstances", &parameters).await?;
            found.extend(page.reservations.items);
            token = page.next_token;
            if token.is_empty() {
                return Ok(found);
            }
        }
        Err("the list of instances does not end".to_owned())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        parameters: &[(String, String)],
    ) -> Result<T, String> {
        let parameters = parameters.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        self.call(action, EC2_VERSION, parameters).await
    }

    /// One signed call.
    pub async fn call<'p, T: DeserializeOwned>(
        &self,
        action: &str,
        version: &str,
        parameters: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<T, String> {
        let mut request = form(&self.url, action, version, parameters)?;
        let scope = SigningScope {
            region: self.region,
            service: self.name,
            unix_seconds: unix_now(),
        };
        sign_v4(&mut request, self.credentials, scope)?;
        answer(self.client, request).await
    }
}

/// A call as a form that is posted, unsigned.
pub(super) fn form<'p>(
    url: &str,
    action: &str,
    version: &str,
    parameters: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<Request<Bytes>, String> {
    let mut body = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        body.push_str(&format!("&{}={}", escaped(name), escaped(value)));
    }
    Request::post(url)
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(body.into())
        .map_err(|error| error.to_string())
}

/// Sends a call and reads its answer.
pub(super) async fn answer<T: DeserializeOwned>(
    client: &Client,
    request: Request<Bytes>,
) -> Result<T, String> {
    let answer = fetch(client, request).await?;
    if answer.status == StatusCode::OK {
        return parse(&answer.body);
    }
    let refusal: Refusal = parse(&answer.body).unwrap_or_default();
    let told = refusal.errors.error.or(refusal.error).unwrap_or_default();
    if told.code.is_empty() {
        return Err(format!("{}: {}", answer.status, answer.excerpt()));
    }
    let status = answer.status.as_u16();
    Err(format!(
        "{}: {} (status code: {status})",
        told.code, told.message
    ))
}

/// Reads XML.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// A list as the query protocol writes it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
pub(super) struct Set<T> {
    #[serde(rename = "item")]
    pub items: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Set<T> {
        Set { items: Vec::new() }
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Refusal {
    /// EC2's refusals.
    #[serde(rename = "Errors")]
    errors: Errors,
    /// Those of the other services.
    #[serde(rename = "Error")]
    error: Option<Told>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Errors {
    #[serde(rename = "Error")]
    error: Option<Told>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Told {
    code: String,
    message: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Zones {
    #[serde(rename = "availabilityZoneInfo")]
    zones: Set<Zone>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Zone {
    zone_name: String,
    zone_id: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Instances {
    #[serde(rename = "reservationSet")]
    pub reservations: Set<Reservation>,
    #[serde(rename = "nextToken")]
    next_token: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Reservation {
    #[serde(rename = "ownerId")]
    pub owner_id: String,
    #[serde(rename = "instancesSet")]
    pub instances: Set<Instance>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Instance {
    pub instance_id: String,
    pub image_id: String,
    #[serde(rename = "instanceState")]
    pub state: State,
    pub private_dns_name: Option<String>,
    pub dns_name: Option<String>,
    pub instance_type: String,
    pub placement: Placement,
    pub platform: Option<String>,
    pub subnet_id: Option<String>,
    pub vpc_id: Option<String>,
    pub private_ip_address: Option<String>,
    /// The public one.
    pub ip_address: Option<String>,
    pub architecture: Option<String>,
    #[serde(rename = "instanceLifecycle")]
    pub lifecycle: Option<String>,
    #[serde(rename = "tagSet")]
    pub tags: Set<Tag>,
    #[serde(rename = "networkInterfaceSet")]
    pub network_interfaces: Set<Interface>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub name: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Placement {
    pub availability_zone: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Interface {
    pub subnet_id: Option<String>,
    pub attachment: Attachment,
    #[serde(rename = "ipv6AddressesSet")]
    pub ipv6_addresses: Set<Ipv6Address>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Attachment {
    /// A byte: no instance has more interfaces.
    pub device_index: u8,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Ipv6Address {
    #[serde(rename = "ipv6Address")]
    pub ipv6_address: String,
    #[serde(rename = "isPrimaryIpv6")]
    pub is_primary: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_refusal() {
        let ec2 = b"<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors><RequestID>x</RequestID></Response>";
        let refusal: Refusal = parse(ec2).unwrap();
        assert_eq!(refusal.errors.error.unwrap().code, "AuthFailure");
        let sts = b"<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
        let refusal: Refusal = parse(sts).unwrap();
        assert_eq!(refusal.error.unwrap().code, "AccessDenied");
        assert!(parse::<Refusal>(b"not xml").is_err() || parse::<Refusal>(b"{}").is_err());
    }

    #[test]
    fn endpoints() {
        assert_eq!(
            endpoint("ec2", "eu-west-1"),
            "https://ec2.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            endpoint("sts", "cn-north-1"),
            "https://sts.cn-north-1.amazonaws.com.cn/"
        );
    }

    #[test]
    fn calls_are_forms() {
        let request = form("http://x/", "A", "1", [("F.1", "a b&c")].into_iter()).unwrap();
        assert_eq!(request.body(), "Action=A&Version=1&F.1=a%20b%26c");
    }
}
