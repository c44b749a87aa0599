//! A section of `scrape_configs`: as written, and as filled in from `global`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use discovery::Configs;
use exposition::Escaping;
use golang::strconv::quote;
use http_client::HttpClientConfig;
use model::names::ValidationScheme;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use yaml_config::{Duration, Inline, Size};

use crate::protocol::{ScrapeProtocol, check_protocols};

/// A scrape job. Reading YAML checks what stands in single fields; [`ScrapeConfig::validate`] checks the
/// rest and fills in what `global` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScrapeConfig {
    pub section: Section,
    pub http: HttpClientConfig,
    pub relabel: RelabelSection,
    pub discovery: Configs,
}

/// The job's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct Section {
    pub job_name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// 0 until filled in.
    pub scrape_interval: Duration,
    /// 0 until filled in.
    pub scrape_timeout: Duration,
    /// `None` until filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fallback_scrape_protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub always_scrape_classic_histograms: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    #[serde(skip_serializing_if = "is_no_path")]
    pub scrape_failure_log_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metrics_path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    pub enable_compression: bool,
    /// 0 for none, as the other limits.
    #[serde(skip_serializing_if = "is_no_size")]
    pub body_size_limit: Size,
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub target_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub label_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub label_name_length_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub label_value_length_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub native_histogram_bucket_limit: u64,
    #[serde(skip_serializing_if = "is_no_factor")]
    pub native_histogram_min_bucket_factor: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub keep_dropped_targets: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_name_validation_scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric_name_escaping_scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_scrape_metrics: Option<bool>,
}

fn is_false(b: &bool) -> bool {
    !b
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_no_factor(f: &f64) -> bool {
    *f == 0.0
}

fn is_no_size(size: &Size) -> bool {
    size.bytes() == 0
}

fn is_no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

impl Default for Section {
    fn default() -> Section {
        Section {
            job_name: String::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            params: BTreeMap::new(),
            scrape_interval: Duration::ZERO,
            scrape_timeout: Duration::ZERO,
            scrape_protocols: None,
            fallback_scrape_protocol: String::new(),
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            scrape_failure_log_file: PathBuf::new(),
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            enable_compression: true,
            body_size_limit: Size::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: String::new(),
            metric_name_escaping_scheme: String::new(),
            extra_scrape_metrics: None,
        }
    }
}

/// The job's relabelling rules; a missing one is an error that [`ScrapeConfig::validate`] words.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct RelabelSection {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<Option<relabel::Config>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel_configs: Vec<Option<relabel::Config>>,
}

type Written = Inline<Inline<Inline<Section, HttpClientConfig>, RelabelSection>, Configs>;

impl<'de> Deserialize<'de> for ScrapeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ScrapeConfig, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let config = ScrapeConfig {
            section: written.own.own.own,
            http: written.own.own.inlined,
            relabel: written.own.inlined,
            discovery: written.inlined,
        };
        config.check_alone().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for ScrapeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Inline {
            own: Inline {
                own: Inline {
                    own: &self.section,
                    inlined: &self.http,
                },
                inlined: &self.relabel,
            },
            inlined: &self.discovery,
        }
        .serialize(serializer)
    }
}

/// What `global` says about scraping; the fields are those of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
    pub scrape_protocols: Option<Vec<String>>,
    pub scrape_native_histograms: bool,
    pub always_scrape_classic_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    pub scrape_failure_log_file: PathBuf,
    pub body_size_limit: Size,
    pub sample_limit: u64,
    pub target_limit: u64,
    pub label_limit: u64,
    pub label_name_length_limit: u64,
    pub label_value_length_limit: u64,
    pub keep_dropped_targets: u64,
    pub metric_name_validation_scheme: String,
    pub metric_name_escaping_scheme: String,
    pub extra_scrape_metrics: bool,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: Duration::from_secs(10),
            scrape_protocols: None,
            scrape_native_histograms: false,
            always_scrape_classic_histograms: false,
            convert_classic_histograms_to_nhcb: false,
            scrape_failure_log_file: PathBuf::new(),
            body_size_limit: Size::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: "utf8".to_owned(),
            metric_name_escaping_scheme: String::new(),
            extra_scrape_metrics: false,
        }
    }
}

impl ScrapeConfig {
    /// The name of the job.
    pub fn job_name(&self) -> &str {
        &self.section.job_name
    }

    /// What upstream checks as it reads the section.
    fn check_alone(&self) -> Result<(), String> {
        if self.section.job_name.is_empty() {
            return Err("job_name is empty".to_owned());
        }
        // With rules an address may be anything that they make an address of.
        let missing = self.discovery.static_configs.iter().any(Option::is_none);
        if missing || self.relabel.relabel_configs.is_empty() {
            self.discovery.validate()?;
        }
        if self.relabel.relabel_configs.iter().any(Option::is_none) {
            return Err("empty or null target relabeling rule in scrape config".to_owned());
        }
        if self
            .relabel
            .metric_relabel_configs
            .iter()
            .any(Option::is_none)
        {
            return Err("empty or null metric relabeling rule in scrape config".to_owned());
        }
        scheme_of(&self.section.metric_name_validation_scheme).map(drop)
    }

    /// Fills in what `global` says and checks what fields have to do with each other.
    ///
    /// # Errors
    /// Upstream's texts.
    pub fn validate(&mut self, global: &Defaults) -> Result<(), String> {
        self.fill_times(global)?;
        let section = &mut self.section;
        let job = format!(
            "for scrape config with job name {}",
            quote(&section.job_name)
        );
        if section.body_size_limit.bytes() == 0 {
            section.body_size_limit = global.body_size_limit;
        }
        for (own, global) in [
            (&mut section.sample_limit, global.sample_limit),
            (&mut section.target_limit, global.target_limit),
            (&mut section.label_limit, global.label_limit),
            (
                &mut section.label_name_length_limit,
                global.label_name_length_limit,
            ),
            (
                &mut section.label_value_length_limit,
                global.label_value_length_limit,
            ),
            (
                &mut section.keep_dropped_targets,
                global.keep_dropped_targets,
            ),
        ] {
            if *own == 0 {
                *own = global;
            }
        }
        let native = *section
            .scrape_native_histograms
            .get_or_insert(global.scrape_native_histograms);
        section
            .always_scrape_classic_histograms
            .get_or_insert(global.always_scrape_classic_histograms);
        section
            .convert_classic_histograms_to_nhcb
            .get_or_insert(global.convert_classic_histograms_to_nhcb);
        section
            .extra_scrape_metrics
            .get_or_insert(global.extra_scrape_metrics);
        if is_no_path(&section.scrape_failure_log_file) {
            section.scrape_failure_log_file = global.scrape_failure_log_file.clone();
        }
        if section.scrape_protocols.is_none() {
            let default = if native {
                &ScrapeProtocol::PROTO_FIRST[..]
            } else {
                &ScrapeProtocol::DEFAULT[..]
            };
            let names = || {
                default
                    .iter()
                    .map(|protocol| protocol.as_str().to_owned())
                    .collect()
            };
            section.scrape_protocols = Some(global.scrape_protocols.clone().unwrap_or_else(names));
        }
        let protocols = section.scrape_protocols.as_deref().unwrap_or_default();
        check_protocols(protocols).map_err(|error| format!("{error} {job}"))?;
        if !section.fallback_scrape_protocol.is_empty() {
            ScrapeProtocol::parse(&section.fallback_scrape_protocol)
                .map_err(|error| format!("invalid fallback_scrape_protocol {job}: {error}"))?;
        }
        self.fill_names(global)?;
        let scheme = self.name_scheme();
        let rules = self.relabel.relabel_configs.iter();
        for rule in rules.chain(&self.relabel.metric_relabel_configs).flatten() {
            rule.compile(scheme).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn fill_times(&mut self, global: &Defaults) -> Result<(), String> {
        let section = &mut self.section;
        if section.scrape_interval == Duration::ZERO {
            section.scrape_interval = global.scrape_interval;
        }
        if section.scrape_timeout > section.scrape_interval {
            return Err(format!(
                "scrape timeout greater than scrape interval for scrape config with job name {}",
                quote(&section.job_name)
            ));
        }
        if section.scrape_timeout == Duration::ZERO {
            section.scrape_timeout = global.scrape_timeout.min(section.scrape_interval);
        }
        Ok(())
    }

    fn fill_names(&mut self, global: &Defaults) -> Result<(), String> {
        let section = &mut self.section;
        let own_scheme = !section.metric_name_validation_scheme.is_empty();
        if !own_scheme {
            section.metric_name_validation_scheme = global.metric_name_validation_scheme.clone();
        }
        let scheme = scheme_of(&section.metric_name_validation_scheme)?;
        if section.metric_name_escaping_scheme.is_empty() {
            // A job with an old alphabet of its own cannot take the global scheme for UTF-8 names.
            let global_fits = global.metric_name_escaping_scheme != Escaping::AllowUtf8.as_str()
                || scheme == ValidationScheme::Utf8
                || !own_scheme;
            section.metric_name_escaping_scheme =
                match (global.metric_name_escaping_scheme.as_str(), scheme) {
                    (name, _) if !name.is_empty() && global_fits => name.to_owned(),
                    (_, ValidationScheme::Legacy) => Escaping::Underscores.as_str().to_owned(),
                    (_, ValidationScheme::Utf8) => Escaping::AllowUtf8.as_str().to_owned(),
                };
        }
        match Escaping::parse(&section.metric_name_escaping_scheme) {
            Some(Escaping::AllowUtf8) if scheme == ValidationScheme::Legacy => Err(
                "utf8 metric names requested but validation scheme is not set to UTF8".to_owned(),
            ),
            Some(_) => Ok(()),
            None => Err(format!(
                "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
                quote(&section.metric_name_escaping_scheme)
            )),
        }
    }

    /// Makes relative paths relative to the configuration's folder.
    pub fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        self.discovery.resolve_paths(dir);
        let log = &mut self.section.scrape_failure_log_file;
        if !is_no_path(log) && log.is_relative() {
            *log = dir.join(&*log);
        }
    }

    pub(crate) fn name_scheme(&self) -> ValidationScheme {
        scheme_of(&self.section.metric_name_validation_scheme).unwrap_or_default()
    }

    pub(crate) fn escaping(&self) -> Escaping {
        Escaping::parse(&self.section.metric_name_escaping_scheme).unwrap_or(Escaping::AllowUtf8)
    }

    pub(crate) fn protocols(&self) -> Vec<ScrapeProtocol> {
        let names = self.section.scrape_protocols.as_deref().unwrap_or_default();
        check_protocols(names).unwrap_or_else(|_| ScrapeProtocol::DEFAULT.to_vec())
    }
}

/// The scheme of this name; no name is the default.
fn scheme_of(name: &str) -> Result<ValidationScheme, String> {
    match name {
        "" | "utf8" => Ok(ValidationScheme::Utf8),
        "legacy" => Ok(ValidationScheme::Legacy),
        name => Err(format!("unrecognized ValidationScheme: {}", quote(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str, global: &Defaults) -> Result<ScrapeConfig, String> {
        let mut config: ScrapeConfig = yaml_config::from_str(yaml).map_err(|e| e.message())?;
        config.validate(global)?;
        Ok(config)
    }

    fn refused(yaml: &str, global: &Defaults, error: &str) {
        assert_eq!(load(yaml, global).unwrap_err(), error, "{yaml}");
    }

    #[test]
    fn filled_in_and_printed_as_upstream() {
        let global = Defaults {
            sample_limit: 5,
            ..Defaults::default()
        };
        let yaml = "job_name: a\nstatic_configs:\n- targets: ['h:1']\nrelabel_configs:\n- target_label: x\nbasic_auth:\n  username: u\n  password: p\n";
        let config = load(yaml, &global).unwrap();
        assert_eq!(
            yaml_config::to_string(&config).unwrap(),
            "job_name: a
honor_timestamps: true
track_timestamps_staleness: false
scrape_interval: 1m
scrape_timeout: 10s
scrape_protocols:
- OpenMetricsText1.0.0
- OpenMetricsText0.0.1
- PrometheusText1.0.0
- PrometheusText0.0.4
scrape_native_histograms: false
always_scrape_classic_histograms: false
convert_classic_histograms_to_nhcb: false
metrics_path: /metrics
scheme: http
enable_compression: true
sample_limit: 5
metric_name_validation_scheme: utf8
metric_name_escaping_scheme: allow-utf-8
extra_scrape_metrics: false
basic_auth:
  username: u
  password: <secret>
follow_redirects: true
enable_http2: true
relabel_configs:
- separator: ;
  target_label: x
  replacement: $1
  action: replace
static_configs:
- targets:
  - h:1
"
        );
    }

    #[test]
    fn refused_in_upstreams_words() {
        let global = Defaults::default();
        for (yaml, error) in [
            ("{}", "job_name is empty"),
            (
                "{job_name: a, scrape_timeout: 2m}",
                "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
            ),
            (
                "{job_name: a, scrape_protocols: [text]}",
                "scrape_protocols: unknown scrape protocol text, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0] for scrape config with job name \"a\"",
            ),
            (
                "{job_name: a, fallback_scrape_protocol: x}",
                "invalid fallback_scrape_protocol for scrape config with job name \"a\": unknown scrape protocol x, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]",
            ),
            (
                "{job_name: a, metric_name_escaping_scheme: x}",
                "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got \"x\"",
            ),
            (
                "{job_name: a, metric_name_validation_scheme: x}",
                "unrecognized ValidationScheme: \"x\"",
            ),
            (
                "{job_name: a, relabel_configs: [null]}",
                "empty or null target relabeling rule in scrape config",
            ),
            (
                "{job_name: a, relabel_configs: [{action: hashmod, target_label: x}]}",
                "relabel configuration for hashmod requires non-zero modulus",
            ),
            (
                "{job_name: a, static_configs: [{targets: ['http://bad']}]}",
                "\"http://bad\" is not a valid hostname",
            ),
            (
                "{job_name: a, static_configs: [null]}",
                "empty or null section in static_configs",
            ),
            (
                "{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}",
                "utf8 metric names requested but validation scheme is not set to UTF8",
            ),
            (
                "{job_name: a, body_size_limit: '100'}",
                "units: unknown unit  in 100",
            ),
        ] {
            if error.starts_with("units") {
                assert!(load(yaml, &global).is_err());
            } else {
                refused(yaml, &global, error);
            }
        }
    }

    #[test]
    fn times_names_and_protocols_fall_back() {
        let global = Defaults {
            scrape_interval: Duration::from_secs(5),
            metric_name_escaping_scheme: "allow-utf-8".to_owned(),
            scrape_native_histograms: true,
            ..Defaults::default()
        };
        let config = load(
            "{job_name: a, metric_name_validation_scheme: legacy}",
            &global,
        )
        .unwrap();
        assert_eq!(config.section.scrape_timeout, Duration::from_secs(5));
        assert_eq!(config.escaping(), Escaping::Underscores);
        assert_eq!(config.protocols()[0], ScrapeProtocol::PrometheusProto);
    }
}
