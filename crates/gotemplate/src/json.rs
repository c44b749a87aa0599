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
    let mut fields = JsonObject::new(out);
    if host.write_json(&mut fields) {
        fields.end();
        return Ok(());
    }
    if let Some(value) = host.json().or_else(|| host.underlying()) {
        return write(out, &value);
    }
    let fields = host.fields();
    object(out, fields.iter().map(|(name, value)| (*name, value)))
}

/// A JSON object that is being written, field by field.
#[derive(Debug)]
pub struct JsonObject<'a> {
    out: &'a mut String,
    begun: bool,
}

impl<'a> JsonObject<'a> {
    fn new(out: &'a mut String) -> JsonObject<'a> {
        JsonObject { out, begun: false }
    }

    fn begin(&mut self, name: &str) {
        self.out.push(if self.begun { ',' } else { '{' });
        self.begun = true;
        string(self.out, name);
        self.out.push(':');
    }

    fn end(self) {
        self.out.push_str(if self.begun { "}" } else { "{}" });
    }

    /// A field with a text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.begin(name);
        string(self.out, text);
    }

    /// A field with an object, or `null` where there is none.
    pub fn object(&mut self, name: &str, fields: Option<impl FnOnce(&mut JsonObject<'_>)>) {
        self.begin(name);
        element(self.out, fields);
    }

    /// A field with a list of objects.
    pub fn list<F: FnOnce(&mut JsonObject<'_>)>(
        &mut self,
        name: &str,
        objects: impl IntoIterator<Item = F>,
    ) {
        self.begin(name);
        self.out.push('[');
        for (at, fields) in objects.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            element(self.out, Some(fields));
        }
        self.out.push(']');
    }
}

fn element(out: &mut String, fields: Option<impl FnOnce(&mut JsonObject<'_>)>) {
    match fields {
        None => out.push_str("null"),
        Some(fields) => {
            let mut object = JsonObject::new(out);
            fields(&mut object);
            object.end();
        }
    }
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
    // What needs no escape is copied as a whole.
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut tail = tail.chars();
        match tail.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\x08') => out.push_str("\\b"),
            Some('\x0c') => out.push_str("\\f"),
            other => out.extend(other.map(|c| format!("\\u{:04x}", u32::from(c)))),
        }
        rest = tail.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn is_escaped(c: char) -> bool {
    c < ' ' || matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}
