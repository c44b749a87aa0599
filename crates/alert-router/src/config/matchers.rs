//! Matchers in the configuration, in their three notations.

use std::collections::BTreeMap;

use model::MatchKind;
use model::names::is_legacy_label_name;
use serde::{Deserialize, Serialize};

use super::Error;
use super::settings::Unset;
use crate::matcher::{self, Matcher, Mode};

/// `matchers`, `source_matchers`, `target_matchers`: lines that hold one or more matchers each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MatcherLines(pub Vec<String>);

impl Unset for MatcherLines {
    fn unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl MatcherLines {
    /// Parses the lines, and replaces them by how upstream prints them: sorted, one a line.
    pub(super) fn resolve(&mut self, mode: Mode) -> Result<Vec<Matcher>, Error> {
        let mut matchers = Vec::new();
        for line in &self.0 {
            matchers.extend(mode.parse_list(line).map_err(Error::from_display)?);
        }
        matcher::sort(&mut matchers);
        self.0 = matchers.iter().map(Matcher::to_string).collect();
        Ok(matchers)
    }
}

/// `match_re`, `source_match_re`, `target_match_re`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MatchRegexps(pub BTreeMap<String, Option<String>>);

impl Unset for MatchRegexps {
    fn unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl MatchRegexps {
    pub(super) fn resolve(&self) -> Result<Vec<Matcher>, Error> {
        self.0
            .iter()
            .map(|(name, pattern)| {
                check_name(name)?;
                let pattern = pattern.as_ref().ok_or_else(|| {
                    Error::new(format!(
                        "invalid regexp value for {}",
                        golang::strconv::quote(name)
                    ))
                })?;
                // Checked as it is written, so that the message shows what upstream's does; kept
                // with its anchors, which are part of route keys.
                let anchored = format!("^(?:{pattern})$");
                golang::regexp::Regexp::new(&anchored).map_err(Error::from_display)?;
                Matcher::new(MatchKind::Regexp, name.as_str(), anchored)
                    .map_err(Error::from_display)
            })
            .collect()
    }
}

/// `match`, `source_match`, `target_match`.
pub(super) fn equal(labels: &BTreeMap<String, String>) -> Result<Vec<Matcher>, Error> {
    labels
        .iter()
        .map(|(name, value)| {
            check_name(name)?;
            Matcher::new(MatchKind::Equal, name.as_str(), value.as_str())
                .map_err(Error::from_display)
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_legacy_label_name(name) {
        Ok(())
    } else {
        Err(Error::new(format!(
            "invalid label name {}",
            golang::strconv::quote(name)
        )))
    }
}
