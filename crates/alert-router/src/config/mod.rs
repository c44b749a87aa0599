//! `alertmanager.yml` (prometheus/alertmanager `config`): text in, a checked [`Config`] out, with
//! upstream's messages.
//!
//! [`File`] is the file as it is written, and, once it is resolved, as `GET /api/v2/status` shows
//! it: defaults filled in, secrets as `<secret>`. Files that it names are not opened here.

pub mod global;
pub mod inhibit;
pub mod matchers;
pub mod receiver;
pub mod route;
pub mod scalars;
pub mod settings;
pub mod time;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use http_client::{HttpClientConfig as HttpConfig, TlsConfig};

use self::global::GlobalSection;
use self::inhibit::InhibitRuleSection;
use self::receiver::ReceiverSection;
use self::route::{RouteConfig, RouteSection};
use self::scalars::SecretUrl;
use self::settings::{settings, unset};
use self::time::NamedIntervalsSection;
use crate::inhibit::Rule;
use crate::matcher::Mode;
use crate::time_interval::TimeInterval;

/// Why a configuration is refused: upstream's message, and where it is known the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    /// From 1; 0 is not known.
    line: u64,
}

impl Error {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            line: 0,
        }
    }

    fn from_display(error: impl fmt::Display) -> Error {
        Error::new(error.to_string())
    }

    fn at_line(mut self, line: u64) -> Error {
        if self.line == 0 {
            self.line = line;
        }
        self
    }

    /// The message alone, as upstream prints it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.line > 0 {
            write!(f, " (line {})", self.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Checks that at most one of several alternatives is given.
pub(crate) fn at_most_one(alternatives: &[(&str, bool)]) -> Result<(), Error> {
    yaml_config::at_most_one("", alternatives).map_err(Error::new)
}

/// Checks that a webhook URL is given, inline or in a file.
pub(crate) fn one_webhook_url(url: Option<&SecretUrl>, file: &str) -> Result<(), Error> {
    if url.is_none() && file.is_empty() {
        return Err(Error::new(
            "one of webhook_url or webhook_url_file must be configured",
        ));
    }
    at_most_one(&[
        ("webhook_url", url.is_some()),
        ("webhook_url_file", !file.is_empty()),
    ])
}

settings! {
    /// The file.
    "config.plain" File {
        /// Defaults of receivers.
        global: Option<GlobalSection> = None, skip "unset";
        /// The routing tree.
        route: Option<RouteSection> = None, skip "unset";
        /// Inhibition rules.
        inhibit_rules: Vec<InhibitRuleSection> = Vec::new(), skip "unset";
        /// Receivers.
        receivers: Vec<ReceiverSection> = Vec::new(), skip "unset";
        /// Patterns of template files.
        templates: Vec<String> = Vec::new();
        /// Deprecated: time intervals.
        mute_time_intervals: Vec<NamedIntervalsSection> = Vec::new(), skip "unset";
        /// Time intervals.
        time_intervals: Vec<NamedIntervalsSection> = Vec::new(), skip "unset";
        /// Where traces would go; read and shown, not used.
        tracing: Option<TracingSection> = None, skip "unset";
    }
}

settings! {
    /// `tracing`.
    "tracing.plain" TracingSection {
        /// `grpc` or `http`.
        client_type: String = "grpc".into(), skip "unset";
        /// Where to.
        endpoint: String = String::new(), skip "unset";
        /// How many of the traces.
        sampling_fraction: f64 = 0.0, skip "zero";
        /// Whether without TLS.
        insecure: bool = false, skip "unset";
        /// How with TLS.
        tls_config: Option<TlsConfig> = None, skip "unset";
        /// More headers.
        headers: BTreeMap<String, Value> = BTreeMap::new(), skip "unset";
        /// `gzip` or nothing.
        compression: String = String::new(), skip "unset";
        /// How long an export may take.
        timeout: yaml_config::Duration = yaml_config::Duration::ZERO, skip "unset";
    }
}

fn zero(x: &f64) -> bool {
    *x == 0.0
}

/// A configuration that has been checked.
#[derive(Debug)]
pub struct Config {
    /// The file with all defaults.
    pub file: File,
    /// The settings for all.
    pub global: GlobalSection,
    /// The routing tree.
    pub route: RouteConfig,
    /// Inhibition rules.
    pub inhibit_rules: Vec<Rule>,
    /// Time intervals by name.
    pub time_intervals: HashMap<String, Vec<TimeInterval>>,
    /// Patterns of template files, against the directory of the configuration.
    pub templates: Vec<PathBuf>,
    /// A hash of the text, as upstream's metric has it.
    pub hash: f64,
}

impl Config {
    /// Reads a configuration. `directory` is where its relative paths start.
    ///
    /// # Errors
    /// [`Error`], in upstream's words.
    pub fn parse(text: &str, mode: Mode, directory: &Path) -> Result<Config, Error> {
        let file: Option<File> = yaml_config::from_str(text).map_err(|e| Error {
            message: e.message(),
            line: match e.kind() {
                yaml_config::Kind::Value => e.line().unwrap_or(0),
                // The message says it.
                yaml_config::Kind::Syntax | yaml_config::Kind::Type => 0,
            },
        })?;
        let Some(file) = file else {
            return Err(Error::new("no route provided in config"));
        };
        let config = Config::resolve(file, mode, directory)?;
        Ok(Config {
            hash: hash(text),
            ..config
        })
    }

    fn resolve(mut file: File, mode: Mode, directory: &Path) -> Result<Config, Error> {
        // What upstream checks while it decodes.
        let route = file
            .route
            .as_mut()
            .map(|route| route.resolve(mode))
            .transpose()?;
        let inhibit_rules: Result<Vec<Rule>, Error> = file
            .inhibit_rules
            .iter_mut()
            .map(|rule| rule.resolve(mode))
            .collect();
        let inhibit_rules = inhibit_rules?;
        for receiver in &mut file.receivers {
            receiver.validate()?;
        }
        let mute = named(&mut file.mute_time_intervals, "mute time interval")?;
        let named = named(&mut file.time_intervals, "time interval")?;
        if let Some(tracing) = &file.tracing
            && tracing.endpoint.is_empty()
        {
            return Err(Error::new("tracing endpoint must be set"));
        }
        // And what it checks of the whole.
        let global = file.global.get_or_insert_default().clone();
        global.validate()?;
        let mut names = BTreeSet::new();
        for receiver in &mut file.receivers {
            if !names.insert(receiver.name.clone()) {
                return Err(Error::new(format!(
                    "notification config name {} is not unique",
                    golang::strconv::quote(&receiver.name)
                )));
            }
            receiver.inherit(&global)?;
        }
        let Some(route) = route else {
            return Err(Error::new("no routes provided"));
        };
        check_root(&route)?;
        route::walk(&route, &mut |route| match route.receiver.as_str() {
            name if name.is_empty() || names.contains(name) => Ok(()),
            name => Err(Error::new(format!(
                "undefined receiver {} used in route",
                golang::strconv::quote(name)
            ))),
        })?;
        let time_intervals = unique(mute, named)?;
        route::walk(&route, &mut |route| {
            let mut used = route
                .active_time_intervals
                .iter()
                .chain(&route.mute_time_intervals);
            match used.find(|name| !time_intervals.contains_key(*name)) {
                None => Ok(()),
                Some(name) => Err(Error::new(format!(
                    "undefined time interval {} used in route",
                    golang::strconv::quote(name)
                ))),
            }
        })?;
        if route.goes_on {
            return Err(Error::new("cannot have continue in root route"));
        }
        let templates = file
            .templates
            .iter()
            .map(|path| directory.join(path))
            .collect();
        for receiver in &mut file.receivers {
            receiver.set_directory(directory);
        }
        Ok(Config {
            file,
            global,
            route,
            inhibit_rules,
            time_intervals,
            templates,
            hash: 0.0,
        })
    }

    /// The configuration as the API shows it.
    pub fn to_yaml(&self) -> String {
        yaml_config::to_string(&self.file)
            .unwrap_or_else(|e| format!("<error creating config string: {e}>"))
    }
}

/// The first six bytes of the MD5 of the text as a number (upstream's `md5HashAsMetricValue`).
fn hash(text: &str) -> f64 {
    use md5::{Digest, Md5};
    let digest = Md5::digest(text.as_bytes());
    let mut bytes = [0u8; 8];
    bytes[..6].copy_from_slice(&digest[..6]);
    u64::from_le_bytes(bytes) as f64
}

fn check_root(route: &RouteConfig) -> Result<(), Error> {
    let problem = if route.receiver.is_empty() {
        "root route must specify a default receiver"
    } else if route.has_matchers() {
        "root route must not have any matchers"
    } else if !route.mute_time_intervals.is_empty() {
        "root route must not have any mute time intervals"
    } else if !route.active_time_intervals.is_empty() {
        "root route must not have any active time intervals"
    } else {
        return Ok(());
    };
    Err(Error::new(problem))
}

type Named = Vec<(String, Vec<TimeInterval>)>;

fn named(sections: &mut [NamedIntervalsSection], what: &str) -> Result<Named, Error> {
    sections
        .iter_mut()
        .map(|section| {
            let intervals: Result<Vec<TimeInterval>, Error> = section
                .time_intervals
                .iter_mut()
                .map(time::TimeIntervalSection::resolve)
                .collect();
            let intervals = intervals?;
            if section.name.is_empty() {
                return Err(Error::new(format!("missing name in {what}")));
            }
            Ok((section.name.clone(), intervals))
        })
        .collect()
}

fn unique(mute: Named, named: Named) -> Result<HashMap<String, Vec<TimeInterval>>, Error> {
    let mut all = HashMap::new();
    let sources = [("mute time interval", mute), ("time interval", named)];
    for (what, intervals) in sources {
        for (name, intervals) in intervals {
            if all.insert(name.clone(), intervals).is_some() {
                return Err(Error::new(format!(
                    "{what} {} is not unique",
                    golang::strconv::quote(&name)
                )));
            }
        }
    }
    Ok(all)
}
