//! Mechanisms that upstream has and we have not: a line for each. Their sections are read and checked with
//! upstream's words, so that a configuration is right or wrong here as it is there; a service that loads
//! one then refuses it by its key ([`crate::Configs::refused`]), and nothing is passed over silently.

use golang::strconv::quote as quoted;
use http_client::{HttpClientConfig, TlsConfig};
use serde::de::{Deserialize, Deserializer, Error as _};
use yaml_config::{Duration, Inline, Secret, Url};

/// What some mechanisms inline instead of an `http_config`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct Nothing {}

type Checked = Result<(), String>;

/// A mechanism a line: its type, upstream's name of that type, what is inlined, its fields with their
/// defaults, and what is checked beyond the fields' types.
macro_rules! sections {
    ($($name:ident as $go:literal + $inlined:ty {
        $($field:ident: $type:ty = $default:expr,)*
    } $check:expr;)*) => {$(
        #[doc = concat!("A section of upstream's `", $go, "`.")]
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Inline<fields::$name, $inlined>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let section: Inline<fields::$name, $inlined> = Inline::deserialize(deserializer)?;
                let check: fn(&fields::$name, &$inlined) -> Checked = $check;
                check(&section.own, &section.inlined).map_err(D::Error::custom)?;
                Ok($name(section))
            }
        }
    )*

    mod fields {
        use super::*;

        $(
            #[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
            #[serde(default, rename = $go)]
            pub struct $name {
                $(pub $field: $type,)*
            }

            impl Default for $name {
                fn default() -> $name {
                    $name { $($field: $default,)* }
                }
            }
        )*
    }};
}

fn none<T: Default>() -> T {
    T::default()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn fail(wrong: bool, message: impl Into<String>) -> Checked {
    if wrong { Err(message.into()) } else { Ok(()) }
}

fn url(text: &str) -> Result<Url, String> {
    text.parse()
        .map_err(|error: yaml_config::UrlError| error.to_string())
}

/// Where the fields' types say all.
fn no_check<A, B>(_: &A, _: &B) -> Checked {
    Ok(())
}

fn check_url(text: &str) -> Checked {
    let url = url(text)?;
    fail(
        !matches!(url.scheme(), "http" | "https"),
        "URL scheme must be 'http' or 'https'",
    )?;
    fail(url.host().is_empty(), "host is missing in URL")
}

fn check_zookeeper(name: &str, servers: &[String], paths: &[String]) -> Checked {
    fail(
        servers.is_empty(),
        format!("{name} SD config must contain at least one Zookeeper server"),
    )?;
    fail(
        paths.is_empty(),
        format!("{name} SD config must contain at least one path"),
    )?;
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(format!(
            "{name} SD config paths must begin with '/': {path}"
        )),
        None => Ok(()),
    }
}

fn check_secret_key(secret: &Secret, file: &str) -> Checked {
    fail(
        secret.is_empty() && file.is_empty(),
        "one of secret_key & secret_key_file must be configured",
    )?;
    fail(
        !secret.is_empty() && !file.is_empty(),
        "at most one of secret_key & secret_key_file must be configured",
    )
}

sections! {
    Aws as "aws.plain" + HttpClientConfig {
        role: String = none(),
        region: String = none(),
        endpoint: String = none(),
        access_key: String = none(),
        secret_key: Secret = none(),
        profile: String = none(),
        role_arn: String = none(),
        external_id: String = none(),
        clusters: Vec<String> = none(),
        filters: Vec<crate::mechanism::moby::Filter> = none(),
        port: i64 = 80,
        refresh_interval: Duration = secs(60),
        request_concurrency: i64 = 10,
    } |aws, _| {
        let known = ["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"];
        fail(!known.contains(&aws.role.as_str()), format!("unknown AWS SD role {}", quoted(&aws.role)))
    };

    Azure as "azure.plain" + HttpClientConfig {
        environment: String = text("AzurePublicCloud"),
        port: i64 = 80,
        subscription_id: String = none(),
        tenant_id: String = none(),
        client_id: String = none(),
        client_secret: Secret = none(),
        refresh_interval: Duration = secs(300),
        authentication_method: String = text("OAuth"),
        resource_group: String = none(),
    } |azure, _| {
        let oauth = azure.authentication_method == "OAuth";
        for (field, needed, missing) in [
            ("subscription_id", true, azure.subscription_id.is_empty()),
            ("tenant_id", oauth, azure.tenant_id.is_empty()),
            ("client_id", oauth, azure.client_id.is_empty()),
            ("client_secret", oauth, azure.client_secret.is_empty()),
        ] {
            fail(needed && missing, format!("azure SD configuration requires a {field}"))?;
        }
        let method = azure.authentication_method.as_str();
        let known = ["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"];
        fail(!known.contains(&method), format!(
            "unknown authentication_type {}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\"",
            quoted(method)
        ))
    };

    Digitalocean as "digitalocean.plain" + HttpClientConfig {
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
    } no_check;

    AwsClusters as "aws.plain" + HttpClientConfig {
        region: String = none(),
        endpoint: String = none(),
        access_key: String = none(),
        secret_key: Secret = none(),
        profile: String = none(),
        role_arn: String = none(),
        external_id: String = none(),
        clusters: Vec<String> = none(),
        port: i64 = 80,
        refresh_interval: Duration = secs(60),
        request_concurrency: i64 = 20,
    } no_check;

    Eureka as "eureka.plain" + HttpClientConfig {
        server: String = none(),
        refresh_interval: Duration = secs(30),
    } |eureka, _| {
        fail(eureka.server.is_empty(), "eureka_sd: empty or null eureka server")?;
        let url = url(&eureka.server)?;
        fail(url.scheme().is_empty() || url.host().is_empty(), "eureka_sd: invalid eureka server URL")
    };

    Gce as "gce.plain" + Nothing {
        project: String = none(),
        zone: String = none(),
        filter: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        tag_separator: String = text(","),
    } |gce, _| {
        fail(gce.project.is_empty(), "GCE SD configuration requires a project")?;
        fail(gce.zone.is_empty(), "GCE SD configuration requires a zone")
    };

    Hetzner as "hetzner.plain" + HttpClientConfig {
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        role: String = none(),
        label_selector: String = none(),
    } |hetzner, _| {
        fail(hetzner.role.is_empty(), "role missing (one of: robot, hcloud)")?;
        fail(!["robot", "hcloud"].contains(&hetzner.role.as_str()), format!("unknown role {}", quoted(&hetzner.role)))
    };

    Ionos as "ionos.plain" + HttpClientConfig {
        datacenter_id: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
    } |ionos, _| fail(ionos.datacenter_id.is_empty(), "datacenter id can't be empty");

    Kuma as "kuma.plain" + HttpClientConfig {
        server: String = none(),
        client_id: String = none(),
        refresh_interval: Duration = secs(15),
        fetch_timeout: Duration = secs(120),
    } |kuma, _| {
        let url = url(&kuma.server)?;
        fail(url.scheme().is_empty() || url.host().is_empty(), format!("kuma SD server must not be empty and have a scheme: {}", kuma.server))
    };

    Lightsail as "aws.plain" + HttpClientConfig {
        endpoint: String = none(),
        region: String = none(),
        access_key: String = none(),
        secret_key: Secret = none(),
        profile: String = none(),
        role_arn: String = none(),
        external_id: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
    } no_check;

    Linode as "linode.plain" + HttpClientConfig {
        region: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        tag_separator: String = text(","),
    } no_check;

    Marathon as "marathon.plain" + HttpClientConfig {
        servers: Vec<String> = none(),
        refresh_interval: Duration = secs(30),
        auth_token: Secret = none(),
        auth_token_file: String = none(),
        // Also of the inlined section, which would turn them into an authorization at once.
        bearer_token: Secret = none(),
        bearer_token_file: String = none(),
    } |marathon, http| {
        fail(marathon.servers.is_empty(), "marathon_sd: must contain at least one Marathon server")?;
        let (token, file) = (!marathon.auth_token.is_empty(), !marathon.auth_token_file.is_empty());
        fail(token && file, "marathon_sd: at most one of auth_token & auth_token_file must be configured")?;
        let given = token || file;
        let bearer = !marathon.bearer_token.is_empty() || !marathon.bearer_token_file.is_empty();
        fail(given && http.basic_auth.is_some(), "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured")?;
        fail(given && bearer, "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured")?;
        fail(given && http.authorization.is_some(), "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured")
    };

    Nerve as "zookeeper.plain" + Nothing {
        servers: Vec<String> = none(),
        paths: Vec<String> = none(),
        timeout: Duration = secs(10),
    } |nerve, _| check_zookeeper("nerve", &nerve.servers, &nerve.paths);

    Nomad as "nomad.plain" + HttpClientConfig {
        allow_stale: bool = true,
        namespace: String = text("default"),
        refresh_interval: Duration = secs(60),
        region: String = text("global"),
        server: String = text("http://localhost:4646"),
        tag_separator: String = text(","),
    } |nomad, _| fail(nomad.server.trim().is_empty(), "nomad SD configuration requires a server address");

    Oci as "oci.plain" + HttpClientConfig {
        auth: String = text("api_key"),
        region: String = none(),
        tenancy: String = none(),
        user: String = none(),
        fingerprint: String = none(),
        key_file: String = none(),
        key_passphrase: Secret = none(),
        key_passphrase_file: String = none(),
        compartments: Vec<String> = none(),
        port: i64 = 80,
        refresh_interval: Duration = secs(60),
    } |oci, _| {
        fail(oci.region.is_empty(), "oci_sd: region is required")?;
        match oci.auth.as_str() {
            "api_key" => {
                for (field, missing) in [
                    ("tenancy", oci.tenancy.is_empty()),
                    ("user", oci.user.is_empty()),
                    ("fingerprint", oci.fingerprint.is_empty()),
                    ("key_file", oci.key_file.is_empty()),
                ] {
                    fail(missing, format!("oci_sd: api_key auth requires {field}"))?;
                }
                fail(
                    !oci.key_passphrase.is_empty() && !oci.key_passphrase_file.is_empty(),
                    "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
                )?;
            }
            "instance_principal" => {
                let texts = [&oci.tenancy, &oci.user, &oci.fingerprint, &oci.key_file, &oci.key_passphrase_file];
                let any = texts.iter().any(|text| !text.is_empty()) || !oci.key_passphrase.is_empty();
                fail(any, "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set")?;
            }
            other => {
                return Err(format!("oci_sd: unknown auth method {}, expected \"api_key\" or \"instance_principal\"", quoted(other)));
            }
        }
        match oci.compartments.iter().position(String::is_empty) {
            Some(i) => Err(format!("oci_sd: compartments[{i}] must not be empty")),
            None => Ok(()),
        }
    };

    Openstack as "openstack.plain" + Nothing {
        identity_endpoint: String = none(),
        username: String = none(),
        userid: String = none(),
        password: Secret = none(),
        project_name: String = none(),
        project_id: String = none(),
        domain_name: String = none(),
        domain_id: String = none(),
        application_credential_name: String = none(),
        application_credential_id: String = none(),
        application_credential_secret: Secret = none(),
        role: String = none(),
        region: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        all_tenants: bool = false,
        tls_config: TlsConfig = none(),
        availability: String = text("public"),
    } |openstack, _| {
        let role = openstack.role.as_str();
        fail(!["", "hypervisor", "instance", "loadbalancer"].contains(&role), format!("unknown OpenStack SD role {}", quoted(role)))?;
        let availability = openstack.availability.as_str();
        fail(!["admin", "internal", "public"].contains(&availability), format!("unknown availability {availability}, must be one of admin, internal or public"))?;
        fail(role.is_empty(), "role missing (one of: instance, hypervisor, loadbalancer)")?;
        fail(openstack.region.is_empty(), "openstack SD configuration requires a region")
    };

    Outscale as "outscale.plain" + HttpClientConfig {
        region: String = none(),
        endpoint: String = none(),
        access_key: String = none(),
        secret_key: Secret = none(),
        secret_key_file: String = none(),
        port: i64 = 80,
        refresh_interval: Duration = secs(60),
    } |outscale, _| check_secret_key(&outscale.secret_key, &outscale.secret_key_file);

    Ovhcloud as "ovhcloud.plain" + Nothing {
        endpoint: String = text("ovh-eu"),
        application_key: String = none(),
        application_secret: Secret = none(),
        consumer_key: Secret = none(),
        refresh_interval: Duration = secs(60),
        service: String = none(),
    } |ovh, _| {
        fail(ovh.endpoint.is_empty(), "endpoint can not be empty")?;
        fail(ovh.application_key.is_empty(), "application key can not be empty")?;
        fail(ovh.application_secret.is_empty(), "application secret can not be empty")?;
        fail(ovh.consumer_key.is_empty(), "consumer key can not be empty")?;
        fail(!["vps", "dedicated_server"].contains(&ovh.service.as_str()), format!("unknown service: {}", ovh.service))
    };

    Puppetdb as "puppetdb.plain" + HttpClientConfig {
        refresh_interval: Duration = secs(60),
        url: String = none(),
        query: String = none(),
        include_parameters: bool = false,
        port: i64 = 80,
    } |puppetdb, _| {
        fail(puppetdb.url.is_empty(), "URL is missing")?;
        check_url(&puppetdb.url)?;
        fail(puppetdb.query.is_empty(), "query missing")
    };

    Scaleway as "scaleway.plain" + HttpClientConfig {
        project_id: String = none(),
        api_url: String = text("https://api.scaleway.com"),
        zone: String = text("fr-par-1"),
        access_key: String = none(),
        secret_key: Secret = none(),
        secret_key_file: String = none(),
        name_filter: String = none(),
        tags_filter: Vec<String> = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        role: String = none(),
    } |scaleway, _| {
        let role = scaleway.role.as_str();
        fail(role.is_empty(), "role missing (one of: instance, baremetal)")?;
        fail(!["baremetal", "instance"].contains(&role), format!("unknown role {}", quoted(role)))?;
        fail(scaleway.project_id.is_empty(), "project_id is mandatory")?;
        check_secret_key(&scaleway.secret_key, &scaleway.secret_key_file)?;
        fail(scaleway.access_key.is_empty(), "access_key is mandatory")
    };

    Serverset as "zookeeper.plain" + Nothing {
        servers: Vec<String> = none(),
        paths: Vec<String> = none(),
        timeout: Duration = secs(10),
    } |serverset, _| check_zookeeper("serverset", &serverset.servers, &serverset.paths);

    Stackit as "stackit.plain" + HttpClientConfig {
        project: String = none(),
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
        region: String = text("eu01"),
        endpoint: String = none(),
        service_account_key: Secret = none(),
        private_key: Secret = none(),
        service_account_key_path: String = none(),
        private_key_path: String = none(),
        credentials_file_path: String = none(),
    } |stackit, _| {
        let endpoint = stackit.endpoint.as_str();
        let right = endpoint.is_empty() || endpoint.parse::<Url>().is_ok_and(|url| !url.scheme().is_empty());
        fail(!right, format!("invalid endpoint {}", quoted(endpoint)))
    };

    Triton as "triton.plain" + Nothing {
        account: String = none(),
        role: String = text("container"),
        dns_suffix: String = none(),
        endpoint: String = none(),
        groups: Vec<String> = none(),
        port: i64 = 9163,
        refresh_interval: Duration = secs(60),
        tls_config: TlsConfig = none(),
        version: i64 = 1,
    } |triton, _| {
        fail(!["container", "cn"].contains(&triton.role.as_str()), "triton SD configuration requires role to be 'container' or 'cn'")?;
        fail(triton.account.is_empty(), "triton SD configuration requires an account")?;
        fail(triton.dns_suffix.is_empty(), "triton SD configuration requires a dns_suffix")?;
        fail(triton.endpoint.is_empty(), "triton SD configuration requires an endpoint")?;
        fail(triton.refresh_interval == Duration::ZERO, "triton SD configuration requires RefreshInterval to be a positive integer")
    };

    Uyuni as "uyuni.plain" + HttpClientConfig {
        server: String = none(),
        username: String = none(),
        password: Secret = none(),
        entitlement: String = text("monitoring_entitled"),
        separator: String = text(","),
        refresh_interval: Duration = secs(60),
    } |uyuni, _| {
        fail(uyuni.server.is_empty(), "Uyuni SD configuration requires server host")?;
        url(&uyuni.server)?;
        fail(uyuni.username.is_empty(), "Uyuni SD configuration requires a username")?;
        fail(uyuni.password.is_empty(), "Uyuni SD configuration requires a password")
    };

    Vultr as "vultr.plain" + HttpClientConfig {
        refresh_interval: Duration = secs(60),
        port: i64 = 80,
    } no_check;
}

#[cfg(test)]
mod tests {
    use crate::Configs;

    /// The conformance set `prometheus-config` has more of these.
    #[test]
    fn fields_are_checked_in_upstreams_words() {
        for (text, message) in [
            (
                "nomad_sd_configs: [{server: ' '}]",
                "nomad SD configuration requires a server address",
            ),
            (
                "nerve_sd_configs: [{servers: [a], paths: [b]}]",
                "nerve SD config paths must begin with '/': b",
            ),
            (
                "serverset_sd_configs: [{servers: [a]}]",
                "serverset SD config must contain at least one path",
            ),
            (
                "ovhcloud_sd_configs: [{application_key: a, application_secret: b, consumer_key: c, service: x}]",
                "unknown service: x",
            ),
            (
                "oci_sd_configs: [{region: r, auth: instance_principal, user: u}]",
                "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set",
            ),
            (
                "gce_sd_configs: [{project: p}]",
                "GCE SD configuration requires a zone",
            ),
            (
                "vultr_sd_configs: [{ports: 1}]",
                "line 1: field ports not found in type vultr.plain",
            ),
            (
                "linode_sd_configs: [{bearer_token: a, bearer_token_file: b}]",
                "at most one of bearer_token & bearer_token_file must be configured",
            ),
            (
                "triton_sd_configs: [{account: a, dns_suffix: b, endpoint: c, bearer_token: d}]",
                "line 1: field bearer_token not found in type triton.plain",
            ),
        ] {
            let error = yaml_config::from_str::<Configs>(text).unwrap_err();
            assert!(
                error.message().contains(message),
                "{text}: {}",
                error.message()
            );
        }
        let aws =
            "aws_sd_configs: [{role: rds, secret_key: x}]\nlightsail_sd_configs: [{region: x}]\n";
        let configs: Configs = yaml_config::from_str(aws).unwrap();
        assert_eq!(
            configs.refused(),
            ["aws_sd_configs", "lightsail_sd_configs"]
        );
        let printed = yaml_config::to_string(&configs).unwrap();
        assert!(printed.contains("secret_key: <secret>"), "{printed}");
    }
}
