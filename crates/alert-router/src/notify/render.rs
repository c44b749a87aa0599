//! What integrations ask of templates.

use golang::time::Time;
use jiff::Timestamp;
use serde_json::Value;

use super::{Failure, FailureReason, Notification};
use crate::template::{AlertInput, Data, Templates};

/// Expands templates with the data of a notification.
pub trait Render: Send + Sync {
    /// Expands a template as plain text.
    ///
    /// # Errors
    /// The template engine's message.
    fn text(&self, template: &str, notification: &Notification) -> Result<String, String>;

    /// Expands a template as HTML, escaping by context.
    ///
    /// # Errors
    /// The template engine's message.
    fn html(&self, template: &str, notification: &Notification) -> Result<String, String>;

    /// The data itself as JSON, byte for byte as upstream sends it to webhooks.
    fn json(&self, notification: &Notification) -> String;
}

/// The templates of a configuration, and what all notifications share.
#[derive(Clone, Debug)]
pub struct Expander {
    /// The templates.
    pub templates: Templates,
    /// `--web.external-url`.
    pub external_url: String,
}

impl Expander {
    fn notification_data(&self, notification: &Notification) -> Data {
        let route_labels = notification.route_labels.clone().into_iter().collect();
        let alerts = notification.alerts.iter().map(|flushed| AlertInput {
            labels: &flushed.alert.labels,
            annotations: &flushed.alert.annotations,
            starts_at: go_time(flushed.alert.starts_at),
            // What fires has no end, whatever its sender said when it would.
            ends_at: if flushed.resolved {
                go_time(flushed.alert.ends_at)
            } else {
                Time::default()
            },
            generator_url: &flushed.alert.generator_url,
        });
        Data::new(
            &notification.receiver,
            &notification.group_labels,
            route_labels,
            notification.reason.as_str(),
            &self.external_url,
            alerts,
            &go_time(notification.now),
        )
    }
}

fn go_time(t: Timestamp) -> Time {
    Time::from_unix(t.as_second(), i64::from(t.subsec_nanosecond()))
}

impl Render for Expander {
    fn text(&self, template: &str, notification: &Notification) -> Result<String, String> {
        let data = self.notification_data(notification);
        let now = go_time(notification.now);
        self.templates
            .execute_text(template, &data, &now)
            .map_err(|e| e.to_string())
    }

    fn html(&self, template: &str, notification: &Notification) -> Result<String, String> {
        let data = self.notification_data(notification);
        let now = go_time(notification.now);
        self.templates
            .execute_html(template, &data, &now)
            .map_err(|e| e.to_string())
    }

    fn json(&self, notification: &Notification) -> String {
        // It is all text and times, which always have a form in JSON.
        self.notification_data(notification)
            .to_json()
            .unwrap_or_default()
    }
}

/// The texts of one notification.
pub struct Texts<'a> {
    render: &'a dyn Render,
    notification: &'a Notification,
}

impl<'a> Texts<'a> {
    /// For one notification.
    pub fn new(render: &'a dyn Render, notification: &'a Notification) -> Texts<'a> {
        Texts {
            render,
            notification,
        }
    }

    /// Expands a template as plain text.
    ///
    /// # Errors
    /// A failure that stays.
    pub fn text(&self, template: &str) -> Result<String, Failure> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        self.render
            .text(template, self.notification)
            .map_err(failed)
    }

    /// Expands a template as HTML.
    ///
    /// # Errors
    /// A failure that stays.
    pub fn html(&self, template: &str) -> Result<String, Failure> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        self.render
            .html(template, self.notification)
            .map_err(failed)
    }

    /// The data as webhooks get it.
    pub fn json(&self) -> String {
        self.render.json(self.notification)
    }

    /// [`Texts::json`] as a value.
    pub fn data(&self) -> Value {
        serde_json::from_str(&self.json()).unwrap_or_default()
    }

    /// Expands all texts of a value, keys too. A text that turns out to be YAML or JSON (`{{ toJson
    /// .Alerts }}`) becomes that value; what it holds is not expanded again.
    ///
    /// # Errors
    /// A failure that stays.
    pub fn deep(&self, value: &Value) -> Result<Value, Failure> {
        match value {
            Value::String(template) => {
                let text = self.text(template)?;
                Ok(match yaml_config::from_str::<Value>(&text) {
                    Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
                    Ok(value @ (Value::Number(_) | Value::Bool(_)))
                        if format!("{value}") == text =>
                    {
                        value
                    }
                    _ => Value::String(text),
                })
            }
            Value::Array(values) => {
                let values: Result<Vec<Value>, Failure> =
                    values.iter().map(|value| self.deep(value)).collect();
                Ok(Value::Array(values?))
            }
            Value::Object(fields) => {
                let mut expanded = serde_json::Map::new();
                for (name, value) in fields {
                    expanded.insert(self.text(name)?, self.deep(value)?);
                }
                Ok(Value::Object(expanded))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
        }
    }
}

fn failed(message: String) -> Failure {
    Failure::lasting(message).because(FailureReason::TemplateError)
}
