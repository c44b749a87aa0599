//! The client: pooled connections, credentials, redirects.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::{Mutex, RwLock};
use rustls::ClientConfig;

use crate::auth::Auth;
use crate::config::{HttpClientConfig, TlsConfig};
use crate::connect::{ConnectError, Connector, Settings};
use crate::error::RequestError;
use crate::files::{Stamp, stamp};
use crate::proxy::{Proxies, ProxyKind};
use crate::{Error, tls};

/// Above any sane scrape interval, so connections outlive the pause between scrapes (upstream's
/// transport).
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_IDLE_PER_HOST: usize = 1000;
/// Upstream's `ReadIdleTimeout`: a connection that is silent for so long is asked for a sign of life.
const HTTP2_PING_AFTER: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 10;

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// What differs between clients of the same section.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Sent as `User-Agent`, unless a request has one.
    pub user_agent: Option<HeaderValue>,
    /// Sent as `Host` instead of the URL's.
    pub host: Option<HeaderValue>,
    /// Every connection goes to this socket instead of the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// HTTP/1.1 even where the section allows HTTP/2.
    pub http1_only: bool,
    /// HTTP/2 without TLS and without asking, as gRPC does.
    pub http2_only: bool,
    /// Connections go to all addresses of a host in turn, instead of to the first that answers.
    pub addresses_in_turn: bool,
}

/// A request under way. Boxed, so that it is no part of each future that sends one.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Error>> + Send + 'a>>;

/// An HTTP client as an `http_config` describes it; a cheap handle. Clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: HttpClientConfig,
    options: ClientOptions,
    auth: Auth,
    proxies: Proxies,
    tls_files: Vec<PathBuf>,
    current: RwLock<Current>,
    rebuilding: Mutex<()>,
}

/// What is built from the TLS files, and what these looked like then.
struct Current {
    pool: Pool,
    stamps: Vec<Option<Stamp>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client. TLS files are read now, to refuse what cannot work, and again whenever they
    /// change; the secrets' files when they are used.
    ///
    /// # Errors
    /// TLS, proxy and header settings that cannot be used.
    pub fn new(config: &HttpClientConfig, options: ClientOptions) -> Result<Client, Error> {
        let tls = &config.tls_config;
        let tls_files: Vec<PathBuf> = [&tls.ca_file, &tls.cert_file, &tls.key_file]
            .into_iter()
            .filter(|file| !file.as_os_str().is_empty())
            .cloned()
            .collect();
        let stamps = tls_files.iter().map(|file| stamp(file)).collect();
        let proxies = Proxies::new(&config.proxy(), &|name| std::env::var(name).ok())?;
        let pool = pool(config, &options, &proxies)?;
        Ok(Client(Arc::new(Inner {
            auth: Auth::new(config)?,
            config: config.clone(),
            options,
            proxies,
            tls_files,
            current: RwLock::new(Current { pool, stamps }),
            rebuilding: Mutex::new(()),
        })))
    }

    /// The same section over a Unix socket, with connections of its own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_unix_socket(&self, path: &Path) -> Result<Client, Error> {
        let options = ClientOptions {
            unix_socket: Some(path.to_owned()),
            ..self.0.options.clone()
        };
        Client::new(&self.0.config, options)
    }

    /// Sends a request with an absolute URI, follows redirects if configured (at most ten), and
    /// answers as soon as the head is there. Dropping the future ends the request.
    ///
    /// Credentials and configured headers go to the host of the first request only.
    ///
    /// # Errors
    /// [`Error::Request`] in Go's words: `Get "http://x/": dial tcp 127.0.0.1:1: connect: connection
    /// refused`.
    pub fn send(&self, request: Request<Full<Bytes>>) -> Sending<'_> {
        Box::pin(async move {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            self.exchange(request)
                .await
                .map_err(|source| Error::Request {
                    operation: go_method(&method),
                    url: shown(&uri),
                    source,
                })
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, RequestError> {
        let (mut parts, mut body) = request.into_parts();
        let origin = parts.uri.clone();
        // Credentials of the URL itself; configured ones come after and leave these alone.
        if let Some(value) = take_user_info(&mut parts.uri) {
            parts.headers.entry(header::AUTHORIZATION).or_insert(value);
        }
        let follow = self.0.config.follow_redirects;
        let mut redirects = 0;
        loop {
            let mut headers = parts.headers.clone();
            self.prepare(&mut headers, same_host(&origin, &parts.uri))
                .await?;
            let mut request = Request::new(body.clone());
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = parts.uri.clone();
            *request.headers_mut() = headers;
            self.authorize_at_proxy(&mut request);
            let response = self
                .pool()?
                .request(request)
                .await
                .map_err(|error| explain(&error))?;
            if !follow {
                return Ok(response);
            }
            let Some(next) = redirect(&parts.method, &parts.uri, &response)? else {
                return Ok(response);
            };
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(RequestError::TooManyRedirects);
            }
            if next.without_body {
                body = Full::default();
                for name in [
                    header::CONTENT_TYPE,
                    header::CONTENT_LENGTH,
                    header::CONTENT_ENCODING,
                ] {
                    parts.headers.remove(name);
                }
            }
            if !same_host(&origin, &next.uri) {
                for name in [
                    header::AUTHORIZATION,
                    header::COOKIE,
                    header::WWW_AUTHENTICATE,
                ] {
                    parts.headers.remove(name);
                }
            }
            parts.headers.remove(header::HOST);
            parts.method = next.method;
            parts.uri = next.uri;
        }
    }

    /// A plain request through an HTTP proxy carries the proxy's password itself; for https the
    /// tunnel does.
    fn authorize_at_proxy<B>(&self, request: &mut Request<B>) {
        let https = request.uri().scheme() == Some(&Scheme::HTTPS);
        if https || self.0.options.unix_socket.is_some() {
            return;
        }
        if let Some(proxy) = self.0.proxies.of(request.uri())
            && proxy.kind != ProxyKind::Socks5
            && let Some(value) = &proxy.authorization
        {
            request
                .headers_mut()
                .insert(header::PROXY_AUTHORIZATION, value.clone());
        }
    }

    async fn prepare(&self, headers: &mut HeaderMap, at_home: bool) -> Result<(), RequestError> {
        if let Some(user_agent) = &self.0.options.user_agent {
            headers
                .entry(header::USER_AGENT)
                .or_insert_with(|| user_agent.clone());
        }
        if !at_home {
            return Ok(());
        }
        if let Some(host) = &self.0.options.host {
            headers.insert(header::HOST, host.clone());
        }
        self.0
            .auth
            .apply(headers)
            .await
            .map_err(RequestError::Credentials)
    }

    /// The connections as the TLS files are now.
    fn pool(&self) -> Result<Pool, RequestError> {
        let inner = &*self.0;
        let unchanged = |current: &Current| {
            inner
                .tls_files
                .iter()
                .zip(&current.stamps)
                .all(|(file, then)| stamp(file) == *then)
        };
        {
            let current = inner.current.read();
            if unchanged(&current) {
                return Ok(current.pool.clone());
            }
        }
        let _one_at_a_time = inner.rebuilding.lock();
        if unchanged(&inner.current.read()) {
            return Ok(inner.current.read().pool.clone());
        }
        let stamps = inner.tls_files.iter().map(|file| stamp(file)).collect();
        let pool = pool(&inner.config, &inner.options, &inner.proxies)
            .map_err(|error| RequestError::Connect(error.to_string()))?;
        *inner.current.write() = Current {
            pool: pool.clone(),
            stamps,
        };
        Ok(pool)
    }
}

fn pool(
    config: &HttpClientConfig,
    options: &ClientOptions,
    proxies: &Proxies,
) -> Result<Pool, Error> {
    let http2 = config.enable_http2 && !options.http1_only;
    let connector = Connector::new(Settings {
        tls: tls_source(&config.tls_config, http2)?,
        server_name: config.tls_config.server_name.clone(),
        proxies: proxies.clone(),
        unix_socket: options.unix_socket.clone(),
        turn: options.addresses_in_turn.then(AtomicUsize::default),
    });
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .http2_only(options.http2_only)
        .http2_keep_alive_interval(HTTP2_PING_AFTER)
        // Header names as they are; some exporters' servers are particular about them.
        .http1_title_case_headers(true);
    Ok(builder.build(connector))
}

type TlsSource = Arc<dyn Fn() -> Result<Arc<ClientConfig>, String> + Send + Sync>;

/// A section that says something is built at once, to refuse what cannot work; the empty one, which
/// most clients have and never need, at the first connection.
fn tls_source(config: &TlsConfig, http2: bool) -> Result<TlsSource, Error> {
    let build = move |config: &TlsConfig| {
        let mut built = tls::client_config(config)?;
        built.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok::<_, Error>(Arc::new(built))
    };
    if !config.is_default() {
        let built = build(config)?;
        return Ok(Arc::new(move || Ok(built.clone())));
    }
    let known = Mutex::new(None);
    Ok(Arc::new(move || {
        let mut known = known.lock();
        if let Some(built) = &*known {
            return Ok(Arc::clone(built));
        }
        let built = build(&TlsConfig::default()).map_err(|error| error.to_string())?;
        *known = Some(built.clone());
        Ok(built)
    }))
}

/// Where a redirect leads.
struct Next {
    method: Method,
    uri: Uri,
    without_body: bool,
}

/// Go's `redirectBehavior`.
fn redirect<B>(
    method: &Method,
    base: &Uri,
    response: &Response<B>,
) -> Result<Option<Next>, RequestError> {
    let keeps_method = match response.status() {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return Ok(None),
    };
    let Some(location) = response.headers().get(header::LOCATION) else {
        return Ok(None);
    };
    let bad = || RequestError::Location(String::from_utf8_lossy(location.as_bytes()).into_owned());
    let uri = resolve(base, location.to_str().map_err(|_| bad())?).ok_or_else(bad)?;
    let keeps_method = keeps_method || *method == Method::GET || *method == Method::HEAD;
    Ok(Some(Next {
        method: if keeps_method {
            method.clone()
        } else {
            Method::GET
        },
        uri,
        without_body: !keeps_method,
    }))
}

/// A reference relative to a URI (RFC 3986 section 5, without the fragment).
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let mut parts = base.clone().into_parts();
    if let Some((scheme, _)) = reference.split_once("://")
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        let uri: Uri = reference.parse().ok()?;
        return matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri);
    }
    if let Some(rest) = reference.strip_prefix("//") {
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        parts.authority = Some(rest[..split].parse::<Authority>().ok()?);
        parts.path_and_query = Some(with_slash(&rest[split..]).parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let path = if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.starts_with('?') {
        format!("{}{reference}", base.path())
    } else if reference.is_empty() {
        base.path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .to_owned()
    } else {
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        format!("{directory}/{reference}")
    };
    parts.path_and_query = Some(without_dots(&path).parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn with_slash(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// Takes `.` and `..` out of a path.
fn without_dots(path: &str) -> String {
    let (path, query) = match path.find('?') {
        Some(at) => path.split_at(at),
        None => (path, ""),
    };
    let mut out: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => {}
            ".." => {
                out.pop();
            }
            other => {
                out.push(other);
                continue;
            }
        }
        if last {
            out.push("");
        }
    }
    format!("/{}{query}", out.join("/"))
}

/// Whether credentials for `a` may go to `b`: the same host, and not from https to http.
fn same_host(a: &Uri, b: &Uri) -> bool {
    let downgrade = a.scheme() == Some(&Scheme::HTTPS) && b.scheme() != Some(&Scheme::HTTPS);
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    !downgrade && host(a) == host(b)
}

/// Removes `user:password@` from a URI and answers it as a header.
fn take_user_info(uri: &mut Uri) -> Option<HeaderValue> {
    let authority = uri.authority()?.as_str();
    let (user_info, rest) = authority.rsplit_once('@')?;
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let value = crate::auth::basic_value(
        &crate::proxy::unescape(user),
        &crate::proxy::unescape(password),
    );
    let rest: Authority = rest.parse().ok()?;
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(rest);
    *uri = Uri::from_parts(parts).ok()?;
    value
}

/// `Get`, `Post`: how Go names methods in errors.
fn go_method(method: &Method) -> String {
    let mut letters = method.as_str().chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_string() + &letters.as_str().to_ascii_lowercase()
    })
}

/// A URI without its password.
fn shown(uri: &Uri) -> String {
    let text = uri.to_string();
    match text.parse::<yaml_config::Url>() {
        Ok(url) => url.redacted().replace(":xxxxx@", ":***@"),
        Err(_) => text,
    }
}

/// The innermost cause, in Go's words where it has some.
fn explain(error: &legacy::Error) -> RequestError {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return RequestError::Connect(connect.0.clone());
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && hyper.is_incomplete_message()
        {
            return RequestError::Exchange("EOF".to_owned());
        }
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return RequestError::Exchange(crate::error::go_io(io));
    }
    if error.is_connect() {
        return RequestError::Connect(cause.to_string());
    }
    RequestError::Exchange(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve() {
        let base: Uri = "http://h:1/a/b?q=1".parse().unwrap();
        for (reference, expected) in [
            ("https://x/y", "https://x/y"),
            ("//x", "http://x/"),
            ("/c?d", "http://h:1/c?d"),
            ("c", "http://h:1/a/c"),
            ("../c/./d", "http://h:1/c/d"),
            ("..", "http://h:1/"),
            ("?x=2", "http://h:1/a/b?x=2"),
            ("", "http://h:1/a/b?q=1"),
            ("/c#f", "http://h:1/c"),
        ] {
            assert_eq!(
                resolve(&base, reference).unwrap().to_string(),
                expected,
                "{reference}"
            );
        }
        assert_eq!(resolve(&base, "ftp://x/"), None);
    }

    #[test]
    fn credentials_stay_at_home() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(same_host(&uri("http://a:1/x"), &uri("http://A:2/y")));
        assert!(same_host(&uri("http://a/x"), &uri("https://a/y")));
        assert!(!same_host(&uri("https://a/x"), &uri("http://a/y")));
        assert!(!same_host(&uri("http://a/x"), &uri("http://b.a/y")));
    }

    #[test]
    fn urls_may_carry_credentials() {
        let mut uri: Uri = "http://u:p%40@h:1/x".parse().unwrap();
        assert_eq!(shown(&uri), "http://u:***@h:1/x");
        assert_eq!(take_user_info(&mut uri).unwrap(), "Basic dTpwQA==");
        assert_eq!(uri.to_string(), "http://h:1/x");
    }
}
