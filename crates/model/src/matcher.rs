//! Label matchers: `=`, `!=`, `=~`, `!~` (prometheus/prometheus `model/labels/matcher.go`).

use std::fmt;
use std::sync::Arc;

use golang::regexp::Regexp;

use crate::Labels;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchKind {
    Equal,
    NotEqual,
    Regexp,
    NotRegexp,
}

impl MatchKind {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchKind::Equal => "=",
            MatchKind::NotEqual => "!=",
            MatchKind::Regexp => "=~",
            MatchKind::NotRegexp => "!~",
        }
    }
}

/// A condition on one label; a missing label counts as the empty string.
#[derive(Clone)]
pub struct Matcher {
    pub kind: MatchKind,
    pub name: Arc<str>,
    pub value: Arc<str>,
    regexp: Option<Arc<Regexp>>,
}

impl Matcher {
    /// A matcher of any kind; a regular expression is anchored as `^(?s:...)$`.
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
            MatchKind::Regexp | MatchKind::NotRegexp => Some(Arc::new(Regexp::anchored(&value)?)),
            MatchKind::Equal | MatchKind::NotEqual => None,
        };
        Ok(Matcher {
            kind,
            name: name.into(),
            value,
            regexp,
        })
    }

    /// An equality matcher.
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Matcher {
        Matcher {
            kind: MatchKind::Equal,
            name: name.into(),
            value: value.into(),
            regexp: None,
        }
    }

    /// An inequality matcher.
    pub fn not_equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Matcher {
        Matcher {
            kind: MatchKind::NotEqual,
            name: name.into(),
            value: value.into(),
            regexp: None,
        }
    }

    /// Whether a label value satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        match (self.kind, &self.regexp) {
            (MatchKind::Equal, _) => *self.value == *value,
            (MatchKind::NotEqual, _) => *self.value != *value,
            (MatchKind::Regexp, Some(regexp)) => regexp.is_match(value),
            (MatchKind::NotRegexp, Some(regexp)) => !regexp.is_match(value),
            (MatchKind::Regexp | MatchKind::NotRegexp, None) => {
                unreachable!(
                    "regular expression matchers are only built by `new`, with their regexp"
                )
            }
        }
    }

    /// Whether a label set satisfies the matcher.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }

    /// Whether the matcher is satisfied by a label that is not there.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled expression of a regular expression matcher.
    pub fn regexp(&self) -> Option<&Regexp> {
        self.regexp.as_deref()
    }

    /// The matcher that is satisfied exactly where this one is not.
    pub fn inverse(&self) -> Matcher {
        let kind = match self.kind {
            MatchKind::Equal => MatchKind::NotEqual,
            MatchKind::NotEqual => MatchKind::Equal,
            MatchKind::Regexp => MatchKind::NotRegexp,
            MatchKind::NotRegexp => MatchKind::Regexp,
        };
        Matcher {
            kind,
            ..self.clone()
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (self.kind, &self.name, &self.value) == (other.kind, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.kind, &self.name, &self.value).hash(state);
    }
}

/// As PromQL writes it: `job=~"a|b"`, UTF-8 names quoted.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::names::is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&golang::strconv::quote(&self.name))?;
        }
        write!(
            f,
            "{}{}",
            self.kind.as_str(),
            golang::strconv::quote(&self.value)
        )
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
