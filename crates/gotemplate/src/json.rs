//! Values as `encoding/json` writes them.

use golang::strconv::format_float;

use crate::{Object, Value};

/// JSON without blanks, with `<`, `>` and `&` escaped, maps in key order.
///
/// # Errors
/// For numbers JSON has not, and functions; Go's words.
pub fn to_json(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value)?;
    Ok(out)
}

fn write(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Uint(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&number(*value)?),
        Value::String(text) | Value::Safe(_, text) => string(out, text),
        Value::Named(_, inner) => write(out, inner)?,
        Value::List(list) => {
            out.push('[');
            for (at, item) in list.items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(k, v)| (&**k, v));
            object(out, entries)?;
        }
        Value::Object(host) => return host_object(out, host.as_ref()),
        Value::Func(_) => {
            let type_name = value.type_name();
            return Err(format!("json: unsupported type: {type_name}"));
        }
    }
    Ok(())
}

fn host_object(out: &mut String, host: &dyn Object) -> Result<(), String> {
    if let Some(value) = host.json().or_else(|| host.underlying()) {
        return write(out, &value);
    }
    let fields = host.json_fields();
    object(out, fields.iter().map(|(name, value)| (*name, value)))
}

fn object<'v>(
    out: &mut String,
    entries: impl Iterator<Item = (&'v str, &'v Value)>,
) -> Result<(), String> {
    out.push('{');
    for (at, (name, value)) in entries.enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        write(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// Plain between 1e-6 and 1e21, else with an exponent of as few digits as it needs.
fn number(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        let shown = format_float(value, 'g', -1, 64);
        return Err(format!("json: unsupported value: {shown}"));
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return Ok(format_float(value, 'f', -1, 64));
    }
    Ok(format_float(value, 'e', -1, 64).replace("e-0", "e-"))
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
