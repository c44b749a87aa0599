//! Templates in alerting rules and consoles (prometheus/prometheus `template/template.go`): the
//! template language with Prometheus' functions.
//!
//! [`Expander`] runs one text; [`expand_alert`] does so with what labels and annotations of an alert
//! see. Queries go through a function of the caller's, `now` is an argument.

mod functions;
mod numbers;
mod sample;

#[cfg(test)]
mod tests;

use gotemplate::{Limits, MissingKey, Object, Options, Set, Value};
use model::Labels;

pub use sample::{QueryResult, Sample, SampleValue};

/// A template that cannot be parsed or expanded; upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no template.
    #[error("error parsing template {name}: {source}")]
    Parse {
        name: String,
        source: gotemplate::Error,
    },
    /// The template failed.
    #[error("error executing template {name}: {source}")]
    Execute {
        name: String,
        source: gotemplate::Error,
    },
}

/// Answers `query` in templates: the expression, and the time in milliseconds.
pub type QueryFn<'a> = dyn Fn(&str, i64) -> Result<Vec<Sample>, String> + Sync + 'a;

/// A text to expand, and what it may use.
pub struct Expander<'a> {
    /// The name that errors give.
    pub name: &'a str,
    pub text: &'a str,
    /// The dot.
    pub data: Value,
    /// The evaluation's time, in milliseconds since 1970: `now`, and when queries are asked.
    pub now_ms: i64,
    pub query: &'a QueryFn<'a>,
    /// Where this server is reached from outside.
    pub external_url: &'a str,
    /// What maps without the key give: upstream takes `Zero`, and consoles may change it.
    pub missing_key: MissingKey,
    pub limits: Limits,
}

impl<'a> Expander<'a> {
    /// An expander with upstream's options.
    pub fn new(
        name: &'a str,
        text: &'a str,
        data: Value,
        now_ms: i64,
        query: &'a QueryFn<'a>,
        external_url: &'a str,
    ) -> Expander<'a> {
        Expander {
            name,
            text,
            data,
            now_ms,
            query,
            external_url,
            missing_key: MissingKey::Zero,
            limits: Limits::default(),
        }
    }

    /// The text, expanded.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn expand(&self) -> Result<String, Error> {
        self.run(false)
    }

    /// The text, expanded as HTML: values are escaped for the place they stand in, and `tmpl` calls
    /// templates whose name is a value.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn expand_html(&self) -> Result<String, Error> {
        self.run(true)
    }

    /// Whether the text can be parsed.
    ///
    /// # Errors
    /// The language's message, without a prefix of ours.
    pub fn parse_test(&self) -> Result<(), gotemplate::Error> {
        Set::default().parse(self.name, self.text, &functions::functions(self, false))
    }

    fn run(&self, html: bool) -> Result<String, Error> {
        let functions = functions::functions(self, html);
        let mut set = Set::default();
        let name = || self.name.to_owned();
        set.parse(self.name, self.text, &functions)
            .map_err(|source| Error::Parse {
                name: name(),
                source,
            })?;
        let options = Options {
            missing_key: self.missing_key,
            html,
            limits: self.limits,
        };
        set.execute(self.name, &self.data, &functions, &options)
            .map_err(|source| Error::Execute {
                name: name(),
                source,
            })
    }
}

/// What an alert's templates see.
#[derive(Debug, Clone)]
pub struct AlertData<'a> {
    pub labels: &'a Labels,
    pub external_labels: &'a Labels,
    pub external_url: &'a str,
    pub value: SampleValue,
}

/// Before the text of every label and annotation.
pub const ALERT_PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

impl AlertData<'_> {
    /// The dot of the templates.
    pub fn to_value(&self) -> Value {
        Value::object(AlertObject {
            labels: labels_value(self.labels),
            external_labels: labels_value(self.external_labels),
            external_url: self.external_url.into(),
            value: self.value.to_value(),
        })
    }
}

/// Expands a label's or annotation's template of the alert `alert`.
///
/// # Errors
/// Upstream's message, with the template's name `__alert_<alert>`.
pub fn expand_alert(
    alert: &str,
    text: &str,
    data: &AlertData<'_>,
    now_ms: i64,
    query: &QueryFn<'_>,
) -> Result<String, Error> {
    let name = format!("__alert_{alert}");
    let text = format!("{ALERT_PREFIX}{text}");
    let value = data.to_value();
    Expander::new(&name, &text, value, now_ms, query, data.external_url).expand()
}

/// Whether a label's or annotation's template can be parsed.
///
/// # Errors
/// The language's message, without a prefix of ours.
pub fn check_alert(alert: &str, text: &str) -> Result<(), gotemplate::Error> {
    let name = format!("__alert_{alert}");
    let text = format!("{ALERT_PREFIX}{text}");
    let no_query = |_: &str, _| Ok(Vec::new());
    Expander::new(&name, &text, Value::Nil, 0, &no_query, "").parse_test()
}

/// Labels as templates see them.
pub fn labels_value(labels: &Labels) -> Value {
    Value::string_map(labels)
}

#[derive(Debug)]
struct AlertObject {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: Value,
}

impl Object for AlertObject {
    fn type_name(&self) -> &'static str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; \
         ExternalURL string; Value interface {} }"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Labels", self.labels.clone()),
            ("ExternalLabels", self.external_labels.clone()),
            ("ExternalURL", self.external_url.clone()),
            ("Value", self.value.clone()),
        ]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
