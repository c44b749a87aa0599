//! What can be wrong with a YAML text, and where.

use std::fmt;

/// What sort of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text is no YAML.
    Syntax,
    /// A value does not fit its field, a field is unknown, missing or given twice.
    Type,
    /// A type's own check failed; [`Error::message`] is its text alone, as upstream prints it.
    Value,
}

/// Why a YAML text could not be decoded.
///
/// `Display` is upstream's text followed by the place: `not a valid duration string: "x" (line 3,
/// column 20, field global.scrape_interval)`. [`Error::message`] is upstream's text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    message: String,
    /// From 1; 0 is not known.
    line: u64,
    column: u64,
    path: String,
    expected: Option<String>,
    /// More errors of kind `Type`, in the order of the text.
    more: Vec<Error>,
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                line: 0,
                column: 0,
                path: String::new(),
                expected: None,
                more: Vec::new(),
            }),
        }
    }

    /// An error of a type's own check, for code that validates after decoding.
    pub fn value(message: impl Into<String>) -> Error {
        Error::new(Kind::Value, message)
    }

    /// The same error at a place, unless it has one (from 1).
    pub fn at(mut self, line: u64, column: u64) -> Error {
        if self.inner.line == 0 {
            self.inner.line = line;
            self.inner.column = column;
        }
        self
    }

    /// The same error in a field, unless it has one: `global.scrape_interval`.
    pub fn in_field(mut self, path: impl Into<String>) -> Error {
        if self.inner.path.is_empty() {
            self.inner.path = path.into();
        }
        self
    }

    pub(crate) fn expecting(mut self, expected: impl Into<String>) -> Error {
        self.inner.expected = Some(expected.into());
        self
    }

    /// Joins errors; the first one is the head. `None` without any.
    pub(crate) fn join(errors: Vec<Error>) -> Option<Error> {
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        first.inner.more.extend(errors);
        Some(first)
    }

    /// What sort of error it is.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The line, from 1; `None` if not known.
    pub fn line(&self) -> Option<u64> {
        (self.inner.line > 0).then_some(self.inner.line)
    }

    /// The column, from 1; `None` if not known.
    pub fn column(&self) -> Option<u64> {
        (self.inner.column > 0).then_some(self.inner.column)
    }

    /// The field, from the document's root: `scrape_configs[0].job_name`. Empty at the root.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// What was expected, where a type says so.
    pub fn expected(&self) -> Option<&str> {
        self.inner.expected.as_deref()
    }

    /// The text without the place, as upstream prints it: `yaml: unmarshal errors:\n  line 3: field
    /// foo not found in type config.plain`, or the message of the type's own check.
    pub fn message(&self) -> String {
        match self.inner.kind {
            Kind::Syntax => match self.inner.line {
                0 => format!("yaml: {}", self.inner.message),
                line => format!("yaml: line {line}: {}", self.inner.message),
            },
            Kind::Value => self.inner.message.clone(),
            Kind::Type => {
                let mut out = String::from("yaml: unmarshal errors:");
                for error in std::iter::once(self).chain(&self.inner.more) {
                    out.push_str("\n  ");
                    if error.inner.line > 0 {
                        out.push_str(&format!("line {}: ", error.inner.line));
                    }
                    out.push_str(&error.inner.message);
                }
                out
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        f.write_str(&self.message())?;
        let mut place = Vec::new();
        if inner.line > 0 && inner.kind == Kind::Value {
            place.push(format!("line {}", inner.line));
        }
        if inner.column > 0 {
            place.push(format!("column {}", inner.column));
        }
        if !inner.path.is_empty() {
            place.push(format!("field {}", inner.path));
        }
        if let Some(expected) = &inner.expected {
            place.push(format!("expected {expected}"));
        }
        if !place.is_empty() {
            write!(f, " ({})", place.join(", "))?;
        }
        Ok(())
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(Kind::Value, message.to_string())
    }

    fn invalid_type(
        unexpected: serde::de::Unexpected<'_>,
        expected: &dyn serde::de::Expected,
    ) -> Error {
        Error::new(
            Kind::Type,
            format!("cannot unmarshal {unexpected} into {expected}"),
        )
        .expecting(expected.to_string())
    }

    fn missing_field(field: &'static str) -> Error {
        Error::new(Kind::Type, format!("missing field {field}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Error {
        Error::new(Kind::Type, format!("field {field} not found"))
            .expecting(one_of(field, expected))
    }

    fn duplicate_field(field: &'static str) -> Error {
        Error::new(Kind::Type, format!("field {field} already set"))
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(Kind::Value, message.to_string())
    }
}

/// More words than this are not listed: nobody reads them.
const MOST_WORDS: usize = 12;

/// For people who mistyped `word`: the word they meant, or what there is to choose from.
pub(crate) fn one_of(word: &str, words: &[&str]) -> String {
    let nearest = words
        .iter()
        .min_by_key(|candidate| distance(word, candidate));
    match words {
        [] => "no field at all".to_owned(),
        [only] => (*only).to_owned(),
        words if words.len() <= MOST_WORDS => format!("one of {}", words.join(", ")),
        words => match nearest {
            Some(nearest) if distance(word, nearest) <= 2 + word.len() / 5 => (*nearest).to_owned(),
            _ => format!("one of {} fields", words.len()),
        },
    }
}

/// How many letters have to be put in, taken out or exchanged to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::one_of;

    #[test]
    fn the_word_that_was_meant() {
        let many: Vec<String> = (0..20).map(|i| format!("other_field_{i}")).collect();
        let mut words: Vec<&str> = many.iter().map(String::as_str).collect();
        words.push("scrape_interval");
        assert_eq!(one_of("scrape_intervall", &words), "scrape_interval");
        assert_eq!(one_of("scrapeinterval", &words), "scrape_interval");
        assert_eq!(one_of("nothing_like_it", &words), "one of 21 fields");
        assert_eq!(
            one_of("usr", &["user", "password"]),
            "one of user, password"
        );
    }
}
