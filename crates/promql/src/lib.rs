//! PromQL: lex, parse, check, print, plan, execute.

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
pub mod script;
pub mod value;

pub use cancel::CancelToken;
pub use engine::{Engine, EngineOptions, QueryOptions};
pub use features::Features;
pub use parse::{ParseError, ParseErrors, parse_expr};
pub use query_error::QueryError;
pub use value::{MatrixSeries, QueryResult, SampleValue, StatsLevel, Value, VectorSample};
