//! Go's `regexp`: RE2 syntax, Go's error texts, and fast paths for the patterns people write.
//!
//! [`parse`] reads Go's syntax into the intermediate form that regex-automata compiles, so every
//! accepted pattern means what it means in Go. [`facts`] finds out what a pattern says about the
//! texts it matches (a fixed set, a prefix, literals between wildcards); such patterns are matched
//! without the automaton, which is then built only when someone asks for captures.
//! Texts are UTF-8; matching takes time linear in the text.

mod class;
mod expand;
mod facts;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::Input;
use regex_automata::meta;
use regex_syntax::hir::Hir;

use self::facts::{Facts, Plan};

/// Compiled programs above this are refused with Go's "expression too large".
const MAX_PROGRAM_BYTES: usize = 64 << 20;

/// Patterns up to this long whose matching needs no automaton get theirs only when asked for.
const MAX_LAZY_PATTERN: usize = 1 << 16;

/// A compiled expression.
pub struct Regexp {
    pattern: String,
    /// Names of the groups by number; unnamed ones are empty, 0 is the whole match.
    names: Vec<String>,
    facts: Facts,
    hir: Hir,
    engine: OnceLock<Option<meta::Regex>>,
}

/// A pattern that is no RE2 expression; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct Error(pub String);

/// Where the groups of one match lie.
#[derive(Debug, Clone)]
pub struct Captures<'t> {
    text: &'t str,
    groups: Vec<Option<Range<usize>>>,
}

impl<'t> Captures<'t> {
    /// The text of a group; 0 is the whole match.
    pub fn get(&self, group: usize) -> Option<&'t str> {
        self.range(group).map(|range| &self.text[range])
    }

    /// The byte range of a group in the text searched.
    pub fn range(&self, group: usize) -> Option<Range<usize>> {
        self.groups.get(group)?.clone()
    }

    /// How many groups the expression has, the whole match included.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }
}

impl Regexp {
    /// Compiles `pattern` to match anywhere.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub fn new(pattern: &str) -> Result<Regexp, Error> {
        let parse::Parsed { hir, names } = parse::parse(pattern)?;
        let facts = Facts::new(&hir);
        let regexp = Regexp {
            pattern: pattern.to_owned(),
            names,
            facts,
            hir,
            engine: OnceLock::new(),
        };
        let lazy = !matches!(regexp.facts.plan, Plan::Search) && pattern.len() <= MAX_LAZY_PATTERN;
        if !lazy && regexp.engine().is_none() {
            return Err(Error(format!("expression too large: `{pattern}`")));
        }
        Ok(regexp)
    }

    /// Compiles `pattern` as Prometheus does for matchers and relabelling: `^(?s:pattern)$`.
    ///
    /// # Errors
    /// Go's message for a pattern that is no RE2 expression.
    pub fn anchored(pattern: &str) -> Result<Regexp, Error> {
        Regexp::new(&format!("^(?s:{pattern})$"))
    }

    /// The pattern as compiled: of an anchored one, with the anchors.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether the expression matches in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        // Most texts that do not match differ at their start.
        text.starts_with(&self.facts.prefix)
            && match &self.facts.plan {
                Plan::Search => self.engine().is_some_and(|e| e.is_match(text)),
                plan => plan.is_match(text),
            }
    }

    /// The first match, with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.captures_at(text, 0)
    }

    fn captures_at<'t>(&self, text: &'t str, start: usize) -> Option<Captures<'t>> {
        let engine = self.engine()?;
        let mut found = engine.create_captures();
        engine.search_captures(&Input::new(text).span(start..text.len()), &mut found);
        found.get_match()?;
        let groups = (0..self.names.len())
            .map(|group| found.get_group(group).map(|span| span.start..span.end))
            .collect();
        Some(Captures { text, groups })
    }

    /// The first match's byte range.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        let found = self.engine()?.find(text)?;
        Some(found.start()..found.end())
    }

    /// Names of the groups by number; unnamed ones are empty, 0 is the whole match
    /// (Go's `SubexpNames`).
    pub fn group_names(&self) -> &[String] {
        &self.names
    }

    /// The texts this expression matches, when they are few and known and it is anchored at both
    /// ends: `a|b|c`, `foo(bar|baz)`, `[ab]c`. In the pattern's order, without duplicates.
    pub fn set_matches(&self) -> Option<&[String]> {
        self.facts.set.as_deref()
    }

    /// What every matching text begins with, of an expression anchored at the start.
    pub fn prefix(&self) -> Option<&str> {
        (!self.facts.prefix.is_empty()).then_some(self.facts.prefix.as_str())
    }

    /// Whether every text matches: `.*` of an anchored expression.
    pub fn matches_everything(&self) -> bool {
        matches!(self.facts.plan, Plan::Everything)
    }

    /// The automaton, built at the first call; `None` if it is too large, which [`Regexp::new`]
    /// has ruled out.
    fn engine(&self) -> Option<&meta::Regex> {
        let build = || {
            meta::Builder::new()
                .configure(meta::Config::new().nfa_size_limit(Some(MAX_PROGRAM_BYTES)))
                .build_from_hir(&self.hir)
                .ok()
        };
        self.engine.get_or_init(build).as_ref()
    }
}

impl fmt::Debug for Regexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regexp").field(&self.pattern).finish()
    }
}

impl fmt::Display for Regexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}
