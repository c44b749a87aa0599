//! PromQL: lex, parse, check, print, plan, execute.
