//! Which proxy a URL goes through (Go's `golang.org/x/net/http/httpproxy`).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use yaml_config::Url;

use crate::Error;
use crate::config::ProxyConfig;

/// The proxies of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
    /// With exceptions or the environment, this host itself is never behind the proxy.
    spare_loopback: bool,
    /// Sent with CONNECT.
    pub connect_headers: HeaderMap,
}

/// How to reach a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
    /// User and password, for SOCKS.
    pub user: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Http,
    Https,
    Socks5,
}

/// An entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    Network {
        address: IpAddr,
        bits: u32,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// `.domain`, and whether the domain itself counts too.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    pub fn new(
        config: &ProxyConfig,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Proxies, Error> {
        let mut proxies = Proxies {
            connect_headers: connect_headers(config)?,
            ..Proxies::default()
        };
        if config.proxy_from_environment {
            let either = |name: &str| {
                env(name)
                    .filter(|value| !value.is_empty())
                    .or_else(|| env(&name.to_lowercase()))
            };
            proxies.http = either("HTTP_PROXY")
                .as_deref()
                .and_then(|url| environment_proxy(url).ok());
            proxies.https = either("HTTPS_PROXY")
                .as_deref()
                .and_then(|url| environment_proxy(url).ok());
            proxies.exceptions = exceptions(&either("NO_PROXY").unwrap_or_default());
            proxies.spare_loopback = true;
        } else if !config.proxy_url.is_empty() {
            let proxy = parse(&config.proxy_url).map_err(Error::Proxy)?;
            proxies.http = Some(proxy.clone());
            proxies.https = Some(proxy);
            proxies.exceptions = exceptions(&config.no_proxy);
            proxies.spare_loopback = !config.no_proxy.is_empty();
        }
        Ok(proxies)
    }

    /// The proxy for a URI; `None`: go there directly.
    pub fn of(&self, uri: &Uri) -> Option<&Proxy> {
        let https = uri.scheme_str() == Some("https");
        let proxy = if https {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        }?;
        let host = uri
            .host()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let address: Option<IpAddr> = host.parse().ok();
        if self.spare_loopback
            && (host == "localhost" || address.is_some_and(|address| address.is_loopback()))
        {
            return None;
        }
        let spared = self
            .exceptions
            .iter()
            .any(|exception| exception.covers(&host, address, port));
        (!spared).then_some(proxy)
    }
}

fn connect_headers(config: &ProxyConfig) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, values) in &config.proxy_connect_header {
        let bad = || Error::Header(format!("proxy_connect_header {name:?} is no valid header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        for value in values {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(name.clone(), value);
        }
    }
    Ok(headers)
}

/// The environment may leave the scheme out.
fn environment_proxy(text: &str) -> Result<Proxy, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    parse(
        &with_scheme
            .parse()
            .map_err(|error: yaml_config::UrlError| error.to_string())?,
    )
}

fn parse(url: &Url) -> Result<Proxy, String> {
    let (kind, default_port) = match url.scheme() {
        "http" => (ProxyKind::Http, 80),
        "https" => (ProxyKind::Https, 443),
        "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
        other => return Err(format!("unsupported proxy scheme {other:?} in {url}")),
    };
    if url.host().is_empty() {
        return Err(format!("proxy_url {url} has no host"));
    }
    let user = url
        .user_info()
        .map(|(user, password)| (unescape(user), unescape(password.unwrap_or_default())));
    let authorization = user
        .as_ref()
        .and_then(|(user, password)| crate::auth::basic_value(user, password));
    Ok(Proxy {
        kind,
        host: url.host().to_owned(),
        port: url.port().unwrap_or(default_port),
        authorization,
        user,
    })
}

/// Undoes `%` escapes; what is none stays as it is.
pub(crate) fn unescape(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn exceptions(list: &str) -> Vec<Exception> {
    let mut out = Vec::new();
    for entry in list.split(',') {
        let entry = entry.trim().to_ascii_lowercase();
        if entry.is_empty() {
            continue;
        }
        if entry == "*" {
            return vec![Exception::All];
        }
        if let Some((address, bits)) = entry.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse())
        {
            out.push(Exception::Network { address, bits });
            continue;
        }
        if let Ok(address) = entry.trim_matches(['[', ']']).parse() {
            out.push(Exception::Address {
                address,
                port: None,
            });
            continue;
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => continue,
            },
            None => (entry.as_str(), None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            out.push(Exception::Address { address, port });
            continue;
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        out.push(match host.strip_prefix('.') {
            Some(_) => Exception::Domain {
                suffix: host.to_owned(),
                itself: false,
                port,
            },
            None => Exception::Domain {
                suffix: format!(".{host}"),
                itself: true,
                port,
            },
        });
    }
    out
}

impl Exception {
    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Exception::All => true,
            Exception::Network {
                address: network,
                bits,
            } => address.is_some_and(|address| same_network(address, *network, *bits)),
            Exception::Address {
                address: excepted,
                port: on,
            } => address == Some(*excepted) && on.is_none_or(|on| on == port),
            Exception::Domain {
                suffix,
                itself,
                port: on,
            } => {
                (host.ends_with(suffix.as_str()) || (*itself && host == &suffix[1..]))
                    && on.is_none_or(|on| on == port)
            }
        }
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            bits <= 32
                && prefix(u128::from(a.to_bits()), 32, bits)
                    == prefix(u128::from(b.to_bits()), 32, bits)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            bits <= 128 && prefix(a.to_bits(), 128, bits) == prefix(b.to_bits(), 128, bits)
        }
        _ => false,
    }
}

fn prefix(value: u128, width: u32, bits: u32) -> u128 {
    value.checked_shr(width - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(yaml: &str, env: &[(&str, &str)]) -> Proxies {
        let config: crate::HttpClientConfig = yaml_config::from_str(yaml).unwrap();
        Proxies::new(&config.proxy(), &|name| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    fn via(proxies: &Proxies, uri: &str) -> Option<String> {
        proxies
            .of(&uri.parse().unwrap())
            .map(|proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn a_proxy_without_exceptions_takes_all() {
        let proxies = proxies("proxy_url: http://u:p%40@proxy:3128", &[]);
        for uri in [
            "http://a/",
            "https://b:1/",
            "http://localhost/",
            "http://127.0.0.1/",
        ] {
            assert_eq!(via(&proxies, uri).as_deref(), Some("proxy:3128"), "{uri}");
        }
        let proxy = proxies.of(&"http://a".parse().unwrap()).unwrap();
        assert_eq!(proxy.user, Some(("u".to_owned(), "p@".to_owned())));
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dTpwQA==");
    }

    #[test]
    fn exceptions() {
        let proxies = proxies(
            "{proxy_url: 'http://proxy', no_proxy: 'a.com, .b.com,*.c.com,10.0.0.0/8,[::1],1.2.3.4,d.com:81'}",
            &[],
        );
        for (uri, goes) in [
            ("http://a.com/", false),
            ("http://x.a.com/", false),
            ("http://xa.com/", true),
            ("http://b.com/", true),
            ("http://x.b.com/", false),
            ("http://x.c.com/", false),
            ("http://c.com/", true),
            ("http://10.2.3.4:9100/", false),
            ("http://11.2.3.4:9100/", true),
            ("http://1.2.3.4/", false),
            ("http://d.com/", true),
            ("http://d.com:81/", false),
            ("http://localhost/", false),
            ("http://[::1]:9/", false),
        ] {
            assert_eq!(via(&proxies, uri).is_some(), goes, "{uri}");
        }
    }

    #[test]
    fn the_environment() {
        let proxies = proxies(
            "proxy_from_environment: true",
            &[
                ("HTTP_PROXY", "one:1"),
                ("https_proxy", "https://two"),
                ("NO_PROXY", "no.com"),
            ],
        );
        assert_eq!(via(&proxies, "http://a/").as_deref(), Some("one:1"));
        assert_eq!(via(&proxies, "https://a/").as_deref(), Some("two:443"));
        assert_eq!(via(&proxies, "https://no.com/"), None);
        assert_eq!(via(&proxies, "http://127.0.0.1/"), None);
    }

    #[test]
    fn odd_schemes_are_refused() {
        let config: crate::HttpClientConfig = yaml_config::from_str("proxy_url: ftp://a").unwrap();
        let error = Proxies::new(&config.proxy(), &|_| None)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "unsupported proxy scheme \"ftp\" in ftp://a");
    }
}
