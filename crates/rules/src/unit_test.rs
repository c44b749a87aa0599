//! Rule unit tests: promtool's test files (prometheus/prometheus `cmd/promtool/unittest.go`).
//!
//! [`TestFile::parse`] reads one; [`TestFile::run`] runs its groups against the texts of the rule
//! files it names. No files and no clock: reading, patterns of paths and printing are the caller's.

mod diff;
mod file;
mod run;
mod verdict;

#[cfg(test)]
mod tests;

pub use file::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, TestFile, TestGroup,
};
pub use run::{RuleText, RunOptions};
pub use verdict::GroupVerdict;
