//! The section `inhibit_rules`.

use std::collections::BTreeMap;

use super::Error;
use super::matchers::{self, MatchRegexps, MatcherLines};
use super::settings::{settings, unset};
use crate::inhibit::Rule;
use crate::matcher::Mode;

settings! {
    /// An inhibition rule as it is written.
    "config.plain" InhibitRuleSection {
        /// Shown in metrics.
        name: String = String::new(), skip "unset";
        /// Deprecated.
        source_match: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// Deprecated.
        source_match_re: MatchRegexps = MatchRegexps::default(), skip "unset";
        /// What an inhibiting alert matches.
        source_matchers: MatcherLines = MatcherLines::default(), skip "unset";
        /// Deprecated.
        target_match: BTreeMap<String, String> = BTreeMap::new(), skip "unset";
        /// Deprecated.
        target_match_re: MatchRegexps = MatchRegexps::default(), skip "unset";
        /// What an inhibited alert matches.
        target_matchers: MatcherLines = MatcherLines::default(), skip "unset";
        /// Labels that agree.
        equal: Vec<String> = Vec::new(), skip "unset";
    }
}

impl InhibitRuleSection {
    /// Checks the rule; its matchers are replaced by how they are printed.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn resolve(&mut self, mode: Mode) -> Result<Rule, Error> {
        let mut source = matchers::equal(&self.source_match)?;
        let mut target = matchers::equal(&self.target_match)?;
        source.extend(self.source_match_re.resolve()?);
        target.extend(self.target_match_re.resolve()?);
        source.extend(self.source_matchers.resolve(mode)?);
        target.extend(self.target_matchers.resolve(mode)?);
        if let Some(name) = self.equal.iter().find(|name| !mode.is_label_name(name)) {
            return Err(Error::new(format!(
                "invalid label name {} in equal list",
                golang::strconv::quote(name)
            )));
        }
        Ok(Rule {
            name: self.name.clone(),
            source,
            target,
            equal: self.equal.clone(),
        })
    }
}
