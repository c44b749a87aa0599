//! Absolute URLs as configuration files hold them (prometheus/common `config.URL`).

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::de::TEXT;
use crate::secret::Text;

/// A URL, kept as it was written and taken apart for those who ask. Empty: not given.
///
/// Only what is wrong beyond doubt is refused (Go's `url.Parse` is as lenient): a scheme that is
/// none, a port that is no number, spaces and control characters, broken `%` escapes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    text: String,
    /// Ends of the parts in `text`.
    scheme_end: usize,
    /// Begin and end of `user:password`, equal if there is none.
    user: (usize, usize),
    host: (usize, usize),
    path_start: usize,
    path_end: usize,
}

/// Why a text is no URL; Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {reason}", golang::strconv::quote(.text))]
pub struct UrlError {
    text: String,
    reason: String,
}

impl Url {
    /// As it was written, with any password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether no URL was given.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// `http`; empty if there is none.
    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme_end]
    }

    /// Host and port as written: `example.com:80`, `[::1]:80`.
    pub fn authority(&self) -> &str {
        &self.text[self.host.0..self.host.1]
    }

    /// The host without port and brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        if let Some(rest) = authority.strip_prefix('[') {
            return rest.split_once(']').map_or(rest, |(host, _)| host);
        }
        authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host)
    }

    /// The port, if it is written.
    pub fn port(&self) -> Option<u16> {
        let authority = self.authority();
        let after = authority
            .rsplit_once(']')
            .map_or(authority, |(_, rest)| rest);
        after.rsplit_once(':')?.1.parse().ok()
    }

    /// User name and password as written (with `%` escapes).
    pub fn user_info(&self) -> Option<(&str, Option<&str>)> {
        let (begin, end) = self.user;
        if begin == end {
            return None;
        }
        let text = &self.text[begin..end];
        Some(match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        })
    }

    /// The path, from its slash on; may be empty.
    pub fn path(&self) -> &str {
        &self.text[self.path_start..self.path_end]
    }

    /// What follows the path: `?query#fragment`.
    pub fn query(&self) -> Option<&str> {
        let rest = &self.text[self.path_end..];
        let rest = rest.split_once('#').map_or(rest, |(query, _)| query);
        rest.strip_prefix('?')
    }

    /// The URL without user name and password, as requests are sent.
    pub fn without_user_info(&self) -> String {
        match self.user {
            (begin, end) if begin < end => {
                format!("{}{}", &self.text[..begin], &self.text[end + 1..])
            }
            _ => self.text.clone(),
        }
    }

    /// With the password replaced by `xxxxx`, as upstream: what may be shown.
    pub fn redacted(&self) -> String {
        match self.user_info() {
            Some((user, Some(_))) => {
                let (begin, end) = self.user;
                format!("{}{user}:xxxxx{}", &self.text[..begin], &self.text[end..])
            }
            _ => self.text.clone(),
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let fail = |reason: String| UrlError {
            text: text.to_owned(),
            reason,
        };
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(fail("net/url: invalid control character in URL".to_owned()));
        }
        let scheme_end = match text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
        {
            Some(0) if text.starts_with(':') => {
                return Err(fail("missing protocol scheme".to_owned()));
            }
            Some(end)
                if text[end..].starts_with(':')
                    && text.starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                end
            }
            Some(end) if text[end..].starts_with(':') => {
                return Err(fail(
                    "first path segment in URL cannot contain colon".to_owned(),
                ));
            }
            _ => 0,
        };
        let rest_start = if scheme_end > 0 { scheme_end + 1 } else { 0 };
        let rest = &text[rest_start..];
        let (mut user, mut host, path_start);
        match rest.strip_prefix("//") {
            Some(after) => {
                let begin = rest_start + 2;
                let end = begin + after.find(['/', '?', '#']).unwrap_or(after.len());
                (user, host) = ((begin, begin), (begin, end));
                if let Some(at) = text[begin..end].rfind('@') {
                    user = (begin, begin + at);
                    host = (begin + at + 1, end);
                }
                path_start = end;
            }
            None => {
                (user, host) = ((rest_start, rest_start), (rest_start, rest_start));
                path_start = rest_start;
            }
        }
        if user.0 == user.1 {
            user = (host.0, host.0);
        }
        let authority = &text[host.0..host.1];
        if let Some(bad) = authority.chars().find(|c| {
            matches!(
                c,
                ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
            )
        }) {
            return Err(fail(format!(
                "invalid character {} in host name",
                golang::strconv::quote(&bad.to_string())
            )));
        }
        let after_host = match authority.strip_prefix('[') {
            Some(literal) => match literal.split_once(']') {
                Some((_, after)) => after,
                None => return Err(fail("missing ']' in host".to_owned())),
            },
            None => authority.find(':').map_or("", |at| &authority[at..]),
        };
        if !after_host.is_empty() {
            let port = after_host.strip_prefix(':');
            if !port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit())) {
                return Err(fail(format!(
                    "invalid port {} after host",
                    golang::strconv::quote(after_host)
                )));
            }
        }
        let path_end = path_start
            + text[path_start..]
                .find(['?', '#'])
                .unwrap_or(text.len() - path_start);
        check_escapes(&text[path_start..path_end]).map_err(fail)?;
        Ok(Url {
            scheme_end,
            user,
            host,
            path_start,
            path_end,
            text: text.to_owned(),
        })
    }
}

fn check_escapes(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let escape: String = path[at..].chars().take(3).collect();
        if escape.len() < 3 || !escape[1..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!(
                "invalid URL escape {}",
                golang::strconv::quote(&escape)
            ));
        }
    }
    Ok(())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        match deserializer.deserialize_newtype_struct(TEXT, Text("a URL"))? {
            None => Ok(Url::default()),
            Some(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            serializer.serialize_unit()
        } else {
            serializer.serialize_str(&self.redacted())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let url: Url = "https://user:pa%20ss@example.com:8443/a/b?x=1#f"
            .parse()
            .unwrap();
        assert_eq!(url.scheme(), "https");
        assert_eq!(url.user_info(), Some(("user", Some("pa%20ss"))));
        assert_eq!((url.host(), url.port()), ("example.com", Some(8443)));
        assert_eq!((url.path(), url.query()), ("/a/b", Some("x=1")));
        assert_eq!(
            url.without_user_info(),
            "https://example.com:8443/a/b?x=1#f"
        );
        assert_eq!(
            url.to_string(),
            "https://user:xxxxx@example.com:8443/a/b?x=1#f"
        );
        assert_eq!(format!("{url:?}"), url.to_string());

        let url: Url = "http://[::1]:9090".parse().unwrap();
        assert_eq!(
            (url.host(), url.port(), url.path()),
            ("::1", Some(9090), "")
        );
        let url: Url = "/relative?q".parse().unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.path(), url.query()),
            ("", "", "/relative", Some("q"))
        );
    }

    #[test]
    fn refuses() {
        for (text, reason) in [
            (":9090", "missing protocol scheme"),
            ("http://a:b/", "invalid port \":b\" after host"),
            ("http://[::1/", "missing ']' in host"),
            ("http://a b/", "invalid character \" \" in host name"),
            ("http://a/%zz", "invalid URL escape \"%zz\""),
            ("1a:b", "first path segment in URL cannot contain colon"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("parse {}: {reason}", golang::strconv::quote(text))
            );
        }
    }
}
