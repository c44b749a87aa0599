//! Text to tree (`text/template/parse`).

mod lex;
mod node;
mod number;
mod tree;

pub(crate) use node::{Branch, Command, Expr, ExprKind, Node, Pipe, Tree, template_text};
pub(crate) use number::Number;
pub(crate) use tree::parse;
