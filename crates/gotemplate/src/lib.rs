//! Go's template language: `text/template`, and the contextual escaping of `html/template`.
//!
//! A [`Set`] holds parsed templates that call each other by name; [`Set::execute`] runs one over a
//! [`Value`] with the [`Functions`] of the moment. Host types take part through [`Object`]. Error
//! texts are Go's, with name, line and column.
//!
//! No IO and no clock: whatever a template may reach is in its data and functions. Runs are bounded
//! by [`Limits`] in steps, depth and output. Escaping is decided while the output is written
//! ([`html`]), so a template whose branches end in different contexts is not refused as Go does, but
//! escaped for the context it really is in. Complex numbers, channels and iterator functions are
//! refused by name.
//!
//! Start reading at [`parse`] (text to tree), then [`exec`] (tree to text).

mod builtins;
mod exec;
mod function;
mod html;
mod json;
mod parse;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

pub use builtins::{escape_html, escape_js, escape_query};
pub use exec::Scope;
pub use function::{Function, Functions, Param};
pub use html::Safe;
pub use json::{JsonObject, to_json};
pub use value::time::{DurationValue, TimeValue};
pub use value::{List, Map, Object, Value};

use parse::Tree;

/// A template that cannot be parsed or run; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// What a map without the key gives (`missingkey=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// No value, printed as `<no value>`.
    #[default]
    Invalid,
    /// The element type's zero value.
    Zero,
    /// An error.
    Error,
}

/// How far a run may go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nodes and function calls evaluated.
    pub steps: u64,
    /// Bytes written, templates called from functions included.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            steps: 10_000_000,
            output_bytes: 64 << 20,
        }
    }
}

/// How to run a template.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub missing_key: MissingKey,
    /// Escape for HTML as `html/template` does.
    pub html: bool,
    pub limits: Limits,
}

/// Templates by name.
#[derive(Debug, Clone, Default)]
pub struct Set {
    trees: HashMap<String, Arc<Tree>>,
}

impl Set {
    /// Parses `text` as the template `name`, and those it defines. A definition replaces an earlier
    /// one of the same name, unless it is empty.
    ///
    /// # Errors
    /// Go's message.
    pub fn parse(
        &mut self,
        name: &str,
        text: &str,
        functions: &Functions<'_>,
    ) -> Result<(), Error> {
        for tree in parse::parse(name, text, functions)? {
            let empty = tree.is_empty();
            if !empty || !self.trees.contains_key(&tree.name) {
                self.trees.insert(tree.name.clone(), Arc::new(tree));
            }
        }
        Ok(())
    }

    /// Whether there is a template of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// The names of all templates, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// Runs the template `name` over `data`.
    ///
    /// # Errors
    /// Go's message, or that a limit is exceeded.
    pub fn execute(
        &self,
        name: &str,
        data: &Value,
        functions: &Functions<'_>,
        options: &Options,
    ) -> Result<String, Error> {
        exec::execute(self, name, data, functions, options)
    }

    fn get(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name).map(Arc::as_ref)
    }
}
