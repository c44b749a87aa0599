//! The tree, and its nodes as text for error messages (`text/template/parse/node.go`).

use std::fmt::{self, Display, Formatter, Write as _};
use std::sync::Arc;

use super::number::Number;

/// A template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub name: String,
    /// The name of the text it was written in, for errors.
    pub parse_name: Arc<str>,
    pub text: Arc<str>,
    pub root: Vec<Node>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action {
        pos: usize,
        pipe: Pipe,
    },
    Break,
    Continue,
    If(Branch),
    Range(Branch),
    With(Branch),
    Template {
        pos: usize,
        name: String,
        pipe: Option<Pipe>,
    },
}

/// `if`, `range` and `with`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub pipe: Pipe,
    pub list: Vec<Node>,
    pub else_list: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub pos: usize,
    /// `=` rather than `:=`.
    pub assigns: bool,
    pub variables: Vec<String>,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub args: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub pos: usize,
    pub kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Bool(bool),
    Dot,
    Nil,
    /// `.A.B`.
    Field(Vec<String>),
    /// `$x.A.B`; the first is the variable's name with its dollar sign.
    Variable(Vec<String>),
    Function(String),
    Number(Number),
    String {
        quoted: String,
        text: Arc<str>,
    },
    Pipe(Box<Pipe>),
    /// `(...).A.B`.
    Chain(Box<Expr>, Vec<String>),
}

impl Tree {
    /// Whether it is all blanks and definitions.
    pub(crate) fn is_empty(&self) -> bool {
        let blank = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
        self.root.iter().all(blank)
    }

    /// `name:line:column` of a byte, the column from 0.
    pub(crate) fn location(&self, pos: usize) -> String {
        let before = self.text.get(..pos).unwrap_or(&self.text);
        let line = 1 + before.bytes().filter(|&b| b == b'\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        format!("{}:{line}:{column}", self.parse_name)
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            f.write_str(&self.variables.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        separated(f, &self.commands, " | ")
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        separated(f, &self.args, " ")
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Bool(value) => write!(f, "{value}"),
            ExprKind::Dot => f.write_char('.'),
            ExprKind::Nil => f.write_str("nil"),
            ExprKind::Field(names) => dotted(f, names),
            ExprKind::Variable(names) => f.write_str(&names.join(".")),
            ExprKind::Function(name) => f.write_str(name),
            ExprKind::Number(number) => f.write_str(&number.text),
            ExprKind::String { quoted, .. } => f.write_str(quoted),
            ExprKind::Pipe(pipe) => write!(f, "({pipe})"),
            ExprKind::Chain(start, names) => {
                write!(f, "{start}")?;
                dotted(f, names)
            }
        }
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn dotted(f: &mut Formatter<'_>, names: &[String]) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}

/// `{{template "name" pipe}}`.
pub(crate) fn template_text(name: &str, pipe: Option<&Pipe>) -> String {
    let mut out = format!("{{{{template {}", golang::strconv::quote(name));
    if let Some(pipe) = pipe {
        out.push_str(&format!(" {pipe}"));
    }
    out + "}}"
}
