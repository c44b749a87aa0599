//! Making labels of what others call things.

use model::Labels;

/// Names and values on their way to a label set; of equal names the last one wins.
pub(crate) type Pairs = Vec<(String, String)>;

/// A label set in which later pairs win over earlier ones, as in Go's maps.
pub(crate) fn last_wins(pairs: Pairs) -> Labels {
    let map: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
    Labels::from_pairs(&map)
}

/// Every character beyond the old alphabet of label names becomes `_`.
pub(crate) fn sanitized(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}

/// Go's `net.JoinHostPort`.
pub(crate) fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains([':', '%']) {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Go's `url.QueryEscape`, with `%20` for the space, which is right in paths as well.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Pairs as a query: `?a=b&c=d`, nothing for none.
pub(crate) fn query<'q>(pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(&escaped(name));
        out.push('=');
        out.push_str(&escaped(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_queries() {
        assert_eq!(
            sanitized("app.kubernetes.io/näme"),
            "app_kubernetes_io_n_me"
        );
        assert_eq!(join_host_port("a.b", 80), "a.b:80");
        assert_eq!(join_host_port("fe80::1", 80), "[fe80::1]:80");
        assert_eq!(query([]), "");
        assert_eq!(
            query([("a", "b c"), ("d", "ä&=")]),
            "?a=b%20c&d=%C3%A4%26%3D"
        );
        let pairs = vec![
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned()),
        ];
        assert_eq!(last_wins(pairs), Labels::from([("a", "2")]));
    }
}
