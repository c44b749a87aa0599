//! Reading the file, and the files it names.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use golang::strconv::quote;
use scrape::ScrapeConfig;
use serde::{Deserialize, Serialize};

use crate::{
    AlertingConfig, GlobalConfig, OtlpConfig, RemoteReadConfig, RemoteWriteConfig, StorageConfig,
    TracingConfig, global, remote_read, remote_write,
};

/// Why a configuration was refused; `Display` is what users see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read.
    #[error("open {path}: {reason}")]
    Read { path: String, reason: String },
    /// A file with something wrong in it.
    #[error("parsing YAML file {path}: {message}")]
    Parse { path: String, message: String },
    /// Files that do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// What loading depends on besides the file.
pub struct LoadOptions<'a> {
    /// Agent mode has no rules, alerts and remote read.
    pub agent: bool,
    /// Answers environment variables, for external labels.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        LoadOptions {
            agent: false,
            env: &|name| std::env::var(name).ok(),
        }
    }
}

/// The configuration with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct Config {
    #[serde(deserialize_with = "global::or_absent")]
    pub global: GlobalConfig,
    pub runtime: RuntimeConfig,
    #[serde(skip_serializing_if = "AlertingConfig::is_empty")]
    pub alerting: AlertingConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule_files: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrape_config_files: Vec<String>,
    /// The sections of this file; [`Config::all_scrape_configs`] has the others too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrape_configs: Vec<Option<ScrapeConfig>>,
    pub storage: StorageConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingConfig>,
    /// None is missing once validated, as with `remote_read`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_write: Vec<Option<RemoteWriteConfig>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_read: Vec<Option<RemoteReadConfig>>,
    /// The default where the text says nothing, nothing where it says `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
    /// Sections of `scrape_config_files`.
    #[serde(skip)]
    pub(crate) included: Vec<ScrapeConfig>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            global: GlobalConfig::absent(),
            runtime: RuntimeConfig::default(),
            alerting: AlertingConfig::default(),
            rule_files: Vec::new(),
            scrape_config_files: Vec::new(),
            scrape_configs: Vec::new(),
            storage: StorageConfig::default(),
            tracing: None,
            remote_write: Vec::new(),
            remote_read: Vec::new(),
            otlp: Some(OtlpConfig::default()),
            included: Vec::new(),
        }
    }
}

/// Settings of upstream's runtime: read and shown, and without effect here.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RuntimeConfig {
    pub gogc: i64,
}

impl Default for RuntimeConfig {
    fn default() -> RuntimeConfig {
        RuntimeConfig { gogc: 75 }
    }
}

impl Config {
    /// Reads `path` and the scrape configuration files it names.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the file.
    pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Config, Error> {
        let text = read(path)?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let fail = |message| Error::Parse {
            path: path.display().to_string(),
            message,
        };
        let mut config = Config::parse(&text, options).map_err(fail)?;
        if options.agent {
            config.check_agent().map_err(Error::Conflict)?;
        }
        config.set_directory(dir);
        config.include(path)?;
        Ok(config)
    }

    /// Decodes and checks a text. The files it names are not looked at, and neither is whether an
    /// agent may have its sections.
    ///
    /// # Errors
    /// Upstream's text, with the place where it is known.
    pub fn parse(text: &str, options: &LoadOptions<'_>) -> Result<Config, String> {
        // An empty file is the default configuration.
        let config: Option<Config> = yaml_config::from_str(text).map_err(|e| e.to_string())?;
        let mut config = config.unwrap_or_default();
        config.global.validate(options.env)?;
        for path in &config.rule_files {
            check_glob(path).map_err(|()| format!("invalid rule file path {}", quote(path)))?;
        }
        for path in &config.scrape_config_files {
            check_glob(path)
                .map_err(|()| format!("invalid scrape config file path {}", quote(path)))?;
        }
        if config.runtime.gogc == 0 {
            config.runtime = RuntimeConfig::default();
        }
        let defaults = config.global.scrape_defaults();
        let mut jobs = HashMap::new();
        for section in &mut config.scrape_configs {
            let Some(section) = section else {
                return Err("empty or null scrape config section".to_owned());
            };
            config.global.check_escaping()?;
            section.validate(&defaults)?;
            if jobs.insert(section.job_name().to_owned(), ()).is_some() {
                let name = quote(section.job_name());
                return Err(format!(
                    "found multiple scrape configs with job name {name}"
                ));
            }
        }
        let scheme = config.global.name_scheme();
        config.storage.validate()?;
        config.alerting.validate(scheme)?;
        remote_write::validate(&config.remote_write, scheme)?;
        remote_read::validate(&config.remote_read)?;
        if let Some(otlp) = &config.otlp {
            otlp.validate(scheme)?;
        }
        Ok(config)
    }

    fn check_agent(&self) -> Result<(), String> {
        let fields = [
            ("alerting", !self.alerting.is_empty()),
            ("rule_files", !self.rule_files.is_empty()),
            ("remote_read", !self.remote_read.is_empty()),
        ];
        match fields.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(format!("field {field} is not allowed in agent mode")),
            None => Ok(()),
        }
    }

    fn set_directory(&mut self, dir: &Path) {
        self.global.set_directory(dir);
        self.alerting.set_directory(dir);
        for section in self.scrape_configs.iter_mut().flatten() {
            section.set_directory(dir);
        }
        for endpoint in self.remote_write.iter_mut().flatten() {
            endpoint.set_directory(dir);
        }
        for endpoint in self.remote_read.iter_mut().flatten() {
            endpoint.set_directory(dir);
        }
        if let Some(tracing) = &mut self.tracing {
            tracing.set_directory(dir);
        }
        for path in self
            .rule_files
            .iter_mut()
            .chain(&mut self.scrape_config_files)
        {
            if !path.is_empty() && Path::new(path).is_relative() {
                *path = dir.join(&*path).display().to_string();
            }
        }
    }

    /// Reads the files of `scrape_config_files`.
    fn include(&mut self, main: &Path) -> Result<(), Error> {
        let defaults = self.global.scrape_defaults();
        let mut first_seen: HashMap<String, String> = self
            .scrape_configs
            .iter()
            .flatten()
            .map(|s| (s.job_name().to_owned(), "main config file".to_owned()))
            .collect();
        for pattern in self.scrape_config_files.clone() {
            for path in glob(Path::new(&pattern))? {
                let shown = path.display().to_string();
                let fail = |message| Error::Parse {
                    path: shown.clone(),
                    message,
                };
                let file: Option<IncludedFile> =
                    yaml_config::from_str(&read(&path)?).map_err(|e| fail(e.to_string()))?;
                for section in file.unwrap_or_default().scrape_configs {
                    let Some(mut section) = section else {
                        return Err(fail("empty or null scrape config section".to_owned()));
                    };
                    section.validate(&defaults).map_err(&fail)?;
                    let name = section.job_name().to_owned();
                    if let Some(first) = first_seen.get(&name) {
                        let in_file = if first == "main config file" {
                            first.clone()
                        } else {
                            quote(first)
                        };
                        return Err(Error::Conflict(format!(
                            "{}: found multiple scrape configs with job name {}, first found in {in_file}",
                            quote(&shown),
                            quote(&name)
                        )));
                    }
                    first_seen.insert(name, shown.clone());
                    section.set_directory(path.parent().or(main.parent()).unwrap_or(Path::new("")));
                    self.included.push(section);
                }
            }
        }
        Ok(())
    }

    /// The sections of this file and of the files it includes.
    pub fn all_scrape_configs(&self) -> Vec<ScrapeConfig> {
        self.scrape_configs
            .iter()
            .flatten()
            .chain(&self.included)
            .cloned()
            .collect()
    }

    /// The files that `rule_files` names, in order.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn rule_file_paths(&self) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        for pattern in &self.rule_files {
            paths.extend(glob(Path::new(pattern))?);
        }
        Ok(paths)
    }

    /// Names of sections and discoveries that are configured and that nothing here acts on.
    pub fn unavailable(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, given) in [
            ("tracing", self.tracing.is_some()),
            (
                "storage.tsdb.chunk_encoding.floats: xor2",
                self.storage.wants_xor2(),
            ),
            (
                "sigv4",
                self.alerting
                    .alertmanagers
                    .iter()
                    .any(|set| set.section.sigv4.is_some()),
            ),
        ] {
            if given {
                names.push(name.to_owned());
            }
        }
        let endpoints = self.remote_write.iter().flatten();
        names.extend(endpoints.flat_map(RemoteWriteConfig::unavailable));
        let jobs = self.all_scrape_configs();
        let of_jobs = jobs.iter().flat_map(|job| job.discovery.refused());
        let sets = self.alerting.alertmanagers.iter();
        let of_alertmanagers = sets.flat_map(|set| set.discovery.refused());
        names.extend(of_jobs.chain(of_alertmanagers).map(str::to_owned));
        names.sort();
        names.dedup();
        names
    }

    /// The configuration as `/api/v1/status/config` shows it: defaults filled in, secrets hidden.
    ///
    /// # Errors
    /// Only if a value could not be written as YAML.
    pub fn to_yaml(&self) -> Result<String, yaml_config::Error> {
        let text = yaml_config::to_string(self)?;
        Ok(crate::print::flow_source_labels(&text))
    }
}

/// Stands for the texts of a configuration file and of all files that it names: the same as long as none
/// of them changes, appears or goes. `None` where the file cannot be read.
///
/// A text that is no configuration stands for itself, so that its reload fails and says why.
pub fn fingerprint(path: &Path) -> Option<u64> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Named {
        rule_files: Vec<String>,
        scrape_config_files: Vec<String>,
    }
    let mut hasher = DefaultHasher::new();
    let text = std::fs::read(path).ok()?;
    text.hash(&mut hasher);
    let named: Option<Named> = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| yaml_config::from_str_ignoring_unknown(text).ok())
        .flatten();
    let named = named.unwrap_or_default();
    let dir = path.parent().unwrap_or(Path::new(""));
    for pattern in named.rule_files.iter().chain(&named.scrape_config_files) {
        // An absolute one stays as it is.
        for file in glob(&dir.join(pattern)).unwrap_or_default() {
            file.hash(&mut hasher);
            std::fs::read(&file).ok().hash(&mut hasher);
        }
    }
    Some(hasher.finish())
}

/// A file of `scrape_config_files`.
#[derive(Default, Deserialize)]
#[serde(default, rename = "config.ScrapeConfigs")]
struct IncludedFile {
    scrape_configs: Vec<Option<ScrapeConfig>>,
}

fn read(path: &Path) -> Result<String, Error> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| {
        let reason = match e.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => e.to_string(),
        };
        Error::Read {
            path: shown.clone(),
            reason,
        }
    })?;
    String::from_utf8(bytes).map_err(|e| Error::Parse {
        path: shown,
        message: format!(
            "yaml: invalid UTF-8 at byte {}",
            e.utf8_error().valid_up_to()
        ),
    })
}

/// A `*` is allowed in the last part of a path only; upstream looks for no other wildcard.
fn check_glob(path: &str) -> Result<(), ()> {
    match path.split_once('*') {
        Some((_, rest)) if rest.contains('/') => Err(()),
        _ => Ok(()),
    }
}

/// The files that a pattern names, sorted; a path without wildcards names itself if it is there.
fn glob(pattern: &Path) -> Result<Vec<PathBuf>, Error> {
    let shown = pattern.display().to_string();
    let fail = |reason: String| Error::Read {
        path: shown.clone(),
        reason,
    };
    let paths = glob::glob(&shown).map_err(|e| fail(e.to_string()))?;
    paths
        .map(|path| path.map_err(|e| fail(e.to_string())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, &LoadOptions::default()).unwrap()
    }

    #[test]
    fn names_what_nothing_acts_on() {
        let quiet = "otlp: {}\nremote_write: [{url: http://a}]\nalerting: {alertmanagers: [{static_configs: [{targets: ['a:1']}]}]}\n";
        assert!(parse(quiet).unavailable().is_empty());
        let text = "
remote_write: [{url: http://a, round_robin_dns: true}, {url: http://b, sigv4: {}}]
remote_read: [{url: http://a}]
otlp: {convert_histograms_to_nhcb: true}
tracing: {endpoint: a}
storage: {tsdb: {chunk_encoding: {floats: xor2}}}
alerting: {alertmanagers: [{sigv4: {}, nomad_sd_configs: [{}]}]}
";
        assert_eq!(
            parse(text).unavailable(),
            [
                "nomad_sd_configs",
                "remote_write.sigv4",
                "sigv4",
                "storage.tsdb.chunk_encoding.floats: xor2",
                "tracing"
            ]
        );
    }

    #[test]
    fn a_fingerprint_is_of_all_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let path = dir.path().join("prometheus.yml");
        assert_eq!(fingerprint(&path), None);
        write(
            "prometheus.yml",
            "scrape_config_files: ['jobs_*.yml']\nrule_files: [rules.yml]\nglobal: {}\n",
        );
        let mut seen = vec![fingerprint(&path)];
        let mut changes = || {
            let now = fingerprint(&path);
            assert_eq!(now, fingerprint(&path));
            let is_new = !seen.contains(&now);
            seen.push(now);
            is_new
        };
        write("jobs_a.yml", "scrape_configs: []\n");
        assert!(changes(), "a file came");
        write("jobs_a.yml", "scrape_configs: [{job_name: a}]\n");
        assert!(changes(), "a file changed");
        write("rules.yml", "groups: []\n");
        assert!(changes(), "the rules came");
        write("other.yml", "groups: []\n");
        assert!(!changes(), "nobody names it");
        std::fs::remove_file(dir.path().join("jobs_a.yml")).unwrap();
        assert!(changes(), "a file went");
        write("prometheus.yml", "scrape_config_files: [\n");
        assert!(changes(), "it is broken");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = "
global: {external_labels: {a: b}}
storage: {tsdb: {out_of_order_time_window: 30m}}
remote_write: [{url: http://a, write_relabel_configs: [{action: drop, source_labels: [x]}]}]
remote_read: [{url: http://a}]
tracing: {endpoint: a}
";
        let config = parse(text);
        assert_eq!(
            config.storage.tsdb.as_ref().unwrap().outofordertimewindow,
            1_800_000
        );
        let shown = config.to_yaml().unwrap();
        assert_eq!(parse(&shown).to_yaml().unwrap(), shown);
    }

    #[test]
    fn agents_have_no_rules() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yml");
        std::fs::write(&path, "rule_files: [a.yml]\n").unwrap();
        let options = LoadOptions {
            agent: true,
            ..LoadOptions::default()
        };
        assert_eq!(
            Config::load(&path, &options).unwrap_err().to_string(),
            "field rule_files is not allowed in agent mode"
        );
        assert!(Config::load(&path, &LoadOptions::default()).is_ok());
    }

    #[test]
    fn wildcards_stand_in_the_last_part() {
        for (path, good) in [
            ("", true),
            ("a/*.yml", true),
            ("a[1]/b", true),
            ("*", true),
            ("a/*/b", false),
        ] {
            assert_eq!(check_glob(path).is_ok(), good, "{path}");
        }
    }
}
