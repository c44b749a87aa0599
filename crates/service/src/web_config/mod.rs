//! `--web.config.file`: TLS, client certificates, basic authentication, headers, rate limit
//! (prometheus/exporter-toolkit `web/`). Read anew when it or one of its files changes; a file that
//! is faulty then leaves the last good state in force.

mod auth;
mod file;
mod tls;

pub use file::TlsServerConfig;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use parking_lot::{Mutex, RwLock};
use rustls_pki_types::CertificateDer;

use crate::{Args, Error, ServerTls};

/// The file, what was last read from it, and what outlives a new reading.
pub(crate) struct WebConfigFile {
    path: Option<PathBuf>,
    state: RwLock<State>,
    /// Held while the file is read again; others go on with what they have.
    reading: Mutex<()>,
    passwords: auth::Passwords,
    limiter: auth::Limiter,
}

struct State {
    snapshot: Arc<Snapshot>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// What a file looked like from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// The configuration at one moment.
pub(crate) struct Snapshot {
    /// `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub http2: bool,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    users: Vec<(String, String)>,
    rate_limit: Option<auth::RateLimit>,
    allowed_sans: Option<Vec<String>>,
}

impl Snapshot {
    fn plain() -> Snapshot {
        Snapshot {
            tls: None,
            http2: true,
            headers: Vec::new(),
            users: Vec::new(),
            rate_limit: None,
            allowed_sans: None,
        }
    }

    /// Whether a client's certificate has one of the `client_allowed_sans`.
    pub fn check_client_name(&self, certificates: &[CertificateDer<'_>]) -> Result<(), String> {
        tls::check_sans(certificates, self.allowed_sans.as_deref())
    }

    /// Lets a request pass (`None`) or answers it: too many requests, wrong password.
    pub async fn check(&self, file: &WebConfigFile, headers: &HeaderMap) -> Option<Response<Body>> {
        if let Some(limit) = self.rate_limit
            && !file.limiter.allow(limit)
        {
            return Some(self.refuse(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n"));
        }
        if self.users.is_empty() || file.passwords.allow(&self.users, headers).await {
            return None;
        }
        let mut refusal = self.refuse(StatusCode::UNAUTHORIZED, "Unauthorized\n");
        refusal.headers_mut().insert(
            http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic"),
        );
        Some(refusal)
    }

    fn refuse(&self, status: StatusCode, text: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

impl WebConfigFile {
    /// Reads the file; an empty path is plain HTTP for everybody.
    pub fn load(path: &str) -> Result<WebConfigFile, Error> {
        if path.is_empty() {
            return Ok(WebConfigFile::fixed(Snapshot::plain()));
        }
        let path = PathBuf::from(path);
        let stamps = vec![(path.clone(), stamp(&path))];
        let (snapshot, files) = read(&path).map_err(|reason| {
            Error::new(format!("web configuration {}: {reason}", path.display()))
        })?;
        Ok(WebConfigFile {
            path: Some(path),
            state: RwLock::new(State {
                snapshot: Arc::new(snapshot),
                stamps: with_stamps(stamps, files),
            }),
            ..WebConfigFile::fixed(Snapshot::plain())
        })
    }

    /// The TLS of the `--grpc-server-tls-*` flags; their files are read at the start only, as
    /// upstream's.
    pub fn from_grpc_flags(args: &Args) -> Result<WebConfigFile, Error> {
        let flag = |name: &str| args.get(name).unwrap_or_default().to_owned();
        let (cert, key) = (flag("grpc-server-tls-cert"), flag("grpc-server-tls-key"));
        let client_ca = flag("grpc-server-tls-client-ca");
        if cert.is_empty() && key.is_empty() {
            if !client_ca.is_empty() {
                return Err(Error::new(
                    "when a client CA is used a server key and certificate must also be provided",
                ));
            }
            return Ok(WebConfigFile::fixed(Snapshot::plain()));
        }
        if cert.is_empty() || key.is_empty() {
            return Err(Error::new(
                "both server key and certificate must be provided",
            ));
        }
        let tls = ServerTls {
            cert_file: cert.into(),
            key_file: key.into(),
            client_ca_file: (!client_ca.is_empty()).then(|| client_ca.into()),
        };
        WebConfigFile::from_files(&tls).map_err(|error| error.context("gRPC"))
    }

    /// TLS with these files, which are read once.
    pub fn from_files(files: &ServerTls) -> Result<WebConfigFile, Error> {
        let mut settings = file::TlsServerConfig {
            cert_file: files.cert_file.clone(),
            key_file: files.key_file.clone(),
            ..file::TlsServerConfig::default()
        };
        if let Some(ca) = &files.client_ca_file {
            settings.client_ca_file = ca.clone();
            settings.client_auth_type = "RequireAndVerifyClientCert".to_owned();
        }
        let tls = tls::server_config(&settings, true)
            .map_err(|reason| Error::new(format!("TLS: {reason}")))?;
        Ok(WebConfigFile::fixed(Snapshot {
            tls: Some(tls),
            ..Snapshot::plain()
        }))
    }

    fn fixed(snapshot: Snapshot) -> WebConfigFile {
        WebConfigFile {
            path: None,
            state: RwLock::new(State {
                snapshot: Arc::new(snapshot),
                stamps: Vec::new(),
            }),
            reading: Mutex::new(()),
            passwords: auth::Passwords::default(),
            limiter: auth::Limiter::default(),
        }
    }

    /// Whether connections are TLS now.
    pub fn has_tls(&self) -> bool {
        self.current().tls.is_some()
    }

    /// The configuration as it is now; reads the files if they changed.
    pub fn current(&self) -> Arc<Snapshot> {
        let Some(path) = &self.path else {
            return self.state.read().snapshot.clone();
        };
        {
            let state = self.state.read();
            if state.stamps.iter().all(|(path, then)| stamp(path) == *then) {
                return state.snapshot.clone();
            }
        }
        if let Some(_reading) = self.reading.try_lock() {
            self.read_again(path);
        }
        self.state.read().snapshot.clone()
    }

    fn read_again(&self, path: &Path) {
        let stamps = vec![(path.to_owned(), stamp(path))];
        match read(path) {
            Ok((snapshot, files)) => {
                *self.state.write() = State {
                    snapshot: Arc::new(snapshot),
                    stamps: with_stamps(stamps, files),
                };
                tracing::info!(path = %path.display(), "web configuration read again");
            }
            Err(reason) => {
                tracing::error!(path = %path.display(), err = reason, "Unable to parse configuration, the old one stays in force");
                // Not tried again until something changes once more.
                let mut state = self.state.write();
                for (path, then) in &mut state.stamps {
                    *then = stamp(path);
                }
            }
        }
    }
}

/// Whether a `--web.config.file` can be used: promtool's `check web-config`.
///
/// # Errors
/// What is wrong with the file, or with one that it names.
pub fn check(path: &Path) -> Result<(), String> {
    read(path).map(drop)
}

fn read(path: &Path) -> Result<(Snapshot, Vec<PathBuf>), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let config = file::WebConfig::parse(&text, directory)?;
    let files = config.tls_server_config.files();
    let snapshot = Snapshot {
        tls: if config.tls_server_config.is_enabled() {
            Some(tls::server_config(
                &config.tls_server_config,
                config.http_server_config.http2,
            )?)
        } else {
            None
        },
        http2: config.http_server_config.http2 || !config.tls_server_config.is_enabled(),
        headers: config.http_server_config.header_values()?,
        rate_limit: config.rate_limit.limit(),
        allowed_sans: config.tls_server_config.client_allowed_sans.clone(),
        users: config.users()?,
    };
    Ok((snapshot, files))
}

fn with_stamps(
    mut stamps: Vec<(PathBuf, Option<Stamp>)>,
    files: Vec<PathBuf>,
) -> Vec<(PathBuf, Option<Stamp>)> {
    stamps.extend(files.into_iter().map(|path| {
        let now = stamp(&path);
        (path, now)
    }));
    stamps
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        inode: metadata.ino(),
    })
}
