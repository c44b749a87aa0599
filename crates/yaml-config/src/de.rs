//! Decoding a tree into types, by the type of the field (go-yaml v2 `decode.go`, strict).

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::error::{Error, Kind, one_of};
use crate::node::{self, Data, Node, Scalar, Value};
use crate::resolve::{Resolved, resolve};

/// Names of newtype structs and tuple structs this crate's own types ask by.
pub(crate) const SPANNED: &str = "$yaml_config::Spanned";
pub(crate) const TEXT: &str = "$yaml_config::Text";
pub(crate) const VALUE: &str = "$yaml_config::Value";
pub(crate) const INLINE: &str = "$yaml_config::Inline";

/// How often nodes may be visited in relation to those in the text: aliases of aliases grow without
/// bound. The free allowance is go-yaml's.
const FREE_VISITS: u64 = 400_000;
const VISITS_PER_NODE: u64 = 100;

thread_local! {
    /// Carries a node past serde's data model, from `deserialize_newtype_struct` to the visitor that
    /// it calls at once.
    pub(crate) static HANDED_OVER: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// Decodes the first document of a text; further documents are not looked at, as Go's `Unmarshal`.
/// An empty text is `null`: the zero value of every type.
///
/// # Errors
/// [`Error`] with the place.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    decode(&node::parse(text, false)?.0, text.len(), false)
}

/// [`from_str`] that passes over unknown fields: promtool's `--ignore-unknown-fields`.
///
/// # Errors
/// [`Error`] with the place.
pub fn from_str_ignoring_unknown<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    decode(&node::parse(text, false)?.0, text.len(), true)
}

/// [`from_str`] for a text that may hold one document only.
///
/// # Errors
/// Also if a second document follows.
pub fn from_str_one<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let (node, more) = node::parse(text, true)?;
    if more {
        return Err(Error::new(
            Kind::Syntax,
            "expected one document, found more",
        ));
    }
    decode(&node, text.len(), false)
}

/// Decodes a part that was kept as a [`Value`].
///
/// # Errors
/// As [`from_str`]; paths begin at this value.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    decode(&value.0, 0, false)
}

fn decode<T: DeserializeOwned>(
    node: &Node,
    text_len: usize,
    ignore_unknown: bool,
) -> Result<T, Error> {
    let context = Context {
        ignore_unknown,
        errors: RefCell::default(),
        path: RefCell::default(),
        // Every node takes at least one byte of the text.
        visits_left: Cell::new(FREE_VISITS + text_len as u64 * VISITS_PER_NODE),
    };
    let result = T::deserialize(De::new(node, &context));
    let mut errors = context.errors.take();
    match result {
        Ok(value) if errors.is_empty() => Ok(value),
        Ok(_) => Err(Error::join(errors).expect("not empty in this arm")),
        Err(error) => {
            let error = error.at(node.line, node.column);
            // A type's own check of a section with unknown fields says less than they do.
            if errors.is_empty() || error.kind() == Kind::Type {
                errors.push(error);
            }
            Err(Error::join(errors).expect("never empty here"))
        }
    }
}

/// What all parts of one decoding share.
struct Context {
    /// Whether unknown fields are passed over.
    ignore_unknown: bool,
    /// Errors after which decoding goes on: unknown fields, keys given twice.
    errors: RefCell<Vec<Error>>,
    path: RefCell<Vec<Segment>>,
    visits_left: Cell<u64>,
}

enum Segment {
    Key(String),
    Index(usize),
}

impl Context {
    fn path(&self) -> String {
        let mut out = String::new();
        for segment in &*self.path.borrow() {
            match segment {
                Segment::Key(key) if out.is_empty() => out.push_str(key),
                Segment::Key(key) => {
                    out.push('.');
                    out.push_str(key);
                }
                Segment::Index(index) => out.push_str(&format!("[{index}]")),
            }
        }
        out
    }

    fn note(&self, error: Error, node: &Node) {
        let error = error.at(node.line, node.column).in_field(self.path());
        self.errors.borrow_mut().push(error);
    }

    /// Decodes a child; an error without a place gets the child's.
    fn child<'a, 'de, S: DeserializeSeed<'de>>(
        &'a self,
        segment: Segment,
        node: &'a Node,
        seed: S,
    ) -> Result<S::Value, Error> {
        self.enter(segment);
        match seed.deserialize(De::new(node, self)) {
            Ok(value) => {
                self.leave();
                Ok(value)
            }
            Err(error) => Err(self.leave_failed(node, error)),
        }
    }

    #[inline(never)]
    fn enter(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    #[inline(never)]
    fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    #[inline(never)]
    fn leave_failed(&self, node: &Node, error: Error) -> Error {
        let error = error.at(node.line, node.column).in_field(self.path());
        self.leave();
        error
    }
}

/// Decodes one node.
struct De<'a> {
    node: &'a Node,
    context: &'a Context,
    /// Set while several structs share the keys of one mapping.
    shared: Option<&'a Shared>,
}

/// The keys of a mapping that several structs share ([`crate::Inline`]).
#[derive(Default)]
struct Shared {
    claimed: RefCell<HashSet<String>>,
    /// The first struct's name and all fields, for messages.
    name: Cell<Option<&'static str>>,
    fields: RefCell<Vec<&'static str>>,
}

impl Shared {
    fn claim(&self, pairs: &[Pair<'_>]) {
        let keys = pairs.iter().map(|pair| pair.0.to_owned());
        self.claimed.borrow_mut().extend(keys);
    }
}

impl<'a> De<'a> {
    fn new(node: &'a Node, context: &'a Context) -> De<'a> {
        De {
            node,
            context,
            shared: None,
        }
    }

    fn resolved(&self) -> Option<Resolved> {
        match &self.node.data {
            Data::Scalar(scalar) => Some(resolved(scalar)),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.resolved() == Some(Resolved::Null)
    }

    fn mismatch(&self, into: &str) -> Error {
        let what = match &self.node.data {
            Data::Sequence(_) => "!!seq".to_owned(),
            Data::Mapping(_) => "!!map".to_owned(),
            Data::Scalar(scalar) => {
                let tag = match &scalar.tag {
                    Some(tag) => tag.replace("tag:yaml.org,2002:", "!!"),
                    None => resolved(scalar).tag().to_owned(),
                };
                format!("{tag} `{}`", shorten(&scalar.text))
            }
        };
        Error::new(Kind::Type, format!("cannot unmarshal {what} into {into}"))
    }

    /// The text of any scalar; the zero value "" of `null`.
    fn text(&self, into: &str) -> Result<&'a str, Error> {
        match &self.node.data {
            Data::Scalar(_) if self.is_null() => Ok(""),
            Data::Scalar(scalar) => Ok(&scalar.text),
            _ => Err(self.mismatch(into)),
        }
    }

    fn signed<T: TryFrom<i64> + Default>(&self, into: &str) -> Result<T, Error> {
        let value = match self.resolved() {
            Some(Resolved::Null) => return Ok(T::default()),
            Some(Resolved::Int(value)) => Some(value),
            // Go cuts the fraction off.
            Some(Resolved::Float(value)) if value.abs() < i64::MAX as f64 => Some(value as i64),
            _ => None,
        };
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.mismatch(into))
    }

    fn unsigned<T: TryFrom<u64> + Default>(&self, into: &str) -> Result<T, Error> {
        let value = match self.resolved() {
            Some(Resolved::Null) => return Ok(T::default()),
            Some(Resolved::Int(value)) => u64::try_from(value).ok(),
            Some(Resolved::Uint(value)) => Some(value),
            Some(Resolved::Float(value)) if (0.0..u64::MAX as f64).contains(&value) => {
                Some(value as u64)
            }
            _ => None,
        };
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.mismatch(into))
    }

    fn float(&self, into: &str) -> Result<f64, Error> {
        match self.resolved() {
            Some(Resolved::Null) => Ok(0.0),
            Some(Resolved::Int(value)) => Ok(value as f64),
            Some(Resolved::Uint(value)) => Ok(value as f64),
            Some(Resolved::Float(value)) => Ok(value),
            _ => Err(self.mismatch(into)),
        }
    }

    fn visited(&self) -> Result<(), Error> {
        let left = self.context.visits_left.get();
        if left == 0 {
            return Err(Error::new(
                Kind::Syntax,
                "document contains excessive aliasing",
            ));
        }
        self.context.visits_left.set(left - 1);
        Ok(())
    }

    /// The pairs of a mapping that become a map. What does not depend on the type that is decoded is not
    /// in the generic functions: these are in the program once for every type.
    #[inline(never)]
    fn map_pairs(&self) -> Result<Pairs<'a>, Error> {
        self.visited()?;
        let Some(pairs) = self.pairs(None)? else {
            return Err(self.mismatch("a map"));
        };
        if let Some(shared) = self.shared {
            shared.claim(&pairs);
        }
        Ok(Pairs::new(pairs, self.context))
    }

    /// The pairs of a mapping that become the fields of a struct; complains about others.
    #[inline(never)]
    fn struct_pairs(
        &self,
        name: &'static str,
        fields: &'static [&'static str],
    ) -> Result<Pairs<'a>, Error> {
        self.visited()?;
        let Some(mut pairs) = self.pairs(Some(name))? else {
            return Err(self.mismatch(name));
        };
        if let Some(shared) = self.shared {
            pairs.retain(|pair| fields.contains(&pair.0));
            shared.claim(&pairs);
            shared.fields.borrow_mut().extend(fields);
            if shared.name.get().is_none() {
                shared.name.set(Some(name));
            }
        } else {
            pairs.retain(|(key, node, _)| {
                let known = fields.contains(key);
                if !known && !self.context.ignore_unknown {
                    self.context.note(unknown_field(key, name, fields), node);
                }
                known
            });
        }
        Ok(Pairs::new(pairs, self.context))
    }

    #[inline(never)]
    fn items(&self) -> Result<Items<'a>, Error> {
        self.visited()?;
        let items: &[Node] = match &self.node.data {
            Data::Sequence(items) => items,
            _ if self.is_null() => &[],
            _ => return Err(self.mismatch("a list")),
        };
        Ok(Items {
            items,
            next: 0,
            context: self.context,
        })
    }

    /// The text of a scalar, or the bytes of a `!!binary` one.
    #[inline(never)]
    fn text_or_bytes(&self) -> Result<Result<&'a str, &'a [u8]>, Error> {
        self.visited()?;
        if let Data::Scalar(Scalar {
            binary: Some(bytes),
            ..
        }) = &self.node.data
        {
            return Ok(Err(bytes));
        }
        self.text("string").map(Ok)
    }

    /// Complains about the keys that none of the structs sharing a mapping has claimed.
    #[inline(never)]
    fn check_claimed(&self, shared: &Shared) -> Result<(), Error> {
        let context = self.context;
        let claimed = shared.claimed.borrow();
        // Keys given twice have been noted by the structs; noting them again would double them.
        let known = context.errors.borrow().len();
        let pairs = self.pairs(shared.name.get())?.unwrap_or_default();
        context.errors.borrow_mut().truncate(known);
        for (key, node, _) in pairs {
            if !claimed.contains(key) && !context.ignore_unknown {
                let fields = shared.fields.borrow();
                context.note(
                    unknown_field(key, shared.name.get().unwrap_or_default(), &fields),
                    node,
                );
            }
        }
        Ok(())
    }

    /// The pairs of a mapping with merge keys worked in; `None` if the node is neither a mapping nor
    /// null. `struct_name` words the complaint about a key that is given twice.
    fn pairs(&self, struct_name: Option<&str>) -> Result<Option<Vec<Pair<'a>>>, Error> {
        match &self.node.data {
            _ if self.is_null() => Ok(Some(Vec::new())),
            Data::Mapping(mapping) => {
                let mut pairs = Vec::with_capacity(mapping.len());
                let mut seen: HashSet<&str> = HashSet::with_capacity(mapping.len());
                let mut merges = Vec::new();
                for (key, value) in mapping.iter() {
                    let Some(name) = key_text(key) else {
                        let message = "invalid map key: not a scalar";
                        return Err(Error::new(Kind::Type, message).at(key.line, key.column));
                    };
                    if is_merge(key) {
                        merges.push(value);
                    } else if seen.insert(name) {
                        pairs.push((name, key, value));
                    } else {
                        let message = match struct_name {
                            Some(of) => format!("field {name} already set in type {of}"),
                            None => {
                                format!("key {} already set in map", golang::strconv::quote(name))
                            }
                        };
                        self.context.note(Error::new(Kind::Type, message), key);
                    }
                }
                for value in merges {
                    merge(value, &mut pairs, &mut seen)?;
                }
                Ok(Some(pairs))
            }
            _ => Ok(None),
        }
    }
}

/// A key's text, the key, the value.
type Pair<'a> = (&'a str, &'a Node, &'a Node);

fn merge<'a>(
    value: &'a Node,
    pairs: &mut Vec<Pair<'a>>,
    seen: &mut HashSet<&'a str>,
) -> Result<(), Error> {
    let wrong = || {
        Error::new(
            Kind::Type,
            "map merge requires map or sequence of maps as the value",
        )
        .at(value.line, value.column)
    };
    match &value.data {
        Data::Mapping(mapping) => {
            let mut further = Vec::new();
            for (key, value) in mapping.iter() {
                let name = key_text(key).ok_or_else(wrong)?;
                if is_merge(key) {
                    further.push(value);
                } else if seen.insert(name) {
                    pairs.push((name, key, value));
                }
            }
            further
                .into_iter()
                .try_for_each(|value| merge(value, pairs, seen))
        }
        Data::Sequence(items)
            if items
                .iter()
                .all(|item| matches!(item.data, Data::Mapping(_))) =>
        {
            items.iter().try_for_each(|item| merge(item, pairs, seen))
        }
        _ => Err(wrong()),
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.data, Data::Scalar(scalar) if scalar.plain && &*scalar.text == "<<")
}

fn key_text(key: &Node) -> Option<&str> {
    match &key.data {
        Data::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

fn resolved(scalar: &Scalar) -> Resolved {
    match scalar.tag.as_deref() {
        None if scalar.plain => resolve(&scalar.text),
        None => Resolved::Text,
        Some("tag:yaml.org,2002:str") => Resolved::Text,
        Some("tag:yaml.org,2002:float") => match resolve(&scalar.text) {
            Resolved::Int(value) => Resolved::Float(value as f64),
            other => other,
        },
        Some(tag) if tag.starts_with("tag:yaml.org,2002:") => resolve(&scalar.text),
        // A tag of somebody's own says nothing about the type.
        Some(_) => Resolved::Text,
    }
}

/// go-yaml shows at most ten bytes of a value.
fn shorten(text: &str) -> String {
    if text.len() <= 10 {
        return text.to_owned();
    }
    let mut end = 7;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

macro_rules! integers {
    ($($method:ident $visit:ident $read:ident $go:literal),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visited()?;
            visitor.$visit(self.$read($go)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visited()?;
        match &self.node.data {
            Data::Sequence(_) => self.deserialize_seq(visitor),
            Data::Mapping(_) => self.deserialize_map(visitor),
            Data::Scalar(scalar) => match resolved(scalar) {
                Resolved::Null => visitor.visit_unit(),
                Resolved::Bool(value) => visitor.visit_bool(value),
                Resolved::Int(value) => visitor.visit_i64(value),
                Resolved::Uint(value) => visitor.visit_u64(value),
                Resolved::Float(value) => visitor.visit_f64(value),
                Resolved::Text => visitor.visit_str(&scalar.text),
            },
        }
    }

    integers! {
        deserialize_i8 visit_i8 signed "int8",
        deserialize_i16 visit_i16 signed "int16",
        deserialize_i32 visit_i32 signed "int32",
        deserialize_i64 visit_i64 signed "int64",
        deserialize_u8 visit_u8 unsigned "uint8",
        deserialize_u16 visit_u16 unsigned "uint16",
        deserialize_u32 visit_u32 unsigned "uint32",
        deserialize_u64 visit_u64 unsigned "uint64",
        deserialize_f64 visit_f64 float "float64",
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f32(self.float("float32")? as f32)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.resolved() {
            Some(Resolved::Null) => visitor.visit_bool(false),
            Some(Resolved::Bool(value)) => visitor.visit_bool(value),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("string")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text_or_bytes()? {
            Ok(text) => visitor.visit_str(text),
            Err(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(self.text("[]byte")?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_unit()
        } else {
            Err(self.mismatch("null"))
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            TEXT => match &self.node.data {
                Data::Scalar(_) if self.is_null() => visitor.visit_unit(),
                Data::Scalar(scalar) if scalar.binary.is_some() => {
                    Err(Error::new(Kind::Type, "!!binary value is no text"))
                }
                Data::Scalar(scalar) => visitor.visit_str(&scalar.text),
                _ => Err(self.mismatch("string")),
            },
            VALUE => {
                HANDED_OVER.set(Some(self.node.clone()));
                visitor.visit_unit()
            }
            SPANNED => visitor.visit_seq(SpannedAccess {
                de: Some(self),
                part: 0,
            }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.items()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match &self.node.data {
            Data::Sequence(items) if items.len() != len => Err(Error::new(
                Kind::Type,
                format!("invalid array: want {len} elements but got {}", items.len()),
            )),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != INLINE {
            return self.deserialize_tuple(len, visitor);
        }
        // An outer sharing settles the keys that nobody claimed.
        if self.shared.is_some() {
            return visitor.visit_seq(InlineAccess { de: self, part: 0 });
        }
        let shared = Shared::default();
        let De { node, context, .. } = self;
        let inner = De {
            node,
            context,
            shared: Some(&shared),
        };
        let value = visitor.visit_seq(InlineAccess { de: inner, part: 0 })?;
        De::new(node, context).check_claimed(&shared)?;
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.map_pairs()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.struct_pairs(name, fields)?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.data {
            Data::Scalar(scalar) => visitor.visit_enum((&*scalar.text).into_deserializer()),
            Data::Mapping(pairs) if pairs.len() == 1 => {
                let (key, value) = &pairs[0];
                visitor.visit_enum(Variant {
                    name: key_text(key).ok_or_else(|| self.mismatch(name))?,
                    value: De::new(value, self.context),
                })
            }
            _ => Err(self.mismatch(name)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // The name of a field, which `struct_pairs` has looked at.
        self.visited()?;
        visitor.visit_str(self.text("string")?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

fn unknown_field(key: &str, name: &str, fields: &[&str]) -> Error {
    Error::new(Kind::Type, format!("field {key} not found in type {name}"))
        .expecting(one_of(key, fields))
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
    context: &'a Context,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.items.get(self.next) else {
            return Ok(None);
        };
        let segment = Segment::Index(self.next);
        self.next += 1;
        self.context.child(segment, item, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Pairs<'a> {
    pairs: std::vec::IntoIter<Pair<'a>>,
    value: Option<(&'a str, &'a Node)>,
    context: &'a Context,
}

impl<'a> Pairs<'a> {
    fn new(pairs: Vec<Pair<'a>>, context: &'a Context) -> Pairs<'a> {
        Pairs {
            pairs: pairs.into_iter(),
            value: None,
            context,
        }
    }

    #[inline(never)]
    fn next_key(&mut self) -> Option<(Segment, &'a Node)> {
        let (name, key, value) = self.pairs.next()?;
        self.value = Some((name, value));
        Some((Segment::Key(name.to_owned()), key))
    }

    #[inline(never)]
    fn next_value(&mut self) -> (Segment, &'a Node) {
        let (name, value) = (self.value.take()).expect("serde asks for a value after its key");
        (Segment::Key(name.to_owned()), value)
    }
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some((segment, key)) = self.next_key() else {
            return Ok(None);
        };
        self.context.child(segment, key, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (segment, value) = self.next_value();
        self.context.child(segment, value, seed)
    }
}

/// Line, column, value.
struct SpannedAccess<'a> {
    de: Option<De<'a>>,
    part: u8,
}

impl<'de> SeqAccess<'de> for SpannedAccess<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(node) = self.de.as_ref().map(|de| de.node) else {
            return Ok(None);
        };
        self.part += 1;
        match self.part {
            1 => seed.deserialize(node.line.into_deserializer()).map(Some),
            2 => seed.deserialize(node.column.into_deserializer()).map(Some),
            _ => self.de.take().map(|de| seed.deserialize(de)).transpose(),
        }
    }
}

struct InlineAccess<'a> {
    de: De<'a>,
    part: u8,
}

impl<'de> SeqAccess<'de> for InlineAccess<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.part += 1;
        if self.part > 2 {
            return Ok(None);
        }
        let part = De {
            node: self.de.node,
            context: self.de.context,
            shared: self.de.shared,
        };
        seed.deserialize(part).map(Some)
    }
}

struct Variant<'a> {
    name: &'a str,
    value: De<'a>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = De<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, De<'a>), Error> {
        Ok((seed.deserialize(self.name.into_deserializer())?, self.value))
    }
}

impl<'de> VariantAccess<'de> for De<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.is_null() {
            Ok(())
        } else {
            Err(self.mismatch("null"))
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("struct", fields, visitor)
    }
}
