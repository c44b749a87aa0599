//! PromQL: lex, parse, check, print, plan, execute.
//!
//! A text becomes a tree ([`parse`], [`ast`]), the tree a plan (`plan`), the plan columns (`exec`):
//! every series is decoded once for the whole time range, functions slide over its arrays, and what
//! is passed between operators is one column of steps a series. Answers, annotations and errors are
//! upstream's, to the last digit where Go's and our `libm` agree.
//!
//! No files, no sockets, no wall clock: data comes through [`storage::Queryable`], times are
//! arguments; only a deadline is read from the monotonic clock. Limits fail the query that exceeds
//! them and no other.
//!
//! Start with [`Engine`]; [`script`] holds the language that the engine is tested in.

mod annotate;
pub mod ast;
mod budget;
pub mod cancel;
pub mod check;
pub mod engine;
mod exec;
pub mod features;
pub mod functions;
pub mod lex;
pub mod parse;
mod plan;
pub mod print;
pub mod query_error;
mod regexps;
pub mod script;
pub mod value;

pub use cancel::CancelToken;
pub use engine::{Engine, EngineOptions, QueryOptions};
pub use features::Features;
pub use parse::{ParseError, ParseErrors, parse_expr};
pub use query_error::QueryError;
pub use value::{MatrixSeries, QueryResult, SampleValue, StatsLevel, Value, VectorSample};
