//! The `global` section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use golang::strconv::quote;
use model::Labels;
use model::names::ValidationScheme;
use serde::{Deserialize, Deserializer, Serialize};
use yaml_config::{Duration, Size};

use crate::checked::zero;
use crate::expand::expand_env;

/// The `global` section; [`GlobalConfig::validate`] fills in what depends on other fields.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct GlobalConfig {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<String>>,
    pub evaluation_interval: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub rule_query_offset: Duration,
    #[serde(skip_serializing_if = "is_no_path")]
    pub query_log_file: PathBuf,
    #[serde(skip_serializing_if = "is_no_path")]
    pub scrape_failure_log_file: PathBuf,
    /// With environment variables expanded once validated.
    #[serde(skip_serializing_if = "zero", deserialize_with = "label_values")]
    pub external_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "zero")]
    pub body_size_limit: Size,
    #[serde(skip_serializing_if = "zero")]
    pub sample_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub target_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub label_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub label_name_length_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub label_value_length_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub keep_dropped_targets: u64,
    pub metric_name_validation_scheme: String,
    /// Empty if it follows from the validation scheme.
    #[serde(skip_serializing_if = "zero")]
    pub metric_name_escaping_scheme: String,
    pub scrape_native_histograms: bool,
    #[serde(skip_serializing_if = "zero")]
    pub convert_classic_histograms_to_nhcb: bool,
    #[serde(skip_serializing_if = "zero")]
    pub always_scrape_classic_histograms: bool,
    pub extra_scrape_metrics: bool,
}

/// Label values are text; of bytes that are none the complaint is upstream's.
fn label_values<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct LabelValue(String);

    impl<'de> Deserialize<'de> for LabelValue {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelValue, D::Error> {
            struct OfText;

            impl serde::de::Visitor<'_> for OfText {
                type Value = LabelValue;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a label value")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LabelValue, E> {
                    Ok(LabelValue(text.to_owned()))
                }

                fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<LabelValue, E> {
                    let shown = golang::strconv::quote_bytes(bytes);
                    Err(E::custom(format!("{shown} is not a valid label value")))
                }
            }

            deserializer.deserialize_str(OfText)
        }
    }

    let values: BTreeMap<String, LabelValue> = BTreeMap::deserialize(deserializer)?;
    let pairs = values.into_iter();
    Ok(pairs
        .map(|(name, LabelValue(value))| (name, value))
        .collect())
}

fn is_no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Default for GlobalConfig {
    fn default() -> GlobalConfig {
        GlobalConfig {
            scrape_interval: Duration::ZERO,
            scrape_timeout: Duration::ZERO,
            scrape_protocols: None,
            evaluation_interval: Duration::ZERO,
            rule_query_offset: Duration::ZERO,
            query_log_file: PathBuf::new(),
            scrape_failure_log_file: PathBuf::new(),
            external_labels: BTreeMap::new(),
            body_size_limit: Size::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: String::new(),
            metric_name_escaping_scheme: String::new(),
            scrape_native_histograms: false,
            convert_classic_histograms_to_nhcb: false,
            always_scrape_classic_histograms: false,
            extra_scrape_metrics: false,
        }
    }
}

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the section; `null` is as good as none.
pub(crate) fn or_absent<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<GlobalConfig, D::Error> {
    let section = Option::<GlobalConfig>::deserialize(deserializer)?;
    Ok(section.unwrap_or_else(GlobalConfig::absent))
}

impl GlobalConfig {
    /// What counts if there is no such section: upstream then shows a default more.
    pub(crate) fn absent() -> GlobalConfig {
        GlobalConfig {
            metric_name_escaping_scheme: "allow-utf-8".to_owned(),
            ..GlobalConfig::default()
        }
    }

    /// Which names are valid.
    pub fn name_scheme(&self) -> ValidationScheme {
        match self.metric_name_validation_scheme.as_str() {
            "legacy" => ValidationScheme::Legacy,
            _ => ValidationScheme::Utf8,
        }
    }

    /// Fills in defaults, expands environment variables in external labels (`env` answers one), and
    /// checks what fields have to do with each other.
    ///
    /// # Errors
    /// Upstream's texts.
    pub(crate) fn validate(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
        for value in self.external_labels.values_mut() {
            *value = expand_env(value, env);
        }
        match self.metric_name_validation_scheme.as_str() {
            "" => self.metric_name_validation_scheme = "utf8".to_owned(),
            "utf8" | "legacy" => {}
            other => return Err(format!("unrecognized ValidationScheme: {}", quote(other))),
        }
        let scheme = self.name_scheme();
        for name in self.external_labels.keys() {
            if !scheme.is_label_name(name) {
                return Err(format!("{} is not a valid label name", quote(name)));
            }
        }
        if self.scrape_interval == Duration::ZERO {
            self.scrape_interval = DEFAULT_INTERVAL;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err("global scrape timeout greater than scrape interval".to_owned());
        }
        if self.scrape_timeout == Duration::ZERO {
            self.scrape_timeout = DEFAULT_TIMEOUT.min(self.scrape_interval);
        }
        if self.evaluation_interval == Duration::ZERO {
            self.evaluation_interval = DEFAULT_INTERVAL;
        }
        if let Some(protocols) = &self.scrape_protocols {
            scrape::check_protocols(protocols).map_err(|e| format!("{e} for global config"))?;
        }
        Ok(())
    }

    /// Checks the name of the escaping scheme, which matters to scrapes only.
    ///
    /// # Errors
    /// Upstream's text.
    pub(crate) fn check_escaping(&self) -> Result<(), String> {
        match self.metric_name_escaping_scheme.as_str() {
            "" | "allow-utf-8" | "underscores" | "dots" | "values" => Ok(()),
            other => Err(format!(
                "unknown global name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
                quote(other)
            )),
        }
    }

    /// Makes relative paths relative to the configuration's folder.
    pub(crate) fn set_directory(&mut self, dir: &Path) {
        for path in [&mut self.query_log_file, &mut self.scrape_failure_log_file] {
            if !is_no_path(path) && path.is_relative() {
                *path = dir.join(&*path);
            }
        }
    }

    /// What scrape sections take from here.
    pub fn scrape_defaults(&self) -> scrape::Defaults {
        scrape::Defaults {
            scrape_interval: self.scrape_interval,
            scrape_timeout: self.scrape_timeout,
            scrape_protocols: self.scrape_protocols.clone(),
            scrape_native_histograms: self.scrape_native_histograms,
            always_scrape_classic_histograms: self.always_scrape_classic_histograms,
            convert_classic_histograms_to_nhcb: self.convert_classic_histograms_to_nhcb,
            scrape_failure_log_file: self.scrape_failure_log_file.clone(),
            body_size_limit: self.body_size_limit,
            sample_limit: self.sample_limit,
            target_limit: self.target_limit,
            label_limit: self.label_limit,
            label_name_length_limit: self.label_name_length_limit,
            label_value_length_limit: self.label_value_length_limit,
            keep_dropped_targets: self.keep_dropped_targets,
            metric_name_validation_scheme: self.metric_name_validation_scheme.clone(),
            metric_name_escaping_scheme: self.metric_name_escaping_scheme.clone(),
            extra_scrape_metrics: self.extra_scrape_metrics,
        }
    }

    /// The external labels as a label set.
    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(&self.external_labels)
    }
}
