//! The language's own functions (`text/template/funcs.go`).

use std::collections::HashMap;
use std::sync::Arc;

use golang::fmt::{sprint, sprintf, sprintln};
use golang::strconv::is_print;

use crate::{Function, List, Param, Value};

type Result<T = Value> = std::result::Result<T, String>;

pub(crate) fn functions() -> HashMap<&'static str, Function<'static>> {
    let any = |call: fn(&[Value]) -> Result| Function::variadic([], Param::Any, call);
    let one = |call: fn(&[Value]) -> Result| Function::variadic([Param::Any], Param::Any, call);
    let two = |call: fn(&[Value]) -> Result| Function::new([Param::Any, Param::Any], call);
    let args = |values: &[Value]| values.iter().map(Value::to_arg).collect::<Vec<_>>();
    HashMap::from([
        // These three are the executor's: they need to decide what is evaluated.
        ("and", one(|args| Ok(args[0].clone()))),
        ("or", one(|args| Ok(args[0].clone()))),
        ("call", one(|_| Err("call of nil".to_owned()))),
        ("html", any(|args| Ok(escape_html(&text(args)).into()))),
        ("index", one(index)),
        ("slice", one(slice)),
        ("js", any(|args| Ok(escape_js(&text(args)).into()))),
        ("len", Function::new([Param::Any], length)),
        (
            "not",
            Function::new([Param::Any], |args| Ok((!args[0].is_true()).into())),
        ),
        (
            "print",
            Function::variadic([], Param::Any, move |values| {
                Ok(sprint(&args(values)).into())
            }),
        ),
        (
            "println",
            Function::variadic([], Param::Any, move |values| {
                Ok(sprintln(&args(values)).into())
            }),
        ),
        (
            "printf",
            Function::variadic([Param::STRING], Param::Any, move |values| {
                let format = values[0].as_str().unwrap_or_default();
                Ok(sprintf(format, &args(&values[1..])).into())
            }),
        ),
        ("urlquery", any(|args| Ok(escape_query(&text(args)).into()))),
        ("eq", one(|args| equal(args).map(Value::Bool))),
        (
            "ne",
            two(|args| equal(args).map(|equal| Value::Bool(!equal))),
        ),
        ("lt", two(|args| less(args).map(Value::Bool))),
        ("le", two(|args| less_or_equal(args).map(Value::Bool))),
        (
            "gt",
            two(|args| less_or_equal(args).map(|le| Value::Bool(!le))),
        ),
        ("ge", two(|args| less(args).map(|lt| Value::Bool(!lt)))),
    ])
}

/// Arguments as one text.
fn text(args: &[Value]) -> String {
    match args {
        [Value::String(text)] => text.to_string(),
        args => {
            let shown = |value: &Value| match value {
                Value::Nil => Value::from("<no value>").to_arg(),
                value => value.to_printed_arg(),
            };
            sprint(&args.iter().map(shown).collect::<Vec<_>>())
        }
    }
}

/// Text for HTML: `html` of templates.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Text for a JavaScript string: `js` of templates.
pub fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || is_print(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out
}

/// Text for a URL's query (Go's `url.QueryEscape`): `urlquery` of templates.
pub fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An index into something of a length, which may be the length itself.
fn position(index: &Value, length: usize) -> Result<usize> {
    let number = match index.plain() {
        Value::Int(value) => value,
        Value::Uint(value) => value as i64,
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        _ => {
            let type_name = index.type_name();
            return Err(format!("cannot index slice/array with type {type_name}"));
        }
    };
    usize::try_from(number)
        .ok()
        .filter(|&at| at <= length)
        .ok_or_else(|| format!("index out of range: {number}"))
}

fn out_of_range(at: usize, length: usize, what: &str) -> String {
    // Go's bounds check passes the length itself, and reflect then panics.
    let _ = (at, length);
    format!("reflect: {what} index out of range")
}

fn index(args: &[Value]) -> Result {
    let (item, indexes) = args.split_at(1);
    let mut item = item[0].clone();
    if let Value::Nil = item {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        item = match item.plain() {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::List(list) => {
                let at = position(index, list.items.len())?;
                let found = list.items.get(at).cloned();
                found.ok_or_else(|| out_of_range(at, list.items.len(), "slice"))?
            }
            Value::String(text) => {
                let at = position(index, text.len())?;
                let byte = text.as_bytes().get(at).copied();
                let byte = byte.ok_or_else(|| out_of_range(at, text.len(), "string"))?;
                Value::Named("uint8", Box::new(Value::Uint(u64::from(byte))))
            }
            Value::Map(map) => {
                if let Value::Nil = index {
                    return Err("value is nil; should be of type string".to_owned());
                }
                let Some(key) = index.as_str().filter(|_| index.type_name() == "string") else {
                    let type_name = index.type_name();
                    return Err(format!("value has type {type_name}; should be string"));
                };
                let found = map.entries.get(key);
                found.cloned().unwrap_or_else(|| *map.zero.clone())
            }
            _ => {
                return Err(format!(
                    "can't index item of type {}",
                    item.target_type_name()
                ));
            }
        };
    }
    Ok(item)
}

fn slice(args: &[Value]) -> Result {
    let (item, indexes) = args.split_at(1);
    let item = &item[0];
    if let Value::Nil = item {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let plain = item.plain();
    let length = match &plain {
        Value::String(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        _ => {
            return Err(format!(
                "can't slice item of type {}",
                item.target_type_name()
            ));
        }
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [start, end, limit] = bounds;
    for (low, high) in [(start, end), (end, limit)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
    }
    match plain {
        Value::String(text) => {
            let part = String::from_utf8_lossy(&text.as_bytes()[start..end]);
            Ok(part.into_owned().into())
        }
        Value::List(list) => Ok(Value::List(List {
            items: Arc::from(&list.items[start..end]),
            type_name: list.type_name,
        })),
        _ => Ok(Value::Nil),
    }
}

fn length(args: &[Value]) -> Result {
    let item = &args[0];
    match item.plain() {
        Value::String(text) => Ok(text.len().into()),
        Value::List(list) => Ok(list.items.len().into()),
        Value::Map(map) => Ok(map.entries.len().into()),
        Value::Nil => Err("len of nil pointer".to_owned()),
        _ => Err(format!("len of type {}", item.target_type_name())),
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    )
}

fn is_basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::String(_)
    )
}

/// Whether the first is equal to any of the others.
fn equal(args: &[Value]) -> Result<bool> {
    let Some((first, others)) = args.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    let a = first.plain();
    for other in others {
        let b = other.plain();
        let same = match (&a, &b) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Uint(a), Value::Uint(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Int(int), Value::Uint(uint)) | (Value::Uint(uint), Value::Int(int)) => {
                u64::try_from(*int).is_ok_and(|int| int == *uint)
            }
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            (a, b) if is_basic(a) || is_basic(b) => return Err(incompatible(first, other)),
            (Value::Object(a), Value::Object(b)) if a.type_name() == b.type_name() => {
                Value::Object(a.clone()).print() == Value::Object(b.clone()).print()
            }
            (Value::Object(_), Value::Object(_)) => false,
            (_, b) => {
                return Err(format!(
                    "non-comparable type {}: {}",
                    b.print(),
                    other.type_name()
                ));
            }
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(args: &[Value]) -> Result<bool> {
    let (a, b) = (args[0].plain(), args[1].plain());
    let bad = || "invalid type for comparison".to_owned();
    if !is_basic(&a) || !is_basic(&b) {
        return Err(bad());
    }
    Ok(match (&a, &b) {
        (Value::Bool(_), Value::Bool(_)) => return Err(bad()),
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Uint(a), Value::Uint(b)) => a < b,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::String(a), Value::String(b)) => a < b,
        (Value::Int(a), Value::Uint(b)) => u64::try_from(*a).is_ok_and(|a| a < *b) || *a < 0,
        (Value::Uint(a), Value::Int(b)) => u64::try_from(*b).is_ok_and(|b| *a < b),
        _ => return Err(incompatible(&args[0], &args[1])),
    })
}

fn less_or_equal(args: &[Value]) -> Result<bool> {
    Ok(less(args)? || equal(args)?)
}

/// Whether a function value takes these arguments.
pub(crate) fn check_call(function: &Function<'_>, name: &str, args: &[Value]) -> Result<()> {
    let (want, got) = (function.params.len(), args.len());
    match function.rest {
        Some(_) if got < want => {
            return Err(format!(
                "wrong number of args for {name}: got {got} want at least {want}"
            ));
        }
        None if got != want => {
            return Err(format!(
                "wrong number of args for {name}: got {got} want {want}"
            ));
        }
        _ => {}
    }
    for (at, arg) in args.iter().enumerate() {
        let param = function.params.get(at).copied().or(function.rest);
        if let Some(Param::Type(want)) = param
            && arg.type_name() != want
        {
            let got = arg.type_name();
            return Err(format!("arg {at}: value has type {got}; should be {want}"));
        }
    }
    Ok(())
}
