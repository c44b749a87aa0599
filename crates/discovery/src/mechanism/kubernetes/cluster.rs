//! How a cluster is reached: the one we run in, the one that `kubectl` would reach, or a named API server.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_client::{Authorization, BasicAuth, HttpClientConfig, TlsConfig};
use serde::Deserialize;
use yaml_config::{Secret, Url};

use super::config::KubernetesConfig;

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server and how it is talked to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    /// Without the final slash.
    pub url: String,
    pub http: HttpClientConfig,
    /// That of the pod we run in, where that is known and wanted.
    pub own_namespace: Option<String>,
}

impl Cluster {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn of(
        config: &KubernetesConfig,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Cluster, String> {
        let section = &config.0.own;
        if !section.kubeconfig_file.is_empty() {
            return Cluster::of_kubeconfig(Path::new(&section.kubeconfig_file));
        }
        if section.api_server.is_empty() {
            let own = section.namespaces.own_namespace;
            return Cluster::in_cluster(env, Path::new(SERVICE_ACCOUNT), own);
        }
        Ok(Cluster {
            url: section.api_server.as_str().trim_end_matches('/').to_owned(),
            http: config.0.inlined.clone(),
            own_namespace: None,
        })
    }

    fn in_cluster(
        env: &dyn Fn(&str) -> Option<String>,
        account: &Path,
        own_namespace: bool,
    ) -> Result<Cluster, String> {
        let host = env("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
        let port = env("KUBERNETES_SERVICE_PORT").filter(|port| !port.is_empty());
        let (Some(host), Some(port)) = (host, port) else {
            return Err("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined".to_owned());
        };
        let token = account.join("token");
        read(&token)?;
        let own_namespace = if own_namespace {
            let name = read(&account.join("namespace"))
                .map_err(|error| format!("could not determine the pod's namespace: {error}"))?;
            if name.is_empty() {
                return Err("could not read own namespace name (empty file)".to_owned());
            }
            Some(name)
        } else {
            None
        };
        Ok(Cluster {
            url: format!(
                "https://{}",
                crate::labels::join_host_port(&host, port.as_str())
            ),
            // Both files change while we run; the client reads them again.
            http: HttpClientConfig {
                authorization: Some(Authorization {
                    kind: "Bearer".to_owned(),
                    credentials_file: token,
                    ..Authorization::default()
                }),
                tls_config: TlsConfig {
                    ca_file: account.join("ca.crt"),
                    ..TlsConfig::default()
                },
                ..HttpClientConfig::default()
            },
            own_namespace,
        })
    }

    fn of_kubeconfig(path: &Path) -> Result<Cluster, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("error loading config file {shown:?}: {error}"))?;
        let file: File = yaml_config::from_str_ignoring_unknown(&text)
            .map_err(|error| format!("error loading config file {shown:?}: {error}"))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        file.cluster(directory)
            .map_err(|error| format!("{shown}: {error}"))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("open {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// A `kubeconfig` file; fields that say nothing about the connection are passed over.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: String,
    contexts: Vec<NamedContext>,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: String,
    cluster: Server,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Server {
    server: String,
    certificate_authority: PathBuf,
    certificate_authority_data: String,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: Url,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: PathBuf,
    client_certificate_data: String,
    client_key: PathBuf,
    client_key_data: Secret,
    token: Secret,
    #[serde(rename = "tokenFile")]
    token_file: PathBuf,
    username: String,
    password: Secret,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

impl File {
    fn cluster(&self, directory: &Path) -> Result<Cluster, String> {
        let current = &self.current_context;
        let context = self
            .contexts
            .iter()
            .find(|context| context.name == *current);
        let context = match context {
            Some(context) => &context.context,
            None => {
                return Err(format!(
                    "context was not found for specified context: {current}"
                ));
            }
        };
        let server = self.clusters.iter().find(|c| c.name == context.cluster);
        let server = server
            .map(|named| &named.cluster)
            .ok_or_else(|| format!("cluster {:?} does not exist", context.cluster))?;
        let user = self.users.iter().find(|user| user.name == context.user);
        let user = match user {
            Some(named) => named.user.clone(),
            None if context.user.is_empty() => User::default(),
            None => return Err(format!("auth info {:?} does not exist", context.user)),
        };
        if user.exec.is_some() {
            return Err(format!("user {:?}: exec is not supported", context.user));
        }
        if user.auth_provider.is_some() {
            let name = &context.user;
            return Err(format!("user {name:?}: auth-provider is not supported"));
        }
        if server.server.is_empty() {
            return Err(format!("cluster {:?} has no server", context.cluster));
        }
        let mut http = HttpClientConfig {
            proxy_url: server.proxy_url.clone(),
            // What is given as data goes before the file of the same.
            tls_config: TlsConfig {
                ca: decoded(
                    "certificate-authority-data",
                    &server.certificate_authority_data,
                )?,
                ca_file: unless(
                    &server.certificate_authority_data,
                    &server.certificate_authority,
                ),
                cert: decoded("client-certificate-data", &user.client_certificate_data)?,
                cert_file: unless(&user.client_certificate_data, &user.client_certificate),
                key: Secret::new(decoded("client-key-data", user.client_key_data.reveal())?),
                key_file: unless(user.client_key_data.reveal(), &user.client_key),
                server_name: server.tls_server_name.clone(),
                insecure_skip_verify: server.insecure_skip_tls_verify,
                ..TlsConfig::default()
            },
            ..HttpClientConfig::default()
        };
        let has_file = !user.token_file.as_os_str().is_empty();
        if has_file || !user.token.is_empty() {
            // The file is the one that is kept up to date.
            let credentials = if has_file {
                Secret::default()
            } else {
                user.token
            };
            http.authorization = Some(Authorization {
                kind: "Bearer".to_owned(),
                credentials,
                credentials_file: user.token_file,
                credentials_ref: String::new(),
            });
        } else if !user.username.is_empty() {
            http.basic_auth = Some(BasicAuth {
                username: user.username,
                password: user.password,
                ..BasicAuth::default()
            });
        }
        http.set_directory(directory);
        http.validate()?;
        Ok(Cluster {
            url: server.server.trim_end_matches('/').to_owned(),
            http,
            own_namespace: None,
        })
    }
}

fn unless(data: &str, file: &Path) -> PathBuf {
    if data.is_empty() {
        file.to_owned()
    } else {
        PathBuf::new()
    }
}

fn decoded(field: &str, data: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(data.trim());
    let bytes = bytes.map_err(|error| format!("{field}: {error}"))?;
    String::from_utf8(bytes).map_err(|_| format!("{field}: no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1
kind: Config
preferences: {}
current-context: there
contexts:
- {name: here, context: {cluster: a, user: u}}
- {name: there, context: {cluster: b, user: v, namespace: x}}
- {name: nowhere, context: {cluster: b, user: w}}
clusters:
- name: b
  cluster:
    server: https://b:6443/
    certificate-authority-data: Y2VydA==
    tls-server-name: kubernetes
users:
- name: v
  user: {token: t, client-certificate: c.pem, client-key: k.pem}
- name: w
  user: {exec: {command: aws}}
";

    #[test]
    fn kubeconfig_files() {
        let mut file: File = yaml_config::from_str_ignoring_unknown(FILE).unwrap();
        let cluster = file.cluster(Path::new("/d")).unwrap();
        assert_eq!(cluster.url, "https://b:6443");
        let tls = &cluster.http.tls_config;
        assert_eq!(
            (tls.ca.as_str(), tls.cert_file.as_path()),
            ("cert", Path::new("/d/c.pem"))
        );
        assert_eq!(tls.server_name, "kubernetes");
        let authorization = cluster.http.authorization.unwrap();
        assert_eq!(authorization.credentials.reveal(), "t");
        for (context, error) in [
            ("nowhere", "user \"w\": exec is not supported"),
            ("here", "cluster \"a\" does not exist"),
            ("x", "context was not found for specified context: x"),
        ] {
            file.current_context = context.to_owned();
            assert_eq!(file.cluster(Path::new("")).unwrap_err(), error);
        }
    }

    #[test]
    fn in_the_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let env = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        assert!(Cluster::in_cluster(&|_| None, dir.path(), false).is_err());
        assert!(Cluster::in_cluster(&env, dir.path(), false).is_err());
        std::fs::write(dir.path().join("token"), "t\n").unwrap();
        let cluster = Cluster::in_cluster(&env, dir.path(), false).unwrap();
        assert_eq!(cluster.url, "https://[fd00::1]:443");
        assert_eq!(cluster.own_namespace, None);
        assert!(Cluster::in_cluster(&env, dir.path(), true).is_err());
        std::fs::write(dir.path().join("namespace"), "monitoring").unwrap();
        let cluster = Cluster::in_cluster(&env, dir.path(), true).unwrap();
        assert_eq!(cluster.own_namespace.as_deref(), Some("monitoring"));
    }
}
