//! The values templates work on, with the types Go would have for them.

pub(crate) mod time;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use golang::fmt::{Arg, Kind};

use crate::{Function, JsonObject, Safe};

/// A value. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value.
    #[default]
    Nil,
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Go's `uint`.
    Uint(u64),
    /// Go's `float64`.
    Float(f64),
    String(Arc<str>),
    /// Text that is already safe in some place of an HTML page.
    Safe(Safe, Arc<str>),
    List(List),
    Map(Map),
    /// A value of another named type with the same kind: `int64`, `time.Month`.
    Named(&'static str, Box<Value>),
    Object(Arc<dyn Object>),
    Func(Arc<Function<'static>>),
}

/// Values in order.
#[derive(Clone, Debug)]
pub struct List {
    pub items: Arc<[Value]>,
    /// The Go type: `[]string`, `[]interface {}`.
    pub type_name: &'static str,
}

/// Values by string.
#[derive(Clone, Debug)]
pub struct Map {
    pub entries: Arc<BTreeMap<Arc<str>, Value>>,
    /// The Go type: `map[string]string`.
    pub type_name: &'static str,
    /// The zero value of the element type: what a missing key gives to `index`, and with
    /// `missingkey=zero`.
    pub zero: Box<Value>,
}

/// A host type: what of it templates see.
pub trait Object: fmt::Debug + Send + Sync {
    /// The Go type's name, `*template.Data` or `template.KV`.
    fn type_name(&self) -> &'static str;

    /// An exported field.
    fn field(&self, name: &str) -> Option<Value> {
        let mut fields = self.fields().into_iter();
        fields.find(|(known, _)| *known == name).map(|(_, v)| v)
    }

    /// All fields, in order of declaration.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// A method, bound to this value.
    fn method(&self, _name: &str) -> Option<Function<'static>> {
        None
    }

    /// The list, map or scalar that this type is another name for.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// What the `String()` or `Error()` method returns, of types that have one.
    fn text(&self) -> Option<String> {
        None
    }

    /// What JSON shows instead of the underlying value or the fields.
    fn json(&self) -> Option<Value> {
        None
    }

    /// Writes the JSON itself, for types that have much to say or other names in JSON; false where
    /// the value, the underlying one or the fields are shown.
    fn write_json(&self, _out: &mut JsonObject<'_>) -> bool {
        false
    }

    /// For hosts to get their own type back.
    fn as_any(&self) -> &dyn std::any::Any;
}

impl Value {
    /// A list of anything, `[]interface {}`.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::typed_list("[]interface {}", items)
    }

    /// A list of strings, `[]string`.
    pub fn strings<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::typed_list(
            "[]string",
            items.into_iter().map(|s| Value::from(s.as_ref())),
        )
    }

    /// A list of a Go type.
    pub fn typed_list(type_name: &'static str, items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(List {
            items: items.into_iter().collect(),
            type_name,
        })
    }

    /// A map of anything, `map[string]interface {}`.
    pub fn map<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(Map {
            entries: Arc::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect()),
            type_name: "map[string]interface {}",
            zero: Box::new(Value::Nil),
        })
    }

    /// A map of strings, `map[string]string`.
    pub fn string_map<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> Value
    where
        K: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let entry = |(k, v): (K, V)| (k.into(), Value::String(v.into()));
        Value::Map(Map {
            entries: Arc::new(entries.into_iter().map(entry).collect()),
            type_name: "map[string]string",
            zero: Box::new(Value::from("")),
        })
    }

    /// A host's object.
    pub fn object(object: impl Object + 'static) -> Value {
        Value::Object(Arc::new(object))
    }

    /// The host type `T`, if this is one.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        match self {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The text of a string, whatever its type's name.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Safe(_, text) => Some(text),
            Value::Named(_, inner) => inner.as_str(),
            _ => None,
        }
    }

    /// The type as Go names it.
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Safe(safe, _) => safe.type_name(),
            Value::List(list) => list.type_name,
            Value::Map(map) => map.type_name,
            Value::Named(name, _) => name,
            Value::Object(object) => object.type_name(),
            Value::Func(_) => "func(...interface {}) (interface {}, error)",
        })
    }

    /// The value without its type's name: scalars, lists, maps, and objects that are nothing else.
    pub fn plain(&self) -> Value {
        match self {
            Value::Named(_, inner) => inner.plain(),
            Value::Safe(_, text) => Value::String(Arc::clone(text)),
            Value::Object(object) => match object.underlying() {
                Some(value) => value.plain(),
                None => self.clone(),
            },
            other => other.clone(),
        }
    }

    /// Go templates' truth: not zero, not empty, not nil.
    pub fn is_true(&self) -> bool {
        match self.plain() {
            Value::Nil => false,
            Value::Bool(value) => value,
            Value::Int(value) => value != 0,
            Value::Uint(value) => value != 0,
            Value::Float(value) => value != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            _ => true,
        }
    }

    /// The value as package fmt sees it.
    pub fn to_arg(&self) -> Arg {
        let kind = match self {
            Value::Nil => return Arg::nil(),
            Value::Bool(value) => Kind::Bool(*value),
            Value::Int(value) => Kind::Int(*value),
            Value::Uint(value) => Kind::Uint(*value),
            Value::Float(value) => Kind::Float(*value),
            Value::String(text) | Value::Safe(_, text) => Kind::String(text.to_string()),
            Value::List(list) => Kind::List(list.items.iter().map(Value::to_arg).collect()),
            Value::Map(map) => {
                let entry = |(k, v): (&Arc<str>, &Value)| (Arg::from(&**k), v.to_arg());
                Kind::Map(map.entries.iter().map(entry).collect())
            }
            Value::Named(name, inner) => return Arg::new(*name, inner.to_arg().kind),
            Value::Object(object) => return object_arg(object.as_ref()),
            Value::Func(_) => Kind::Func,
        };
        Arg::new(self.type_name(), kind)
    }

    /// The value as `{{ . }}` prints it.
    pub fn print(&self) -> String {
        match self {
            Value::Nil => "<no value>".to_owned(),
            Value::String(text) | Value::Safe(_, text) => text.to_string(),
            other => golang::fmt::sprint(&[other.to_printed_arg()]),
        }
    }

    /// As [`Value::to_arg`], but a pointer without a text of its own is what it points to.
    pub(crate) fn to_printed_arg(&self) -> Arg {
        match self.to_arg() {
            Arg {
                kind: Kind::Pointer(Some(target)),
                text: None,
                ..
            } => *target,
            arg => arg,
        }
    }

    /// The type as Go names it behind a pointer.
    pub(crate) fn target_type_name(&self) -> Cow<'static, str> {
        match self.type_name() {
            Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix('*').unwrap_or(name)),
            owned => owned,
        }
    }
}

fn object_arg(object: &dyn Object) -> Arg {
    let kind = match object.underlying() {
        Some(value) => value.to_arg().kind,
        None => {
            let fields = object.fields().into_iter();
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_arg()));
            let target = Kind::Struct(fields.collect());
            match object.type_name().strip_prefix('*') {
                Some(name) => Kind::Pointer(Some(Box::new(Arg::new(name, target)))),
                None => target,
            }
        }
    };
    let arg = Arg::new(object.type_name(), kind);
    match object.text() {
        Some(text) => arg.with_text(text),
        None => arg,
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Value {
        Value::String(value)
    }
}
