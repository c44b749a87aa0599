//! Label matchers as Alertmanager reads, compares and prints them (prometheus/alertmanager
//! `pkg/labels`, `matcher/compat`).
//!
//! They differ from PromQL's in the anchoring of regular expressions (`^(?:...)$`: a dot does not
//! match a line feed), in order, and in notation: three parsers exist, see [`Mode`].

mod classic;
mod utf8;

use std::fmt;
use std::sync::Arc;

use golang::regexp::Regexp;
use model::{Labels, MatchKind};

/// Which notation of matchers and which label names are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Feature `classic-mode`: the old notation and ASCII label names only.
    Classic,
    /// Feature `utf8-strict-mode`: the new notation only.
    Utf8,
    /// The new notation first; the old one where the new one fails or both disagree.
    #[default]
    Fallback,
}

impl Mode {
    /// Whether `name` may be a label name.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            Mode::Classic => model::names::is_legacy_label_name(name),
            Mode::Utf8 | Mode::Fallback => !name.is_empty(),
        }
    }

    /// Parses exactly one matcher, without braces.
    ///
    /// # Errors
    /// [`ParseError`] in upstream's words.
    pub fn parse_one(self, input: &str) -> Result<Matcher, ParseError> {
        if self == Mode::Classic {
            return classic::matcher(input);
        }
        if input.starts_with('{') || input.ends_with('}') {
            return Err(ParseError(format!(
                "unexpected open or close brace: {input}"
            )));
        }
        let new = utf8::matchers(input).and_then(|mut all| match (all.pop(), all.len()) {
            (None, _) => Err(ParseError("no matchers".to_owned())),
            (Some(one), 0) => Ok(one),
            (Some(_), more) => Err(ParseError(format!(
                "expected 1 matcher, found {}",
                more + 1
            ))),
        });
        match self {
            Mode::Utf8 => new,
            Mode::Classic | Mode::Fallback => reconcile(new, classic::matcher(input)),
        }
    }

    /// Parses a list of matchers, with or without braces.
    ///
    /// # Errors
    /// [`ParseError`] in upstream's words.
    pub fn parse_list(self, input: &str) -> Result<Vec<Matcher>, ParseError> {
        match self {
            Mode::Classic => classic::matchers(input),
            Mode::Utf8 => utf8::matchers(input),
            Mode::Fallback => reconcile(utf8::matchers(input), classic::matchers(input)),
        }
    }
}

/// Valid in one notation: that one. In both and the same: either. In both but different, or in
/// neither: what the classic parser says.
fn reconcile<T: PartialEq>(
    new: Result<T, ParseError>,
    classic: Result<T, ParseError>,
) -> Result<T, ParseError> {
    match (new, classic) {
        (Ok(new), Err(_)) => Ok(new),
        (Ok(_) | Err(_), classic) => classic,
    }
}

/// Why a text is no matcher, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// A condition on one label; a missing label counts as the empty string.
#[derive(Clone)]
pub struct Matcher {
    /// How it compares.
    pub kind: MatchKind,
    /// The label it looks at.
    pub name: Arc<str>,
    /// The value or pattern, as written.
    pub value: Arc<str>,
    regexp: Option<Arc<Regexp>>,
}

impl Matcher {
    /// Builds a matcher.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub fn new(
        kind: MatchKind,
        name: impl Into<Arc<str>>,
        value: impl Into<Arc<str>>,
    ) -> Result<Matcher, golang::regexp::Error> {
        let value = value.into();
        let regexp = match kind {
            MatchKind::Regexp | MatchKind::NotRegexp => {
                Some(Arc::new(Regexp::new(&format!("^(?:{value})$"))?))
            }
            MatchKind::Equal | MatchKind::NotEqual => None,
        };
        Ok(Matcher {
            kind,
            name: name.into(),
            value,
            regexp,
        })
    }

    /// Whether a label value satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        let by_pattern = || self.regexp.as_ref().is_some_and(|re| re.is_match(value));
        match self.kind {
            MatchKind::Equal => *self.value == *value,
            MatchKind::NotEqual => *self.value != *value,
            MatchKind::Regexp => by_pattern(),
            MatchKind::NotRegexp => !by_pattern(),
        }
    }

    fn order(&self) -> (&str, &str, MatchKind) {
        (&self.name, &self.value, self.kind)
    }
}

/// Whether every matcher is satisfied by the label set.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

/// Sorts by name, value, kind: the order that route keys are printed in.
pub fn sort(matchers: &mut [Matcher]) {
    matchers.sort_by(|a, b| a.order().cmp(&b.order()));
}

/// The list as upstream prints it: `{a="b",c!~"d"}`.
pub fn list_to_string(matchers: &[Matcher]) -> String {
    let inner: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", inner.join(","))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(is_reserved) {
            return write!(
                f,
                "{}{}{}",
                golang::strconv::quote(&self.name),
                self.kind.as_str(),
                golang::strconv::quote(&self.value)
            );
        }
        write!(
            f,
            "{}{}\"{}\"",
            self.name,
            self.kind.as_str(),
            escape(&self.value)
        )
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// OpenMetrics escaping of a label value.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

/// Characters that end an unquoted name or value in the new notation.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_does_not_match_a_line_feed() {
        let matcher = Matcher::new(MatchKind::Regexp, "a", "b.*").unwrap();
        assert!(matcher.matches("bcd"));
        assert!(!matcher.matches("b\nd"));
    }

    #[test]
    fn modes_disagree_where_upstream_says_so() {
        for (input, mode, printed) in [
            (r#"foo="\xf0\x9f\x99\x82""#, Mode::Utf8, r#"foo="🙂""#),
            (
                r#"foo="\xf0\x9f\x99\x82""#,
                Mode::Fallback,
                r#"foo="\\xf0\\x9f\\x99\\x82""#,
            ),
            (r#""a b"="c d""#, Mode::Fallback, r#""a b"="c d""#),
            ("a=b c", Mode::Fallback, r#"a="b c""#),
        ] {
            assert_eq!(
                mode.parse_one(input).unwrap().to_string(),
                printed,
                "{input}"
            );
        }
        assert!(Mode::Classic.parse_one(r#""a b"="c d""#).is_err());
        assert!(Mode::Utf8.parse_one("a=b c").is_err());
    }
}
