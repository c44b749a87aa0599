//! The `.test` language (prometheus/prometheus `promql/promqltest`): scripts that load series and
//! state what queries answer. Our engine is tested by it, and rule unit tests reuse its parts: the
//! series notation ([`crate::parse::parse_series_desc`]), the in-memory [`Store`] and the tolerant
//! comparisons ([`almost_equal`], [`histograms_match`]).
//!
//! Start with [`Script::parse`] and [`run`]. What the reference runner does on top of a script's
//! words is done here too: each instant query is also run with `@` on its selectors at other times,
//! and as the middle step of a range query.

mod command;
mod compare;
mod expect;
mod load;
mod nhcb;
mod run;
mod store;

#[cfg(test)]
mod tests;

pub use command::{Command, Script, ScriptError};
pub use compare::{EPSILON, almost_equal, histograms_match};
pub use expect::Eval;
pub use load::Load;
pub use run::{Evaluator, run};
pub use store::Store;
