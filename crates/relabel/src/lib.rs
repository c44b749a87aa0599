//! Relabelling: rules that rewrite, keep or drop label sets (prometheus/prometheus `model/relabel`).
//!
//! [`Config`] is a rule as configured; [`Config::compile`] checks it and makes a [`Rule`]; [`apply`]
//! runs rules over a label set.

mod action;
mod apply;
mod config;

pub use action::Action;
pub use apply::{Step, apply, apply_rule, relabel, steps};
pub use config::{Config, Error, JsonConfig, Rule, compile_all};
