//! PromQL: lex, parse, check, print, plan, execute.

pub mod ast;
pub mod features;
pub mod functions;
