//! How remote endpoints of clouds are told who we are: `sigv4`, `azuread`, `google_iam`. Read,
//! checked and shown; no service signs with them.
//!
//! Upstream: prometheus/sigv4, prometheus/prometheus `storage/remote/{azuread,googleiam}`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use golang::strconv::quote;
use serde::{Deserialize, Serialize};
use yaml_config::Secret;

use crate::checked::{checked, zero};

/// Signatures of Amazon's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", default, rename = "sigv4.plain")]
pub struct SigV4Config {
    #[serde(skip_serializing_if = "zero")]
    pub region: String,
    #[serde(skip_serializing_if = "zero")]
    pub access_key: String,
    #[serde(skip_serializing_if = "zero")]
    pub secret_key: Secret,
    #[serde(skip_serializing_if = "zero")]
    pub profile: String,
    #[serde(skip_serializing_if = "zero")]
    pub role_arn: String,
    #[serde(skip_serializing_if = "zero")]
    pub external_id: String,
    #[serde(skip_serializing_if = "zero")]
    pub session_name: String,
    #[serde(skip_serializing_if = "zero")]
    pub tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "zero")]
    pub use_fips_sts_endpoint: bool,
    #[serde(skip_serializing_if = "zero")]
    pub service_name: String,
}

impl SigV4Config {
    fn check(&mut self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config".to_owned());
        }
        for (field, given) in [
            ("external_id", !self.external_id.is_empty()),
            ("session_name", !self.session_name.is_empty()),
            ("tags", !self.tags.is_empty()),
        ] {
            if given && self.role_arn.is_empty() {
                return Err(format!("{field} can only be used with role_arn"));
            }
        }
        if !self.session_name.is_empty() && !is_session_name(&self.session_name) {
            return Err("session_name must match ^[\\w+=,.@-]{2,64}$ (2-64 alphanumeric and +=,.@- characters)".to_owned());
        }
        for (name, value) in &self.tags {
            if name.is_empty() {
                return Err("tag key must not be empty".to_owned());
            }
            if name.len() > 128 {
                return Err(format!(
                    "tag key {} exceeds maximum length of 128",
                    quote(name)
                ));
            }
            if value.len() > 256 {
                return Err(format!(
                    "tag value for key {} exceeds maximum length of 256",
                    quote(name)
                ));
            }
        }
        Ok(())
    }
}

fn is_session_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    (2..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// Tokens of Microsoft's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", default, rename = "azuread.plain")]
pub struct AzureAdConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<AzureIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<AzureIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<AzureIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<AzureIdentity>,
    /// `AzurePublic` unless said otherwise.
    #[serde(skip_serializing_if = "zero")]
    pub cloud: String,
    #[serde(skip_serializing_if = "zero")]
    pub scope: String,
}

/// Who we are in one of Microsoft's ways; which fields count depends on the way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "azuread.plain")]
pub struct AzureIdentity {
    #[serde(skip_serializing_if = "zero")]
    pub client_id: String,
    #[serde(skip_serializing_if = "zero")]
    pub client_secret: Secret,
    #[serde(skip_serializing_if = "zero")]
    pub tenant_id: String,
    #[serde(skip_serializing_if = "zero")]
    pub token_file_path: PathBuf,
}

impl AzureAdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.cloud.is_empty() {
            self.cloud = "AzurePublic".to_owned();
        }
        if !["AzurePublic", "AzureChina", "AzureGovernment"].contains(&self.cloud.as_str()) {
            return Err("must provide a cloud in the Azure AD config".to_owned());
        }
        let ways = [
            &self.managed_identity,
            &self.workload_identity,
            &self.oauth,
            &self.sdk,
        ];
        match ways.iter().filter(|way| way.is_some()).count() {
            0 => {
                return Err("must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth or Azure SDK in the Azure AD config".to_owned());
            }
            1 => {}
            _ => {
                return Err(
                    "cannot provide multiple authentication methods in the Azure AD config"
                        .to_owned(),
                );
            }
        }
        if let Some(identity) = &self.managed_identity
            && !identity.client_id.is_empty()
        {
            identity.check_client_id("Managed Identity")?;
        }
        if let Some(identity) = &self.workload_identity {
            identity.check_given("Workload Identity", false)?;
            identity.check_client_id("Workload Identity")?;
        }
        if let Some(identity) = &self.oauth {
            identity.check_given("OAuth", true)?;
            identity.check_client_id("OAuth")?;
        }
        Ok(())
    }
}

impl AzureIdentity {
    fn check_given(&self, way: &str, with_secret: bool) -> Result<(), String> {
        for (field, missing) in [
            ("client_id", self.client_id.is_empty()),
            (
                "client_secret",
                with_secret && self.client_secret.is_empty(),
            ),
            ("tenant_id", self.tenant_id.is_empty()),
        ] {
            if missing {
                return Err(format!(
                    "must provide an Azure {way} {field} in the Azure AD config"
                ));
            }
        }
        Ok(())
    }

    fn check_client_id(&self, way: &str) -> Result<(), String> {
        if is_uuid(&self.client_id) {
            Ok(())
        } else {
            Err(format!("the provided Azure {way} client_id is invalid"))
        }
    }
}

/// Groups of 8, 4, 4, 4 and 12 hexadecimal digits, or all of them in one.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
        && (groups == [8, 4, 4, 4, 12] || groups == [32])
}

/// Tokens of Google's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "googleiam.Config")]
pub struct GoogleIamConfig {
    #[serde(skip_serializing_if = "zero")]
    pub credentials_file: PathBuf,
}

checked! { SigV4Config, AzureAdConfig }

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
        yaml_config::from_str(text).map_err(|e| e.message())
    }

    #[test]
    fn signatures() {
        let good = "{region: eu, access_key: a, secret_key: s}";
        let config: SigV4Config = read(good).unwrap();
        assert_eq!(
            yaml_config::to_string(&config).unwrap(),
            "region: eu\naccess_key: a\nsecret_key: <secret>\n"
        );
        for (text, error) in [
            (
                "access_key: a",
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
            ),
            (
                "external_id: a",
                "external_id can only be used with role_arn",
            ),
            (
                "{role_arn: r, session_name: 'a b'}",
                "session_name must match ^[\\w+=,.@-]{2,64}$ (2-64 alphanumeric and +=,.@- characters)",
            ),
            ("tags: {a: b}", "tags can only be used with role_arn"),
            ("{role_arn: r, tags: {'': b}}", "tag key must not be empty"),
        ] {
            assert_eq!(read::<SigV4Config>(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn azure() {
        let id = "00000000-0000-0000-0000-0000000000ab";
        let good = format!("managed_identity: {{client_id: {id}}}");
        let config: AzureAdConfig = read(&good).unwrap();
        assert_eq!(config.cloud, "AzurePublic");
        for (text, error) in [
            (
                "cloud: Moon".to_owned(),
                "must provide a cloud in the Azure AD config",
            ),
            (
                "{}".to_owned(),
                "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth or Azure SDK in the Azure AD config",
            ),
            (
                format!("{good}\nsdk: {{tenant_id: t}}"),
                "cannot provide multiple authentication methods in the Azure AD config",
            ),
            (
                "managed_identity: {client_id: x}".to_owned(),
                "the provided Azure Managed Identity client_id is invalid",
            ),
            (
                format!("oauth: {{client_id: {id}, client_secret: s}}"),
                "must provide an Azure OAuth tenant_id in the Azure AD config",
            ),
        ] {
            assert_eq!(read::<AzureAdConfig>(&text).unwrap_err(), error, "{text}");
        }
    }
}
