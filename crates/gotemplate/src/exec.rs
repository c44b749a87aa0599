//! Tree to text (`text/template/exec.go`).
//!
//! [`Run`] is what all templates of one execution share: the set, the functions, the budget.
//! [`State`] is one template's: its variables, and the node it is at, for errors. [`eval`] has
//! pipelines, fields and calls.

mod eval;

use std::cell::Cell;

use crate::html::Escaper;
use crate::parse::{Branch, Command, Expr, Node, Pipe, Tree};
use crate::{Error, Functions, Limits, MissingKey, Options, Set, Value};

/// How deep templates, control structures and pipelines may be inside of each other. Go allows
/// 100,000 templates; this much fits the stack of any thread.
const MAX_DEPTH: usize = 150;

/// What a run shares.
pub(crate) struct Run<'e> {
    set: &'e Set,
    functions: &'e Functions<'e>,
    missing_key: MissingKey,
    html: bool,
    limits: Limits,
    steps: Cell<u64>,
    depth: Cell<usize>,
    produced: Cell<usize>,
}

/// The run a function is called in.
pub struct Scope<'r> {
    run: &'r Run<'r>,
}

impl Scope<'_> {
    /// Runs another template of the same set, and returns its text.
    ///
    /// # Errors
    /// As [`Set::execute`].
    pub fn execute(&self, name: &str, data: &Value) -> Result<String, Error> {
        self.run.template(self.run.set, name, data)
    }

    /// Runs a template of another set, as text, with the same functions and the same budget.
    ///
    /// # Errors
    /// As [`Set::execute`].
    pub fn execute_in(&self, set: &Set, name: &str, data: &Value) -> Result<String, Error> {
        let inner = Run {
            set,
            functions: self.run.functions,
            missing_key: self.run.missing_key,
            html: false,
            limits: self.run.limits,
            steps: self.run.steps.clone(),
            depth: self.run.depth.clone(),
            produced: self.run.produced.clone(),
        };
        let result = inner.template(set, name, data);
        self.run.steps.set(inner.steps.get());
        self.run.produced.set(inner.produced.get());
        result
    }

    /// The functions of the run, to parse further templates with.
    pub fn functions(&self) -> &Functions<'_> {
        self.run.functions
    }
}

pub(crate) fn execute(
    set: &Set,
    name: &str,
    data: &Value,
    functions: &Functions<'_>,
    options: &Options,
) -> Result<String, Error> {
    let run = Run {
        set,
        functions,
        missing_key: options.missing_key,
        html: options.html,
        limits: options.limits,
        steps: Cell::new(0),
        depth: Cell::new(0),
        produced: Cell::new(0),
    };
    run.template(set, name, data)
}

/// Where the text goes.
struct Output {
    text: String,
    escaper: Option<Escaper>,
}

/// What stands at fault in an error.
#[derive(Clone, Copy)]
enum At<'e> {
    Action(usize, &'e Pipe),
    Pipe(&'e Pipe),
    /// Where it begins, and all of it.
    Command(usize, &'e Command),
    Expr(&'e Expr),
    Template(usize, &'e str, Option<&'e Pipe>),
}

struct State<'r, 'e> {
    run: &'r Run<'e>,
    tree: &'e Tree,
    variables: Vec<(&'e str, Value)>,
    at: Option<At<'e>>,
    out: &'r mut Output,
}

/// How a list of nodes was left.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'e> Run<'e> {
    fn template(&self, set: &Set, name: &str, data: &Value) -> Result<String, Error> {
        let Some(tree) = set.get(name) else {
            let name = golang::strconv::quote(name);
            return Err(Error(format!(
                "template: no template {name} associated with template {name}"
            )));
        };
        let mut out = Output {
            text: String::new(),
            escaper: self.html.then(Escaper::default),
        };
        let mut state = State {
            run: self,
            tree,
            variables: vec![("$", data.clone())],
            at: None,
            out: &mut out,
        };
        state.walk_list(data, &tree.root)?;
        if let Some(escaper) = &out.escaper {
            escaper.finish(name)?;
        }
        Ok(out.text)
    }

    /// Counts a step.
    fn step(&self) -> Result<(), Error> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > self.limits.steps {
            return Err(Error("template: too many steps".to_owned()));
        }
        Ok(())
    }
}

impl<'r, 'e> State<'r, 'e> {
    /// An error at the current node, in Go's form.
    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, Error> {
        let name = golang::strconv::quote(&self.tree.name);
        let Some(at) = self.at else {
            return Err(Error(format!("template: {}: {message}", self.tree.name)));
        };
        let (pos, context) = match at {
            At::Action(pos, pipe) => (pos, format!("{{{{{pipe}}}}}")),
            At::Pipe(pipe) => (pipe.pos, pipe.to_string()),
            At::Command(pos, command) => (pos, command.to_string()),
            At::Expr(expr) => (expr.pos, node_text(expr)),
            At::Template(pos, name, pipe) => (pos, crate::parse::template_text(name, pipe)),
        };
        let location = self.tree.location(pos);
        Err(Error(format!(
            "template: {location}: executing {name} at <{context}>: {message}"
        )))
    }

    fn enter(&self) -> Result<(), Error> {
        let depth = self.run.depth.get() + 1;
        if depth > MAX_DEPTH {
            return self.error(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        self.run.depth.set(depth);
        Ok(())
    }

    fn leave(&self) {
        self.run.depth.set(self.run.depth.get().saturating_sub(1));
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        let produced = self.run.produced.get() + text.len();
        self.run.produced.set(produced);
        if produced > self.run.limits.output_bytes {
            return Err(Error("template: output too large".to_owned()));
        }
        let out = &mut *self.out;
        match &mut out.escaper {
            None => out.text.push_str(text),
            Some(escaper) => escaper.literal(&mut out.text, text),
        }
        Ok(())
    }

    fn walk_list(&mut self, dot: &Value, list: &'e [Node]) -> Result<Flow, Error> {
        self.enter()?;
        let mut flow = Flow::Next;
        for node in list {
            flow = self.walk(dot, node)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.leave();
        Ok(flow)
    }

    fn walk(&mut self, dot: &Value, node: &'e Node) -> Result<Flow, Error> {
        self.run.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action { pos, pipe } => {
                self.at = Some(At::Action(*pos, pipe));
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at = Some(At::Action(*pos, pipe));
                    self.print(&value, pipe)?;
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::If(branch) => return self.walk_branch(dot, branch, false),
            Node::With(branch) => return self.walk_branch(dot, branch, true),
            Node::Range(branch) => return self.walk_range(dot, branch),
            Node::Template { pos, name, pipe } => {
                self.walk_template(dot, *pos, name, pipe.as_ref())?;
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value, pipe: &'e Pipe) -> Result<(), Error> {
        if let Value::Func(_) = value {
            let type_name = value.type_name();
            return self.error(format!("can't print {{{{{pipe}}}}} of type {type_name}"));
        }
        if self.out.escaper.is_none() {
            return match value {
                Value::String(text) => self.write(text),
                value => self.write(&value.print()),
            };
        }
        let escaped = match &mut self.out.escaper {
            Some(escaper) => escaper.value(value, &pipe_functions(pipe)),
            None => Ok(String::new()),
        };
        let escaped = escaped.or_else(|e| self.error(e))?;
        let produced = self.run.produced.get() + escaped.len();
        self.run.produced.set(produced);
        if produced > self.run.limits.output_bytes {
            return Err(Error("template: output too large".to_owned()));
        }
        self.out.text.push_str(&escaped);
        Ok(())
    }

    fn walk_branch(&mut self, dot: &Value, branch: &'e Branch, with: bool) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.is_true() {
            self.walk_list(if with { &value } else { dot }, &branch.list)
        } else if let Some(list) = &branch.else_list {
            self.walk_list(dot, list)
        } else {
            Ok(Flow::Next)
        };
        self.variables.truncate(mark);
        flow
    }

    fn walk_range(&mut self, dot: &Value, branch: &'e Branch) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let result = self.iterate(dot, branch, &value);
        self.variables.truncate(mark);
        result
    }

    fn iterate(&mut self, dot: &Value, branch: &'e Branch, value: &Value) -> Result<Flow, Error> {
        let mut flow;
        let ran = match value.plain() {
            Value::Int(_) | Value::Uint(_) if branch.pipe.variables.len() > 1 => {
                let shown = value.print();
                return self.error(format!(
                    "can't use {shown} to iterate over more than one variable"
                ));
            }
            plain @ (Value::Int(_) | Value::Uint(_)) => {
                let count = match plain {
                    Value::Int(count) => u64::try_from(count).unwrap_or(0),
                    Value::Uint(count) => count,
                    _ => 0,
                };
                for at in 0..count {
                    let item = match (value, &plain) {
                        (Value::Named(name, _), Value::Uint(_)) => {
                            Value::Named(name, Box::new(Value::Uint(at)))
                        }
                        (Value::Named(name, _), _) => {
                            Value::Named(name, Box::new(Value::Int(at as i64)))
                        }
                        (_, Value::Uint(_)) => Value::Uint(at),
                        _ => Value::Int(at as i64),
                    };
                    flow = self.iteration(branch, Value::Nil, item)?;
                    if flow == Flow::Break {
                        break;
                    }
                }
                count > 0
            }
            Value::List(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    flow = self.iteration(branch, Value::from(at), item.clone())?;
                    if flow == Flow::Break {
                        break;
                    }
                }
                !list.items.is_empty()
            }
            Value::Map(map) => {
                for (key, item) in map.entries.iter() {
                    let key = Value::String(key.clone());
                    flow = self.iteration(branch, key, item.clone())?;
                    if flow == Flow::Break {
                        break;
                    }
                }
                !map.entries.is_empty()
            }
            Value::Nil => false,
            _ => {
                let shown = value.print();
                return self.error(format!("range can't iterate over {shown}"));
            }
        };
        match &branch.else_list {
            Some(list) if !ran => self.walk_list(dot, list),
            _ => Ok(Flow::Next),
        }
    }

    /// One turn of a range; the pipeline has pushed its variables.
    fn iteration(&mut self, branch: &'e Branch, key: Value, item: Value) -> Result<Flow, Error> {
        self.run.step()?;
        let mark = self.variables.len();
        let names = &branch.pipe.variables;
        let values = if names.len() > 1 {
            vec![key, item.clone()]
        } else {
            vec![item.clone()]
        };
        for (at, (name, value)) in names.iter().zip(values).enumerate() {
            if branch.pipe.assigns {
                self.assign(name, value)?;
            } else {
                let slot = mark + at - names.len();
                self.variables[slot].1 = value;
            }
        }
        let flow = self.walk_list(&item, &branch.list);
        self.variables.truncate(mark);
        flow
    }

    fn walk_template(
        &mut self,
        dot: &Value,
        pos: usize,
        name: &'e str,
        pipe: Option<&'e Pipe>,
    ) -> Result<(), Error> {
        self.at = Some(At::Template(pos, name, pipe));
        let Some(tree) = self.run.set.get(name) else {
            let quoted = golang::strconv::quote(name);
            if self.run.html {
                let location = self.tree.location(pos);
                return Err(Error(format!(
                    "html/template:{location}: no such template {quoted}"
                )));
            }
            return self.error(format!("template {quoted} not defined"));
        };
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let mut inner = State {
            run: self.run,
            tree,
            variables: vec![("$", data.clone())],
            at: self.at,
            out: &mut *self.out,
        };
        inner.walk_list(&data, &tree.root)?;
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(n, _)| *n == name) {
            Some(slot) => {
                slot.1 = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }
}

/// An expression as a node of its own: a pipeline has no parentheses then.
fn node_text(expr: &Expr) -> String {
    match &expr.kind {
        crate::parse::ExprKind::Pipe(pipe) => pipe.to_string(),
        _ => expr.to_string(),
    }
}

/// The functions that begin a pipeline's commands, each with whether it is the last command's.
fn pipe_functions(pipe: &Pipe) -> Vec<(&str, bool)> {
    let count = pipe.commands.len();
    let mut out = Vec::new();
    for (at, command) in pipe.commands.iter().enumerate() {
        if let Some(crate::parse::ExprKind::Function(name)) =
            command.args.first().map(|arg| &arg.kind)
        {
            out.push((name.as_str(), at + 1 == count));
        }
    }
    out
}
