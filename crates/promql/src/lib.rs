//! PromQL: lex, parse, check, print, plan, execute.

pub mod ast;
pub mod cancel;
pub mod check;
pub mod engine;
pub mod features;
pub mod functions;
pub mod lex;
pub mod parse;
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
