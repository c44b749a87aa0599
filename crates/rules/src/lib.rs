//! Rules: files, groups, the life of alerts, templates.
//!
//! No clock, no network: a [`Group`] is evaluated at a time it is told, asks a [`QuerySource`], writes
//! to a [`SampleSink`] and returns the alerts that are due. Start with [`RuleFile`] and [`Group`].

mod alerting;
mod file;
mod group;
mod recording;
mod restore;
mod source;
mod state;
pub mod template;
pub mod unit_test;

pub use alerting::{ALERTS, ALERTS_FOR_STATE, AlertContext, AlertingRule, AlertingRuleSpec};
pub use file::{CheckOptions, GroupSpec, PartialResponse, RuleFile, RuleSpec};
pub use group::{
    Entry, Evaluation, Group, GroupDefaults, Health, Outcome, Rule, SampleSink, table_link,
};
pub use recording::RecordingRule;
pub use restore::{RestoreLimits, StateSample};
pub use source::{Answer, QuerySource, Sample, SampleValue};
pub use state::{ActiveAlert, AlertState, RESOLVED_RETENTION_MS};
