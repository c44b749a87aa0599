//! Who we are to Amazon, found where its own clients look: the section, a profile, the environment, a token
//! of a cluster, the container, the instance; then, if the section says so, a role on top of it.

use std::path::PathBuf;

use bytes::Bytes;
use golang::time::Time;
use http::{Request, StatusCode};
use http_client::{AwsCredentials, Client};
use yaml_config::Secret;

use super::Ec2Section;
use super::api::{Service, answer, endpoint, form, unix_now};
use crate::fetch::{fetch, get};

const STS_VERSION: &str = "2011-06-15";
/// Temporary credentials are replaced so long before they end.
const BEFORE_EXPIRY_SECONDS: i64 = 300;
/// The instance's own service answers at once or not at all.
const METADATA_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// A role's profile names another one, and so on: no further than this.
const MAX_SOURCES: usize = 5;

/// Finds credentials and keeps them while they are good.
pub(super) struct Chain {
    section: Ec2Section,
    client: Client,
    known: Option<Known>,
    region: Option<String>,
    env: Env,
}

/// Answers environment variables.
pub(super) type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
struct Known {
    credentials: AwsCredentials,
    /// Of temporary ones.
    expires: Option<i64>,
}

impl Known {
    fn fixed(access_key: String, secret_key: String, session_token: String) -> Known {
        Known {
            credentials: AwsCredentials {
                access_key,
                secret_key: Secret::new(secret_key),
                session_token: Secret::new(session_token),
            },
            expires: None,
        }
    }

    fn is_good(&self) -> bool {
        self.expires
            .is_none_or(|expires| unix_now() < expires - BEFORE_EXPIRY_SECONDS)
    }
}

impl Chain {
    pub fn new(section: &Ec2Section, client: Client) -> Chain {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Chain::with_env(section, client, Box::new(env))
    }

    pub fn with_env(section: &Ec2Section, client: Client, env: Env) -> Chain {
        Chain {
            section: section.clone(),
            client,
            known: None,
            region: None,
            env,
        }
    }

    /// Forgets credentials that have been refused.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// The region to ask.
    pub async fn region(&mut self) -> Result<String, String> {
        if !self.section.region.is_empty() {
            return Ok(self.section.region.clone());
        }
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        let of_environment = (self.env)("AWS_REGION").or_else(|| (self.env)("AWS_DEFAULT_REGION"));
        let of_profile = || self.profiles().value(&self.profile(), "region");
        let region = match of_environment.or_else(of_profile) {
            Some(region) => region,
            None => self
                .instance("placement/region")
                .await
                .map_err(|error| format!("EC2 SD configuration requires a region: {error}"))?,
        };
        self.region = Some(region.clone());
        Ok(region)
    }

    /// Credentials that are good for some minutes at least.
    pub async fn credentials(&mut self, region: &str) -> Result<AwsCredentials, String> {
        if let Some(known) = &self.known
            && known.is_good()
        {
            return Ok(known.credentials.clone());
        }
        let mut found = self.find(region).await?;
        if !self.section.role_arn.is_empty() {
            let role = Role {
                arn: self.section.role_arn.clone(),
                external_id: self.section.external_id.clone(),
                session: String::new(),
            };
            found = self.assume(&role, &found.credentials, region).await?;
        }
        let credentials = found.credentials.clone();
        self.known = Some(found);
        Ok(credentials)
    }

    async fn find(&self, region: &str) -> Result<Known, String> {
        let env = &self.env;
        let section = &self.section;
        if !section.access_key.is_empty() {
            let secret = section.secret_key.reveal().to_owned();
            return Ok(Known::fixed(
                section.access_key.clone(),
                secret,
                String::new(),
            ));
        }
        if !section.profile.is_empty() {
            return self.of_profile(&section.profile, region).await;
        }
        if let (Some(access), Some(secret)) =
            (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"))
        {
            let token = env("AWS_SESSION_TOKEN").unwrap_or_default();
            return Ok(Known::fixed(access, secret, token));
        }
        if let (Some(file), Some(arn)) = (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN")) {
            let role = Role {
                arn,
                external_id: String::new(),
                session: env("AWS_ROLE_SESSION_NAME").unwrap_or_default(),
            };
            return self.with_web_identity(&role, &file, region).await;
        }
        let profile = self.profile();
        if env("AWS_PROFILE").is_some() || self.profiles().has(&profile) {
            return self.of_profile(&profile, region).await;
        }
        if let Some(url) = self.container_url() {
            return self.of_container(&url).await;
        }
        self.of_instance().await.map_err(|error| {
            format!("no credentials in the section, the environment, a profile, the container or the instance: {error}")
        })
    }

    fn profile(&self) -> String {
        if !self.section.profile.is_empty() {
            return self.section.profile.clone();
        }
        (self.env)("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())
    }

    fn profiles(&self) -> Profiles {
        let home = (self.env)("HOME").unwrap_or_default();
        let file = |variable: &str, default: &str| {
            let path = (self.env)(variable).map_or_else(
                || PathBuf::from(format!("{home}/.aws/{default}")),
                PathBuf::from,
            );
            std::fs::read_to_string(path).unwrap_or_default()
        };
        Profiles {
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: file("AWS_CONFIG_FILE", "config"),
        }
    }

    /// A profile's own keys, or the role that it takes on.
    async fn of_profile(&self, name: &str, region: &str) -> Result<Known, String> {
        let profiles = self.profiles();
        let mut roles = Vec::new();
        let mut name = name.to_owned();
        let mut found = None;
        for _ in 0..MAX_SOURCES {
            let value = |key: &str| profiles.value(&name, key);
            let text = |key: &str| value(key).unwrap_or_default();
            if !profiles.has(&name) {
                return Err(format!(
                    "failed to get shared config profile, {name}: it is neither in the credentials file nor in the config file"
                ));
            }
            for unknown in ["sso_session", "sso_start_url", "credential_process"] {
                if value(unknown).is_some() && value("aws_access_key_id").is_none() {
                    return Err(format!("profile {name}: {unknown} is not supported"));
                }
            }
            let role = value("role_arn").map(|arn| Role {
                arn,
                external_id: text("external_id"),
                session: text("role_session_name"),
            });
            match (
                role,
                value("web_identity_token_file"),
                value("source_profile"),
            ) {
                (Some(role), Some(file), _) => {
                    found = Some(self.with_web_identity(&role, &file, region).await?);
                    break;
                }
                (Some(role), None, Some(source)) if source != name => {
                    roles.push(role);
                    name = source;
                    continue;
                }
                (Some(role), None, source) => {
                    roles.push(role);
                    if source.is_none() {
                        found = Some(match text("credential_source").as_str() {
                            "Environment" => self.of_environment()?,
                            "EcsContainer" => {
                                let url = self.container_url();
                                let url = url.ok_or("there is no container to ask")?;
                                self.of_container(&url).await?
                            }
                            "Ec2InstanceMetadata" => self.of_instance().await?,
                            _ => {
                                return Err(format!(
                                    "profile {name}: role_arn needs source_profile, credential_source or web_identity_token_file"
                                ));
                            }
                        });
                        break;
                    }
                }
                (None, ..) => {}
            }
            let (Some(access), Some(secret)) =
                (value("aws_access_key_id"), value("aws_secret_access_key"))
            else {
                return Err(format!("profile {name}: no credentials"));
            };
            found = Some(Known::fixed(access, secret, text("aws_session_token")));
            break;
        }
        let mut found = found.ok_or("profiles name each other in a circle")?;
        while let Some(role) = roles.pop() {
            found = self.assume(&role, &found.credentials, region).await?;
        }
        Ok(found)
    }

    fn of_environment(&self) -> Result<Known, String> {
        let value = |name: &str| (self.env)(name).ok_or_else(|| format!("{name} is not set"));
        let token = (self.env)("AWS_SESSION_TOKEN").unwrap_or_default();
        Ok(Known::fixed(
            value("AWS_ACCESS_KEY_ID")?,
            value("AWS_SECRET_ACCESS_KEY")?,
            token,
        ))
    }

    fn sts(&self, region: &str) -> String {
        let named = (self.env)("AWS_ENDPOINT_URL_STS").or_else(|| (self.env)("AWS_ENDPOINT_URL"));
        named.unwrap_or_else(|| endpoint("sts", region))
    }

    async fn assume(
        &self,
        role: &Role,
        credentials: &AwsCredentials,
        region: &str,
    ) -> Result<Known, String> {
        let service = Service {
            client: &self.client,
            name: "sts",
            url: self.sts(region),
            region,
            credentials,
        };
        let session = role.session();
        let mut parameters = vec![
            ("RoleArn", role.arn.as_str()),
            ("RoleSessionName", session.as_str()),
        ];
        if !role.external_id.is_empty() {
            parameters.push(("ExternalId", &role.external_id));
        }
        let assumed: Assumed = service
            .call("AssumeRole", STS_VERSION, parameters.into_iter())
            .await
            .map_err(|error| format!("could not assume role {}: {error}", role.arn))?;
        assumed.result.credentials.known()
    }

    async fn with_web_identity(
        &self,
        role: &Role,
        file: &str,
        region: &str,
    ) -> Result<Known, String> {
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| format!("open {file}: {error}"))?;
        let session = role.session();
        let parameters = [
            ("RoleArn", role.arn.as_str()),
            ("RoleSessionName", session.as_str()),
            ("WebIdentityToken", token.trim()),
        ];
        let action = "AssumeRoleWithWebIdentity";
        let request = form(
            &self.sts(region),
            action,
            STS_VERSION,
            parameters.into_iter(),
        )?;
        let assumed: AssumedWithToken = answer(&self.client, request)
            .await
            .map_err(|error| format!("could not assume role {}: {error}", role.arn))?;
        assumed.result.credentials.known()
    }

    /// Where a container asks for the credentials of its task.
    fn container_url(&self) -> Option<String> {
        let relative = (self.env)("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("http://169.254.170.2{path}"));
        relative.or_else(|| (self.env)("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    }

    async fn of_container(&self, url: &str) -> Result<Known, String> {
        let mut request = get(url)?;
        let token = match (self.env)("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => {
                let text = tokio::fs::read_to_string(&file).await;
                Some(text.map_err(|error| format!("open {file}: {error}"))?)
            }
            None => (self.env)("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        if let Some(token) = token {
            let token = token.trim().parse();
            let token = token.map_err(|_| "the container's token is no header value")?;
            request.headers_mut().insert("Authorization", token);
        }
        let asked = fetch(&self.client, request);
        let answer = tokio::time::timeout(METADATA_TIMEOUT, asked).await;
        let answer = answer.map_err(|_| format!("{url} does not answer"))??;
        if answer.status != StatusCode::OK {
            return Err(format!("{url}: {}: {}", answer.status, answer.excerpt()));
        }
        answer.json::<Handed>()?.known()
    }

    async fn of_instance(&self) -> Result<Known, String> {
        const PATH: &str = "iam/security-credentials/";
        let roles = self.instance(PATH).await?;
        let role = roles.lines().next().unwrap_or("").trim();
        if role.is_empty() {
            return Err("the instance has no role".to_owned());
        }
        let handed = self.instance(&format!("{PATH}{role}")).await?;
        let handed: Handed = serde_json::from_str(&handed).map_err(|error| error.to_string())?;
        handed.known()
    }

    /// Something that the instance we run on knows of itself.
    async fn instance(&self, path: &str) -> Result<String, String> {
        if (self.env)("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Err("asking the instance is disabled".to_owned());
        }
        let base = (self.env)("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let base = base.trim_end_matches('/');
        let asked = async {
            let request = Request::put(format!("{base}/latest/api/token"))
                .header("X-aws-ec2-metadata-token-ttl-seconds", "300")
                .body(Bytes::new())
                .map_err(|error| error.to_string())?;
            let token = fetch(&self.client, request).await?;
            let mut request = get(&format!("{base}/latest/meta-data/{path}"))?;
            // Instances of the first kind have no tokens.
            if token.status == StatusCode::OK
                && let Ok(value) = http::HeaderValue::from_bytes(&token.body)
            {
                request
                    .headers_mut()
                    .insert("X-aws-ec2-metadata-token", value);
            }
            let answer = fetch(&self.client, request).await?;
            match answer.status {
                StatusCode::OK => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
                status => Err(format!("{base}: {path}: {status}")),
            }
        };
        let answer = tokio::time::timeout(METADATA_TIMEOUT, asked).await;
        answer.map_err(|_| format!("{base} does not answer"))?
    }
}

/// A role to take on.
struct Role {
    arn: String,
    external_id: String,
    session: String,
}

impl Role {
    /// How this use of the role is called in Amazon's logs.
    fn session(&self) -> String {
        if self.session.is_empty() {
            format!("firewatch-{}", unix_now())
        } else {
            self.session.clone()
        }
    }
}

/// The two files of a user.
struct Profiles {
    credentials: String,
    config: String,
}

impl Profiles {
    /// A setting of a profile; those of the credentials file go first.
    fn value(&self, profile: &str, key: &str) -> Option<String> {
        let found = ini_value(&self.credentials, profile, key);
        found.or_else(|| ini_value(&self.config, &config_section(profile), key))
    }

    fn has(&self, profile: &str) -> bool {
        ini_sections(&self.credentials).any(|name| name == profile)
            || ini_sections(&self.config).any(|name| name == config_section(profile))
    }
}

/// The config file's sections are called `profile x`, but for the default one.
fn config_section(profile: &str) -> String {
    match profile {
        "default" => profile.to_owned(),
        name => format!("profile {name}"),
    }
}

fn section_name(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.split(']').next()?;
    Some(name.trim())
}

fn ini_sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| section_name(line.trim()))
}

fn ini_value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        // Settings of a setting are further in.
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = section_name(line) {
            inside = name == section;
        } else if inside
            && !nested
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case(key)
        {
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
    }
    None
}

#[derive(serde::Deserialize)]
struct Assumed {
    #[serde(rename = "AssumeRoleResult")]
    result: AssumedRole,
}

#[derive(serde::Deserialize)]
struct AssumedWithToken {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: AssumedRole,
}

#[derive(serde::Deserialize)]
struct AssumedRole {
    #[serde(rename = "Credentials")]
    credentials: Handed,
}

/// Temporary credentials as all services hand them out.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Handed {
    access_key_id: String,
    secret_access_key: String,
    /// STS' name of it.
    session_token: String,
    /// Everybody else's.
    token: String,
    expiration: String,
}

impl Handed {
    fn known(self) -> Result<Known, String> {
        if self.access_key_id.is_empty() || self.secret_access_key.is_empty() {
            return Err("an answer without credentials".to_owned());
        }
        let token = if self.token.is_empty() {
            self.session_token
        } else {
            self.token
        };
        let expires = Time::parse("2006-01-02T15:04:05Z07:00", &self.expiration);
        Ok(Known {
            // What does not say when it ends is asked for again the next time.
            expires: Some(expires.map_or(0, |time| time.unix())),
            ..Known::fixed(self.access_key_id, self.secret_access_key, token)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=S\n\n[ops]\naws_access_key_id=B\naws_secret_access_key=T\naws_session_token=\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  region = us-east-1\n[profile deep]\nrole_arn = arn:role\nsource_profile = ops\n";

    #[test]
    fn profiles_of_both_files() {
        let profiles = Profiles {
            credentials: CREDENTIALS.to_owned(),
            config: CONFIG.to_owned(),
        };
        let value = |profile, key| profiles.value(profile, key);
        assert_eq!(value("default", "aws_access_key_id").as_deref(), Some("A"));
        assert_eq!(value("default", "region").as_deref(), Some("eu-west-1"));
        assert_eq!(value("ops", "AWS_SECRET_ACCESS_KEY").as_deref(), Some("T"));
        assert_eq!(value("ops", "aws_session_token"), None);
        assert_eq!(value("ops", "region"), None);
        assert_eq!(value("deep", "source_profile").as_deref(), Some("ops"));
        assert!(profiles.has("ops") && profiles.has("deep") && !profiles.has("profile deep"));
    }

    #[test]
    fn handed_out_credentials_end() {
        let known = |expiration: &str| {
            let handed = Handed {
                access_key_id: "A".to_owned(),
                secret_access_key: "S".to_owned(),
                token: "T".to_owned(),
                expiration: expiration.to_owned(),
                ..Handed::default()
            };
            handed.known().unwrap()
        };
        assert!(known("2999-01-01T00:00:00Z").is_good());
        assert!(known("2999-01-01T00:00:00.25Z").is_good());
        assert!(!known("2001-01-01T00:00:00Z").is_good());
        assert!(!known("").is_good());
        assert!(Handed::default().known().is_err());
        assert!(Known::fixed("A".into(), "S".into(), String::new()).is_good());
    }
}
