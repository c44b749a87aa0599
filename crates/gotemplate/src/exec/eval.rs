//! Pipelines, commands, fields and calls.

use super::{At, Scope, State};
use crate::builtins;
use crate::parse::{Command, Expr, ExprKind, Number, Pipe};
use crate::{Error, Function, MissingKey, Param, Value};

impl<'r, 'e> State<'r, 'e> {
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'e Pipe) -> Result<Value, Error> {
        self.enter()?;
        self.at = Some(At::Pipe(pipe));
        let mut value = None;
        for command in &pipe.commands {
            self.run.step()?;
            value = Some(self.command(dot, command, value)?);
        }
        self.leave();
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// One stage; `last` is the value of the one before, which becomes the last argument.
    fn command(
        &mut self,
        dot: &Value,
        command: &'e Command,
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let Some(first) = command.args.first() else {
            return Ok(Value::Nil);
        };
        let args = &command.args[1..];
        match &first.kind {
            ExprKind::Field(_) | ExprKind::Variable(_) | ExprKind::Chain(..) => {
                self.operand(dot, first, args, last)
            }
            ExprKind::Function(name) => {
                self.at = Some(At::Expr(first));
                let site = At::Command(first.pos, command);
                self.function(dot, name, site, args, last)
            }
            ExprKind::Pipe(pipe) => {
                self.no_arguments(first, args, &last)?;
                self.pipeline(dot, pipe)
            }
            kind => {
                self.at = Some(At::Expr(first));
                self.no_arguments(first, args, &last)?;
                match kind {
                    ExprKind::Bool(value) => Ok(Value::Bool(*value)),
                    ExprKind::Number(number) => self.constant(number),
                    ExprKind::String { text, .. } => Ok(Value::String(text.clone())),
                    ExprKind::Nil => self.error("nil is not a command"),
                    _ => Ok(dot.clone()),
                }
            }
        }
    }

    fn no_arguments(&self, first: &Expr, args: &[Expr], last: &Option<Value>) -> Result<(), Error> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        let first = super::node_text(first);
        self.error(format!("can't give argument to non-function {first}"))
    }

    /// A number of no particular type.
    fn constant(&mut self, number: &Number) -> Result<Value, Error> {
        if number.is_float() {
            return Ok(Value::Float(number.float.unwrap_or_default()));
        }
        match number.int {
            Some(int) => Ok(Value::Int(int)),
            None => self.error(format!("{} overflows int", number.text)),
        }
    }

    /// A field, a variable, or a chain behind parentheses; the last name may be a method that takes
    /// the arguments.
    fn operand(
        &mut self,
        dot: &Value,
        expr: &'e Expr,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        self.at = Some(At::Expr(expr));
        let (receiver, names): (Value, &'e [String]) = match &expr.kind {
            ExprKind::Field(names) => (dot.clone(), names),
            ExprKind::Variable(names) => {
                let (Some(name), rest) = (names.first(), names.get(1..).unwrap_or_default()) else {
                    return Ok(Value::Nil);
                };
                let known = self.variables.iter().rev().find(|(n, _)| n == name);
                let Some((_, value)) = known else {
                    return self.error(format!("undefined variable: {name}"));
                };
                let value = value.clone();
                if rest.is_empty() {
                    self.no_arguments(expr, args, &last)?;
                    return Ok(value);
                }
                (value, rest)
            }
            ExprKind::Chain(start, names) => {
                if let ExprKind::Nil = start.kind {
                    return self.error(format!("indirection through explicit nil in {expr}"));
                }
                (self.argument(dot, Param::Any, start)?, names)
            }
            _ => return Ok(Value::Nil),
        };
        let Some((final_name, path)) = names.split_last() else {
            return Ok(receiver);
        };
        let mut value = Some(receiver).filter(|value| !matches!(value, Value::Nil));
        for name in path {
            value = self.field(dot, expr, value, name, &[], None)?;
        }
        let value = self.field(dot, expr, value, final_name, args, last)?;
        Ok(value.unwrap_or_default())
    }

    /// A field, method or map entry. Nothing is what Go calls an invalid value, which has no
    /// fields but is no error; a nil that something holds is one.
    fn field(
        &mut self,
        dot: &Value,
        expr: &'e Expr,
        receiver: Option<Value>,
        name: &str,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Option<Value>, Error> {
        let has_args = !args.is_empty() || last.is_some();
        let Some(receiver) = receiver else {
            if self.run.missing_key == MissingKey::Error {
                let key = golang::strconv::quote(name);
                return self.error(format!("nil data; no entry for key {key}"));
            }
            return Ok(None);
        };
        let plain = match &receiver {
            Value::Nil => {
                return self.error(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    return self
                        .call(dot, &method, At::Expr(expr), name, args, last)
                        .map(Some);
                }
                if let Some(value) = object.field(name) {
                    if has_args {
                        return self.error(format!(
                            "{name} has arguments but cannot be invoked as function"
                        ));
                    }
                    return Ok(Some(value));
                }
                receiver.plain()
            }
            other => other.clone(),
        };
        let Value::Map(map) = plain else {
            let type_name = receiver.type_name();
            return self.error(format!("can't evaluate field {name} in type {type_name}"));
        };
        if has_args {
            return self.error(format!("{name} is not a method but has arguments"));
        }
        match (map.entries.get(name), self.run.missing_key) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, MissingKey::Invalid) => Ok(None),
            (None, MissingKey::Zero) => Ok(Some(*map.zero.clone())),
            (None, MissingKey::Error) => {
                let key = golang::strconv::quote(name);
                self.error(format!("map has no entry for key {key}"))
            }
        }
    }

    fn function(
        &mut self,
        dot: &Value,
        name: &str,
        site: At<'e>,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let Some((function, builtin)) = self.run.functions.get(name) else {
            let name = golang::strconv::quote(name);
            return self.error(format!("{name} is not a defined function"));
        };
        if builtin && matches!(name, "and" | "or") {
            return self.and_or(dot, name, function, args, last);
        }
        if builtin && name == "call" {
            return self.call_value(dot, function, site, args, last);
        }
        self.call(dot, function, site, name, args, last)
    }

    fn check_count(
        &self,
        function: &Function<'_>,
        name: &str,
        args: usize,
        all: usize,
    ) -> Result<(), Error> {
        let want = function.params.len();
        match function.rest {
            Some(_) if all < want => self.error(format!(
                "wrong number of args for {name}: want at least {want} got {args}"
            )),
            None if all != want => self.error(format!(
                "wrong number of args for {name}: want {want} got {all}"
            )),
            _ => Ok(()),
        }
    }

    /// Stops at the first argument that decides.
    fn and_or(
        &mut self,
        dot: &Value,
        name: &str,
        function: &Function<'_>,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let all = args.len() + usize::from(last.is_some());
        self.check_count(function, name, args.len(), all)?;
        let mut value = Value::Nil;
        for arg in args {
            value = self.argument(dot, Param::Any, arg)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// The arguments, evaluated and checked.
    fn arguments(
        &mut self,
        dot: &Value,
        function: &Function<'_>,
        name: &str,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Vec<Value>, Error> {
        let all = args.len() + usize::from(last.is_some());
        self.check_count(function, name, args.len(), all)?;
        let param = |at: usize| {
            let fixed = function.params.get(at).copied();
            fixed.or(function.rest).unwrap_or(Param::Any)
        };
        let mut values = Vec::with_capacity(all);
        for (at, arg) in args.iter().enumerate() {
            values.push(self.argument(dot, param(at), arg)?);
        }
        if let Some(last) = last {
            values.push(self.validate(last, param(args.len()))?);
        }
        Ok(values)
    }

    fn call(
        &mut self,
        dot: &Value,
        function: &Function<'_>,
        site: At<'e>,
        name: &str,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let values = self.arguments(dot, function, name, args, last)?;
        self.run.step()?;
        let scope = Scope { run: self.run };
        (function.call)(&scope, &values).or_else(|message| {
            self.at = Some(site);
            self.error(format!("error calling {name}: {message}"))
        })
    }

    /// The builtin `call`: its first argument is the function.
    fn call_value(
        &mut self,
        dot: &Value,
        function: &Function<'_>,
        site: At<'e>,
        args: &'e [Expr],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let shown = match args.first() {
            Some(arg) => super::node_text(arg),
            None => last.as_ref().map(Value::print).unwrap_or_default(),
        };
        let values = self.arguments(dot, function, "call", args, last)?;
        let result = match values.split_first() {
            None | Some((Value::Nil, _)) => Err("call of nil".to_owned()),
            Some((Value::Func(callee), rest)) => builtins::check_call(callee, &shown, rest)
                .and_then(|()| {
                    let scope = Scope { run: self.run };
                    (callee.call)(&scope, rest)
                }),
            Some((other, _)) => Err(format!(
                "non-function {shown} of type {}",
                other.type_name()
            )),
        };
        result.or_else(|message| {
            self.at = Some(site);
            self.error(format!("error calling call: {message}"))
        })
    }

    /// A value that a parameter takes, or why it does not.
    fn validate(&mut self, value: Value, param: Param) -> Result<Value, Error> {
        let Param::Type(want) = param else {
            return Ok(value);
        };
        if let Value::Nil = value {
            if can_be_nil(want) {
                return Ok(Value::Nil);
            }
            return self.error(format!("invalid value; expected {want}"));
        }
        let got = value.type_name();
        if got == want || got.strip_prefix('*') == Some(want) {
            return Ok(value);
        }
        self.error(format!("wrong type for value; expected {want}; got {got}"))
    }

    /// An argument for a parameter: constants take the parameter's type.
    fn argument(&mut self, dot: &Value, param: Param, expr: &'e Expr) -> Result<Value, Error> {
        self.at = Some(At::Expr(expr));
        let value = match &expr.kind {
            ExprKind::Dot => dot.clone(),
            ExprKind::Nil => {
                let want = param.name();
                if matches!(param, Param::Type(want) if !can_be_nil(want)) {
                    return self.error(format!("cannot assign nil to {want}"));
                }
                return Ok(Value::Nil);
            }
            ExprKind::Field(_) | ExprKind::Variable(_) | ExprKind::Chain(..) => {
                self.operand(dot, expr, &[], None)?
            }
            ExprKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            ExprKind::Function(name) => self.function(dot, name, At::Expr(expr), &[], None)?,
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::String { .. } => {
                return match param {
                    Param::Any => self.literal(expr),
                    Param::Type(want) => self.typed_literal(expr, want),
                };
            }
        };
        self.validate(value, param)
    }

    fn literal(&mut self, expr: &'e Expr) -> Result<Value, Error> {
        match &expr.kind {
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Number(number) => self.constant(number),
            ExprKind::String { text, .. } => Ok(Value::String(text.clone())),
            _ => Ok(Value::Nil),
        }
    }

    fn typed_literal(&mut self, expr: &'e Expr, want: &'static str) -> Result<Value, Error> {
        let named = |value: Value, plain: &str| {
            if want == plain {
                value
            } else {
                Value::Named(want, Box::new(value))
            }
        };
        let (expected, value) = match (want, &expr.kind) {
            ("bool", ExprKind::Bool(value)) => ("bool", Some(Value::Bool(*value))),
            ("bool", _) => ("bool", None),
            ("string", ExprKind::String { text, .. }) => {
                ("string", Some(Value::String(text.clone())))
            }
            ("string", _) => ("string", None),
            ("float32" | "float64", ExprKind::Number(number)) => {
                let value = number.float.map(|v| named(Value::Float(v), "float64"));
                ("float", value)
            }
            ("float32" | "float64", _) => ("float", None),
            ("int" | "int8" | "int16" | "int32" | "int64" | "time.Duration", kind) => {
                let int = match kind {
                    ExprKind::Number(number) => number.int,
                    _ => None,
                };
                ("integer", int.map(|v| named(Value::Int(v), "int")))
            }
            ("uint" | "uint8" | "uint16" | "uint32" | "uint64", kind) => {
                let uint = match kind {
                    ExprKind::Number(number) => number.uint,
                    _ => None,
                };
                let value = uint.map(|v| named(Value::Uint(v), "uint"));
                ("unsigned integer", value)
            }
            _ => {
                return self.error(format!("can't handle {expr} for arg of type {want}"));
            }
        };
        match value {
            Some(value) => Ok(value),
            None => self.error(format!("expected {expected}; found {expr}")),
        }
    }
}

fn can_be_nil(type_name: &str) -> bool {
    type_name.starts_with(['*', '['])
        || type_name.starts_with("map[")
        || type_name.starts_with("func(")
        || type_name.starts_with("interface")
}
