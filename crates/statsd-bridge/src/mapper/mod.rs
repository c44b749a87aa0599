//! Which metric a StatsD name becomes (statsd_exporter `pkg/mapper/mapper.go`).
//!
//! A [`Mapper`] is a mapping file, checked; it never changes. All globs go before all regular
//! expressions. [`Mapper::find`] costs a walk down a tree and, where there are regular expressions, a
//! search with each; a [`cache::Cache`] before it spares that for names seen lately.

pub(crate) mod cache;
mod config;
mod glob;
mod template;

use std::sync::Arc;
use std::time::Duration;

use golang::regexp::Regexp;

pub use glob::EventType;
use glob::Globs;
use template::Template;

/// What is wrong with a mapping file; upstream's words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MappingError {
    /// Not the YAML expected.
    #[error("{0}")]
    Yaml(String),
    #[error("invalid action type {}", golang::strconv::quote(.0))]
    Action(String),
    #[error("invalid match type {}", golang::strconv::quote(.0))]
    MatchType(String),
    #[error("invalid metric type '{0}'")]
    MetricType(String),
    #[error("invalid observer type '{0}'")]
    ObserverType(String),
    #[error("invalid label key: {0}")]
    LabelKey(String),
    /// The mapping's number, from 0.
    #[error("line {0}: metric mapping didn't set a metric name")]
    NoName(usize),
    #[error("metric name '{0}' doesn't match regex '{NAME_PATTERN}'")]
    Name(String),
    #[error("invalid match: {0}")]
    Match(String),
    #[error("invalid regex {0} in mapping: {1}")]
    Regex(String, String),
    #[error("cannot use histogram observer and summary options at the same time")]
    HistogramWithSummaryOptions,
    #[error("cannot use summary observer and histogram options at the same time")]
    SummaryWithHistogramOptions,
    /// Ours: upstream ends with a panic once such a metric arrives.
    #[error("histogram buckets must be in increasing order: {0:?}")]
    Buckets(Vec<f64>),
    /// Ours, as above.
    #[error("quantile {0} with error {1}: both must be between 0 and 1")]
    Quantile(f64, f64),
}

const NAME_PATTERN: &str = r"^([a-zA-Z_]|(\$\{?\d+\}?))([a-zA-Z0-9_]|(\$\{?\d+\}?))*$";
const LABEL_PATTERN: &str = "^[a-zA-Z_][a-zA-Z0-9_]+$";
const GLOB_PATTERN: &str =
    r"^(\*|[a-zA-Z_]([a-zA-Z0-9_\-])*)(\.\*|\.[a-zA-Z0-9_]([a-zA-Z0-9_\-])*)*$";

/// Map or drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    Map,
    Drop,
}

/// What timers, histograms and distributions become.
#[derive(Debug, Clone, PartialEq)]
pub enum Observer {
    Summary(SummaryOptions),
    Histogram(HistogramOptions),
}

/// Options of a summary; zeroes stand for client_golang's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryOptions {
    /// Quantile and allowed error.
    pub quantiles: Vec<(f64, f64)>,
    pub max_age: Duration,
    pub age_buckets: u32,
    pub buf_cap: u32,
}

/// Options of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramOptions {
    /// Upper bounds, ascending.
    pub buckets: Vec<f64>,
    /// At most so much wider is a native bucket than the one before; 1 or less: no native buckets.
    pub native_factor: f64,
    /// More native buckets than these make the resolution coarser; 0: no limit.
    pub native_max_buckets: u32,
}

/// One mapping.
#[derive(Debug, Clone)]
pub struct Rule {
    pub action: RuleAction,
    pub help: Option<Arc<str>>,
    /// Zero: for ever.
    pub ttl: Duration,
    pub scale: Option<f64>,
    /// Tags of the sample go before labels of the mapping.
    pub honor_labels: bool,
    /// As written, the default of the file filled in.
    pub observer_type: Option<ObserverType>,
    /// What observations become.
    pub observer: Arc<Observer>,
    only: Option<EventType>,
    texts: Texts,
}

#[derive(Debug, Clone)]
enum Texts {
    Glob {
        name: Template,
        labels: Vec<(String, Template)>,
    },
    Regex {
        pattern: Arc<Regexp>,
        name: String,
        labels: Vec<(String, String)>,
    },
}

/// `observer_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserverType {
    Histogram,
    Summary,
}

/// A name's mapping.
#[derive(Debug, Clone)]
pub struct Found<'m> {
    pub rule: &'m Rule,
    /// Not yet escaped; may be empty.
    pub name: String,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
}

/// A mapping file, checked.
#[derive(Debug, Clone)]
pub struct Mapper {
    rules: Vec<Rule>,
    globs: Globs,
    /// Which rules are regular expressions.
    regexes: Vec<usize>,
    /// For names without a mapping.
    pub ttl: Duration,
    /// For names without a mapping.
    pub observer: Arc<Observer>,
}

impl Mapper {
    /// Reads a mapping file; an empty one maps nothing.
    ///
    /// # Errors
    /// [`MappingError`] names the first fault.
    pub fn parse(text: &str) -> Result<Mapper, MappingError> {
        let file: config::File =
            yaml_config::from_str(text).map_err(|error| MappingError::Yaml(error.message()))?;
        let defaults = Defaults::check(&file.defaults)?;
        // Upstream meets unknown words while decoding, so before anything else.
        let words: Vec<Words> = file
            .mappings
            .iter()
            .map(Words::check)
            .collect::<Result<_, _>>()?;
        let mut mapper = Mapper {
            rules: Vec::with_capacity(words.len()),
            globs: Globs::new(file.defaults.glob_disable_ordering),
            regexes: Vec::new(),
            ttl: defaults.ttl,
            observer: defaults.observer(None, None, defaults.observer_type),
        };
        for (mapping, words) in file.mappings.iter().zip(words) {
            mapper.add(mapping, &words, &defaults)?;
        }
        for rule in &mapper.rules {
            rule.observer.check()?;
        }
        mapper.observer.check()?;
        Ok(mapper)
    }

    fn add(
        &mut self,
        mapping: &config::Mapping,
        words: &Words,
        defaults: &Defaults,
    ) -> Result<(), MappingError> {
        let number = self.rules.len();
        if let Some(label) = mapping.labels.keys().find(|l| !matches(LABEL_PATTERN, l)) {
            return Err(MappingError::LabelKey(label.clone()));
        }
        if mapping.name.is_empty() {
            return Err(MappingError::NoName(number));
        }
        if !matches(NAME_PATTERN, &mapping.name) {
            return Err(MappingError::Name(mapping.name.clone()));
        }
        let texts = if words.regex.unwrap_or(defaults.regex) {
            let pattern = Regexp::new(&mapping.matches)
                .map_err(|e| MappingError::Regex(mapping.matches.clone(), e.to_string()))?;
            self.regexes.push(number);
            Texts::Regex {
                pattern: Arc::new(pattern),
                name: mapping.name.clone(),
                labels: mapping.labels.clone().into_iter().collect(),
            }
        } else {
            if !matches(GLOB_PATTERN, &mapping.matches) {
                return Err(MappingError::Match(mapping.matches.clone()));
            }
            let captures = self.globs.add(&mapping.matches, words.only, number);
            let labels = mapping.labels.iter();
            Texts::Glob {
                name: Template::new(&mapping.name, captures),
                labels: labels
                    .map(|(label, text)| (label.clone(), Template::new(text, captures)))
                    .collect(),
            }
        };
        let observer_type = words.observer_type.or(defaults.observer_type);
        match observer_type {
            Some(ObserverType::Histogram) if mapping.summary_options.is_some() => {
                return Err(MappingError::HistogramWithSummaryOptions);
            }
            Some(ObserverType::Summary) if mapping.histogram_options.is_some() => {
                return Err(MappingError::SummaryWithHistogramOptions);
            }
            _ => {}
        }
        let (summary, histogram) = (&mapping.summary_options, &mapping.histogram_options);
        self.rules.push(Rule {
            action: words.action,
            help: (!mapping.help.is_empty()).then(|| mapping.help.as_str().into()),
            ttl: match mapping.ttl.0 {
                Duration::ZERO => defaults.ttl,
                ttl => ttl,
            },
            scale: mapping.scale,
            honor_labels: mapping.honor_labels,
            observer_type,
            observer: defaults.observer(summary.as_ref(), histogram.as_ref(), observer_type),
            only: words.only,
            texts,
        });
        Ok(())
    }

    /// How many mappings there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The mapping of a name.
    pub fn find(&self, name: &str, event_type: EventType) -> Option<Found<'_>> {
        if let Some((number, captures)) = self.globs.find(name, event_type)
            && let Texts::Glob { name, labels } = &self.rules[number].texts
        {
            return Some(Found {
                rule: &self.rules[number],
                name: name.expand(&captures),
                labels: labels
                    .iter()
                    .map(|(label, text)| (label.clone(), text.expand(&captures)))
                    .collect(),
            });
        }
        self.regexes.iter().find_map(|number| {
            let rule = &self.rules[*number];
            if rule.only.is_some_and(|only| only != event_type) {
                return None;
            }
            let Texts::Regex {
                pattern,
                name: template,
                labels,
            } = &rule.texts
            else {
                return None;
            };
            let captures = pattern.captures(name)?;
            let expand = |text: &str| {
                let mut out = String::new();
                pattern.expand(&mut out, text, &captures);
                out
            };
            Some(Found {
                rule,
                name: expand(template),
                labels: labels
                    .iter()
                    .map(|(label, text)| (label.clone(), expand(text)))
                    .collect(),
            })
        })
    }

    /// The globs as a graph in Graphviz' language (`--debug.dump-fsm`).
    pub fn dot(&self) -> String {
        self.globs.dot()
    }
}

fn matches(pattern: &'static str, text: &str) -> bool {
    // The three patterns are constants of this file, tested below.
    Regexp::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// The words of a mapping.
struct Words {
    action: RuleAction,
    regex: Option<bool>,
    only: Option<EventType>,
    observer_type: Option<ObserverType>,
}

impl Words {
    fn check(mapping: &config::Mapping) -> Result<Words, MappingError> {
        Ok(Words {
            observer_type: observer_type(&mapping.observer_type)?,
            regex: match_type(&mapping.match_type)?,
            action: match mapping.action.as_str() {
                "" | "map" => RuleAction::Map,
                "drop" => RuleAction::Drop,
                other => return Err(MappingError::Action(other.to_owned())),
            },
            only: match mapping.match_metric_type.as_str() {
                "" => None,
                "counter" => Some(EventType::Counter),
                "gauge" => Some(EventType::Gauge),
                "observer" | "timer" => Some(EventType::Observer),
                other => return Err(MappingError::MetricType(other.to_owned())),
            },
        })
    }
}

fn match_type(word: &str) -> Result<Option<bool>, MappingError> {
    match word {
        "" => Ok(None),
        "glob" => Ok(Some(false)),
        "regex" => Ok(Some(true)),
        other => Err(MappingError::MatchType(other.to_owned())),
    }
}

fn observer_type(word: &str) -> Result<Option<ObserverType>, MappingError> {
    match word {
        "" => Ok(None),
        "histogram" => Ok(Some(ObserverType::Histogram)),
        "summary" => Ok(Some(ObserverType::Summary)),
        other => Err(MappingError::ObserverType(other.to_owned())),
    }
}

/// The `defaults` section with upstream's own defaults filled in.
struct Defaults {
    regex: bool,
    ttl: Duration,
    observer_type: Option<ObserverType>,
    summary: SummaryOptions,
    histogram: HistogramOptions,
}

impl Defaults {
    fn check(text: &config::Defaults) -> Result<Defaults, MappingError> {
        let fallback = SummaryOptions {
            quantiles: vec![(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)],
            max_age: Duration::ZERO,
            age_buckets: 0,
            buf_cap: 0,
        };
        let plain = HistogramOptions {
            buckets: telemetry::DEFAULT_BUCKETS.to_vec(),
            native_factor: 1.1,
            native_max_buckets: 256,
        };
        Ok(Defaults {
            regex: match_type(&text.match_type)?.unwrap_or(false),
            ttl: text.ttl.0,
            observer_type: observer_type(&text.observer_type)?,
            summary: fallback.overridden(&text.summary_options),
            histogram: plain.overridden(&text.histogram_options),
        })
    }

    fn observer(
        &self,
        summary: Option<&config::Summary>,
        histogram: Option<&config::Histogram>,
        observer_type: Option<ObserverType>,
    ) -> Arc<Observer> {
        Arc::new(match observer_type {
            Some(ObserverType::Histogram) => Observer::Histogram(match histogram {
                Some(options) => self.histogram.overridden(options),
                None => self.histogram.clone(),
            }),
            Some(ObserverType::Summary) | None => Observer::Summary(match summary {
                Some(options) => self.summary.overridden(options),
                None => self.summary.clone(),
            }),
        })
    }
}

impl SummaryOptions {
    /// These options with those that are given.
    fn overridden(&self, given: &config::Summary) -> SummaryOptions {
        let quantiles = given.quantiles.iter().map(|q| (q.quantile, q.error));
        SummaryOptions {
            quantiles: match given.quantiles.is_empty() {
                true => self.quantiles.clone(),
                false => quantiles.collect(),
            },
            max_age: match given.max_age.0 {
                Duration::ZERO => self.max_age,
                max_age => max_age,
            },
            age_buckets: match given.age_buckets {
                0 => self.age_buckets,
                buckets => buckets,
            },
            buf_cap: match given.buf_cap {
                0 => self.buf_cap,
                cap => cap,
            },
        }
    }
}

impl HistogramOptions {
    fn overridden(&self, given: &config::Histogram) -> HistogramOptions {
        HistogramOptions {
            buckets: match given.buckets.is_empty() {
                true => self.buckets.clone(),
                false => given.buckets.clone(),
            },
            native_factor: match given.native_histogram_bucket_factor {
                0.0 => self.native_factor,
                factor => factor,
            },
            native_max_buckets: match given.native_histogram_max_buckets {
                0 => self.native_max_buckets,
                most => most,
            },
        }
    }
}

impl Observer {
    fn check(&self) -> Result<(), MappingError> {
        match self {
            Observer::Histogram(options) => {
                let buckets = &options.buckets;
                if buckets.iter().any(|b| b.is_nan()) || !buckets.is_sorted_by(|a, b| a < b) {
                    return Err(MappingError::Buckets(buckets.clone()));
                }
            }
            Observer::Summary(options) => {
                let fine = |v: f64| (0.0..=1.0).contains(&v);
                if let Some((q, e)) = options
                    .quantiles
                    .iter()
                    .find(|(q, e)| !fine(*q) || !fine(*e))
                {
                    return Err(MappingError::Quantile(*q, *e));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compile() {
        for pattern in [NAME_PATTERN, LABEL_PATTERN, GLOB_PATTERN] {
            assert!(Regexp::new(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn refuses_what_would_fail_later() {
        let error = |text: &str| Mapper::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("defaults: {observer_type: histogram, histogram_options: {buckets: [2, 1]}}"),
            "histogram buckets must be in increasing order: [2.0, 1.0]"
        );
        assert_eq!(
            error(
                "mappings: [{match: a, name: b, summary_options: {quantiles: [{quantile: 2, error: 0.1}]}}]"
            ),
            "quantile 2 with error 0.1: both must be between 0 and 1"
        );
        assert_eq!(
            error("mappings: [{match: a, name: b, observer_type: x}]"),
            "invalid observer type 'x'"
        );
        assert_eq!(
            error("mappings: [{match: a, name: b, observer_type: summary, histogram_options: {}}]"),
            "cannot use summary observer and histogram options at the same time"
        );
    }

    #[test]
    fn durations_are_go_s() {
        for (text, expected) in [("1m30s", 90_000), ("1.5s", 1500), ("0", 0), ("1000000", 1)] {
            let mapper = Mapper::parse(&format!("defaults: {{ttl: {text}}}")).unwrap();
            assert_eq!(mapper.ttl, Duration::from_millis(expected), "{text}");
        }
        assert!(Mapper::parse("defaults: {ttl: 5 apples}").is_err());
    }
}
