//! Go's `fmt`: `Sprintf`, `Sprint` and `Sprintln` over a tree of values.
//!
//! [`Arg`] is what a Go value looks like to fmt: its type's name, its kind, and what its `String` or
//! `Error` method says. Formatting never fails: mistakes show in the text, as in Go (`%!d(string=x)`).

mod number;
mod print;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use print::Printer;

/// A value to print.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// The type as `%T` names it; empty for nil.
    pub type_name: Cow<'static, str>,
    pub kind: Kind,
    /// What the `String()` or `Error()` method returns, of types that have one.
    pub text: Option<String>,
}

/// The kinds of values fmt tells apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An interface without a value.
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Float32(f32),
    String(String),
    Bytes(Vec<u8>),
    List(Vec<Arg>),
    /// In the order fmt would sort the keys.
    Map(Vec<(Arg, Arg)>),
    /// Field names and values.
    Struct(Vec<(String, Arg)>),
    /// `None` is a nil pointer.
    Pointer(Option<Box<Arg>>),
    /// Shown as an address, which is all the same one: ours mean nothing.
    Func,
}

impl Arg {
    /// A value of a named type.
    pub fn new(type_name: impl Into<Cow<'static, str>>, kind: Kind) -> Arg {
        Arg {
            type_name: type_name.into(),
            kind,
            text: None,
        }
    }

    /// An interface without a value.
    pub fn nil() -> Arg {
        Arg::new("", Kind::Nil)
    }

    /// The value with a `String` or `Error` method.
    pub fn with_text(mut self, text: impl Into<String>) -> Arg {
        self.text = Some(text.into());
        self
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Arg {
        Arg::new("bool", Kind::Bool(value))
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Arg {
        Arg::new("int", Kind::Int(value))
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Arg {
        Arg::new("float64", Kind::Float(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Arg {
        Arg::new("string", Kind::String(value.to_owned()))
    }
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Arg]) -> String {
    let mut printer = Printer::default();
    printer.printf(format, args);
    printer.out
}

/// `fmt.Sprint`: a blank between neighbours that are both no strings.
pub fn sprint(args: &[Arg]) -> String {
    let mut printer = Printer::default();
    let mut after_string = false;
    for (at, arg) in args.iter().enumerate() {
        let string = matches!(arg.kind, Kind::String(_));
        if at > 0 && !string && !after_string {
            printer.out.push(' ');
        }
        printer.arg(arg, 'v');
        after_string = string;
    }
    printer.out
}

/// `fmt.Sprintln`: a blank between all, a line break at the end.
pub fn sprintln(args: &[Arg]) -> String {
    let mut printer = Printer::default();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            printer.out.push(' ');
        }
        printer.arg(arg, 'v');
    }
    printer.out.push('\n');
    printer.out
}
