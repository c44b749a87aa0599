//! Functions that templates call, with the types of their parameters.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::{Scope, Value, builtins};

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// Anything, nil too.
    Any,
    /// A value of exactly this Go type: `string`, `float64`, `[]string`, `time.Time`.
    Type(&'static str),
}

impl Param {
    /// `string`.
    pub const STRING: Param = Param::Type("string");
    /// `int`.
    pub const INT: Param = Param::Type("int");
    /// `float64`.
    pub const FLOAT: Param = Param::Type("float64");

    pub(crate) fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Type(name) => name,
        }
    }
}

type Call<'a> = dyn Fn(&Scope<'_>, &[Value]) -> Result<Value, String> + Send + Sync + 'a;

/// A function or method; the number and types of its arguments are checked before it is called.
#[derive(Clone)]
pub struct Function<'a> {
    pub(crate) params: Vec<Param>,
    /// The type of further arguments, if it takes any number of them.
    pub(crate) rest: Option<Param>,
    pub(crate) call: Arc<Call<'a>>,
}

impl<'a> Function<'a> {
    /// A function of a fixed number of arguments.
    pub fn new(
        params: impl Into<Vec<Param>>,
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'a,
    ) -> Function<'a> {
        Function::scoped(params, None, move |_, args| call(args))
    }

    /// A function of `params` and any number of `rest`.
    pub fn variadic(
        params: impl Into<Vec<Param>>,
        rest: Param,
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'a,
    ) -> Function<'a> {
        Function::scoped(params, Some(rest), move |_, args| call(args))
    }

    /// A function that uses the run it is called in.
    pub fn scoped(
        params: impl Into<Vec<Param>>,
        rest: Option<Param>,
        call: impl Fn(&Scope<'_>, &[Value]) -> Result<Value, String> + Send + Sync + 'a,
    ) -> Function<'a> {
        Function {
            params: params.into(),
            rest,
            call: Arc::new(call),
        }
    }
}

impl fmt::Debug for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("params", &self.params)
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}

/// Functions by name; the language's own are always there, and may be replaced.
#[derive(Debug, Clone, Default)]
pub struct Functions<'a> {
    named: HashMap<&'static str, Function<'a>>,
}

static BUILTINS: LazyLock<HashMap<&'static str, Function<'static>>> =
    LazyLock::new(builtins::functions);

impl<'a> Functions<'a> {
    /// The language's own functions only.
    pub fn new() -> Functions<'a> {
        Functions::default()
    }

    /// Adds a function, or replaces the one of that name.
    pub fn add(&mut self, name: &'static str, function: Function<'a>) {
        self.named.insert(name, function);
    }

    /// Whether templates may call `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.named.contains_key(name) || BUILTINS.contains_key(name)
    }

    /// The function, and whether it is the language's own.
    pub(crate) fn get(&self, name: &str) -> Option<(&Function<'a>, bool)> {
        match self.named.get(name) {
            Some(function) => Some((function, false)),
            None => BUILTINS.get(name).map(|function| (function, true)),
        }
    }
}
