//! Query parameters.

use axum::http::StatusCode;
use golang::regexp::Regexp;
use model::{Labels, MatchKind};

use super::answer::{self, Refused};
use crate::matcher::{Matcher, Mode};

/// The parameters of a request, in order, repeated ones too.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query string apart.
    pub fn parse(query: Option<&str>) -> Query {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        let decode = |text: &str| {
            let plain = text.replace('+', " ");
            String::from_utf8_lossy(&percent_decode(&plain)).into_owned()
        };
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch, on unless it is given; what is not one of Go's words for true is false.
    pub fn switch(&self, name: &str) -> bool {
        self.all(name).next().is_none_or(|value| {
            [
                "true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled",
            ]
            .contains(&value.to_ascii_lowercase().as_str())
        })
    }

    /// The matchers of a repeated parameter.
    pub fn matchers(&self, name: &str, mode: Mode) -> Result<Vec<Matcher>, Refused> {
        self.all(name)
            .map(|text| mode.parse_one(text))
            .collect::<Result<Vec<Matcher>, _>>()
            .map_err(|e| answer::refusal(StatusCode::BAD_REQUEST, &e.to_string()).into())
    }

    /// The parameter `receiver`, a regular expression.
    pub fn receiver(&self) -> Result<Option<Regexp>, Refused> {
        let Some(pattern) = self.all("receiver").next() else {
            return Ok(None);
        };
        Regexp::new(&format!("^(?:{pattern})$"))
            .map(Some)
            .map_err(|e| {
                let text = format!("failed to parse receiver param: {e}");
                answer::refusal(StatusCode::BAD_REQUEST, &text).into()
            })
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    out
}

/// Whether labels pass filters, by upstream's rules: like matchers, but a matcher for or against
/// the empty string is about whether the label is there.
pub fn passes(filters: &[Matcher], labels: &Labels) -> bool {
    filters.iter().all(|filter| {
        let value = labels.find(&filter.name);
        let negative = matches!(filter.kind, MatchKind::NotEqual | MatchKind::NotRegexp);
        if filter.value.is_empty() && value.is_some() == negative {
            return true;
        }
        filter.matches(value.unwrap_or(""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings() {
        let query = Query::parse(Some(
            "filter=a%3D%22b+c%22&filter=d=~e&active=false&silenced=1",
        ));
        let filters = query.matchers("filter", Mode::Fallback).unwrap();
        let printed: Vec<String> = filters.iter().map(Matcher::to_string).collect();
        assert_eq!(printed, [r#"a="b c""#, r#"d=~"e""#]);
        assert!(!query.switch("active"));
        assert!(query.switch("silenced"));
        assert!(query.switch("inhibited"));
        assert!(!Query::parse(Some("active=maybe")).switch("active"));
    }

    #[test]
    fn filters_about_empty_labels() {
        let labels = Labels::from_pairs([("a", "b")]);
        for (filter, expected) in [
            ("a=b", true),
            ("a!=\"\"", true),
            ("c=\"\"", true),
            ("a=\"\"", false),
            ("c!=\"\"", false),
            ("c=x", false),
        ] {
            let filters = [Mode::Fallback.parse_one(filter).unwrap()];
            assert_eq!(passes(&filters, &labels), expected, "{filter}");
        }
    }
}
