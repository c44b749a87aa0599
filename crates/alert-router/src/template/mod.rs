//! Notification templates (prometheus/alertmanager `template/template.go`): the template language
//! with Alertmanager's functions, over [`Data`].
//!
//! [`Templates`] holds the built-in templates (`default.tmpl`, `email.tmpl`) and the user's files;
//! a file's definition replaces the one of the same name. Nothing here reads files or a clock:
//! texts and `now` are arguments.

mod data;
mod functions;
mod numbers;
mod title;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use golang::time::Time;
use gotemplate::{Error, MissingKey, Options, Set, Value};

pub use data::{Alert, AlertInput, Alerts, Data, Kv, Pair, Pairs};

/// The templates of every receiver's defaults.
const DEFAULT: &str = include_str!("default.tmpl");
/// The mail's page.
const EMAIL: &str = include_str!("email.tmpl");

/// All templates that configurations may call by name.
#[derive(Debug, Clone)]
pub struct Templates {
    set: Set,
}

impl Templates {
    /// The built-in templates.
    ///
    /// # Errors
    /// Never but by a mistake of ours, which a test would find.
    pub fn new() -> Result<Templates, Error> {
        let mut templates = Templates {
            set: Set::default(),
        };
        templates.add("default.tmpl", DEFAULT)?;
        templates.add("email.tmpl", EMAIL)?;
        Ok(templates)
    }

    /// Adds a file's templates; `name` is the file's name without its folder.
    ///
    /// # Errors
    /// The language's message.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.set.parse(name, text, &functions::parse_functions())
    }

    /// Whether there is a template of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// Expands a text of the configuration; empty texts stay empty.
    ///
    /// # Errors
    /// The language's message, in upstream's form.
    pub fn execute_text(&self, text: &str, data: &Data, now: &Time) -> Result<String, Error> {
        self.execute(
            text,
            &data.to_value(),
            data.route_labels.clone(),
            now,
            false,
        )
    }

    /// As [`Templates::execute_text`], with values escaped for where they stand in the HTML.
    ///
    /// # Errors
    /// The language's message, in upstream's form.
    pub fn execute_html(&self, text: &str, data: &Data, now: &Time) -> Result<String, Error> {
        self.execute(text, &data.to_value(), data.route_labels.clone(), now, true)
    }

    /// Expands a text over any value, for what is no notification.
    ///
    /// # Errors
    /// The language's message, in upstream's form.
    pub fn execute_value(
        &self,
        text: &str,
        value: &Value,
        now: &Time,
        html: bool,
    ) -> Result<String, Error> {
        self.execute(text, value, Kv::default(), now, html)
    }

    fn execute(
        &self,
        text: &str,
        value: &Value,
        route_labels: Kv,
        now: &Time,
        html: bool,
    ) -> Result<String, Error> {
        if text.is_empty() {
            return Ok(String::new());
        }
        // Cloning copies references to trees, not trees.
        let set = Arc::new(self.set.clone());
        let functions = functions::functions(functions::Context {
            set: Arc::clone(&set),
            value: value.clone(),
            route_labels,
            now: now.clone(),
        });
        let mut own = Set::clone(&set);
        own.parse("", text, &functions)?;
        let options = Options {
            missing_key: MissingKey::Zero,
            html,
            ..Options::default()
        };
        own.execute("", value, &functions, &options)
    }
}

/// Whether a text of the configuration can be parsed.
///
/// # Errors
/// The language's message.
pub fn check(text: &str) -> Result<(), Error> {
    Set::default().parse("", text, &functions::parse_functions())
}
