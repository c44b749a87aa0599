//! The `otlp` section: how what OpenTelemetry sends becomes series.

use std::collections::HashSet;

use golang::strconv::quote;
use model::names::ValidationScheme;
use serde::{Deserialize, Serialize};

use crate::checked::{checked, zero};

const UNDERSCORES_AND_SUFFIXES: &str = "UnderscoreEscapingWithSuffixes";

/// What becomes of names, labels and histograms.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", default, rename = "config.plain")]
pub struct OtlpConfig {
    #[serde(skip_serializing_if = "zero")]
    pub promote_all_resource_attributes: bool,
    #[serde(skip_serializing_if = "zero")]
    pub promote_resource_attributes: Vec<String>,
    #[serde(skip_serializing_if = "zero")]
    pub ignore_resource_attributes: Vec<String>,
    #[serde(skip_serializing_if = "zero")]
    pub translation_strategy: String,
    #[serde(skip_serializing_if = "zero")]
    pub keep_identifying_resource_attributes: bool,
    #[serde(skip_serializing_if = "zero")]
    pub convert_histograms_to_nhcb: bool,
    #[serde(skip_serializing_if = "zero")]
    pub promote_scope_metadata: bool,
    #[serde(skip_serializing_if = "zero")]
    pub label_name_underscore_sanitization: bool,
    #[serde(skip_serializing_if = "zero")]
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> OtlpConfig {
        OtlpConfig {
            promote_all_resource_attributes: false,
            promote_resource_attributes: Vec::new(),
            ignore_resource_attributes: Vec::new(),
            translation_strategy: UNDERSCORES_AND_SUFFIXES.to_owned(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

checked! { OtlpConfig }

impl OtlpConfig {
    fn check(&mut self) -> Result<(), String> {
        if !self.promote_all_resource_attributes {
            if !self.ignore_resource_attributes.is_empty() {
                return Err("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true".to_owned());
            }
            return sanitize(&mut self.promote_resource_attributes, "promoted")
                .map_err(|e| format!("invalid 'promote_resource_attributes': {e}"));
        }
        if !self.promote_resource_attributes.is_empty() {
            return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".to_owned());
        }
        sanitize(&mut self.ignore_resource_attributes, "ignored")
            .map_err(|e| format!("invalid 'ignore_resource_attributes': {e}"))
    }

    /// Checks the strategy against the names that are valid.
    ///
    /// # Errors
    /// Upstream's texts.
    pub(crate) fn validate(&self, scheme: ValidationScheme) -> Result<(), String> {
        let strategy = self.translation_strategy.as_str();
        match strategy {
            "" | UNDERSCORES_AND_SUFFIXES | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" => match scheme {
                ValidationScheme::Utf8 => Ok(()),
                ValidationScheme::Legacy => Err(format!(
                    "OTLP translation strategy {} is not allowed when UTF8 is disabled",
                    quote(strategy)
                )),
            },
            other => Err(format!(
                "unsupported OTLP translation strategy {}",
                quote(other)
            )),
        }
    }
}

/// Trims names; says all that is wrong with them, a line each.
fn sanitize(names: &mut [String], adjective: &str) -> Result<(), String> {
    let mut seen = HashSet::new();
    let mut wrong = Vec::new();
    for name in names {
        let trimmed = name.trim().to_owned();
        if trimmed.is_empty() {
            wrong.push(format!("empty {adjective} OTel resource attribute"));
        } else if seen.contains(&trimmed) {
            wrong.push(format!(
                "duplicated {adjective} OTel resource attribute {}",
                quote(&trimmed)
            ));
        } else {
            seen.insert(trimmed.clone());
            *name = trimmed;
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OtlpConfig, String> {
        yaml_config::from_str(text).map_err(|e| e.message())
    }

    #[test]
    fn attributes() {
        let config = read("promote_resource_attributes: [' a ', b]").unwrap();
        assert_eq!(config.promote_resource_attributes, ["a", "b"]);
        for (text, error) in [
            (
                "{promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously",
            ),
            (
                "promote_resource_attributes: [a, ' a', ' ']",
                "invalid 'promote_resource_attributes': duplicated promoted OTel resource attribute \"a\"\nempty promoted OTel resource attribute",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn strategies() {
        for (strategy, utf8, legacy) in [
            ("UnderscoreEscapingWithoutSuffixes", true, true),
            ("NoTranslation", true, false),
            ("Babel", false, false),
        ] {
            let config = read(&format!("translation_strategy: {strategy}")).unwrap();
            assert_eq!(config.validate(ValidationScheme::Utf8).is_ok(), utf8);
            assert_eq!(config.validate(ValidationScheme::Legacy).is_ok(), legacy);
        }
    }
}
