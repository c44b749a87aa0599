//! Values to YAML as Go's package prints them (go-yaml v2 `encode.go`).

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::error::{Error, Kind};
use crate::resolve::{Resolved, looks_sexagesimal, resolve};

/// Prints a value as a YAML document: two spaces, block style, fields in their order, strings plain
/// where that is safe.
///
/// # Errors
/// What the value's own `Serialize` refuses, or a map whose keys are no scalars.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let tree = tree(value)?;
    let mut out = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut out);
    emitter.set_unicode(true);
    let mut events = vec![
        Event::stream_start(Encoding::Utf8),
        Event::document_start(None, &[], true),
    ];
    tree.events(&mut events);
    events.push(Event::document_end(true));
    events.push(Event::stream_end());
    for event in events {
        emitter
            .emit(event)
            .map_err(|error| Error::new(Kind::Value, error.to_string()))?;
    }
    drop(emitter);
    String::from_utf8(out).map_err(|error| Error::new(Kind::Value, error.to_string()))
}

/// A value on its way to text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    /// A null, boolean or number in its only spelling.
    Plain(String),
    Text(String),
    Sequence(Vec<Tree>),
    Mapping(Vec<(Tree, Tree)>),
}

pub(crate) fn tree<T: Serialize + ?Sized>(value: &T) -> Result<Tree, Error> {
    value.serialize(TreeSerializer)
}

impl Tree {
    /// The pairs of a mapping; of null none.
    pub fn into_pairs(self) -> Result<Vec<(Tree, Tree)>, Error> {
        match self {
            Tree::Mapping(pairs) => Ok(pairs),
            Tree::Plain(text) if text == "null" => Ok(Vec::new()),
            _ => Err(Error::new(Kind::Value, "only mappings can be inlined")),
        }
    }

    fn events(&self, out: &mut Vec<Event>) {
        match self {
            Tree::Plain(text) => {
                out.push(Event::scalar(
                    None,
                    None,
                    text,
                    true,
                    true,
                    ScalarStyle::Plain,
                ));
            }
            Tree::Text(text) => {
                let style =
                    if resolve(text) != Resolved::Text || looks_sexagesimal(text) || text == "<<" {
                        ScalarStyle::DoubleQuoted
                    } else if text.contains('\n') {
                        ScalarStyle::Literal
                    } else {
                        ScalarStyle::Plain
                    };
                out.push(Event::scalar(None, None, text, true, true, style));
            }
            Tree::Sequence(items) => {
                out.push(Event::sequence_start(
                    None,
                    None,
                    true,
                    SequenceStyle::Block,
                ));
                items.iter().for_each(|item| item.events(out));
                out.push(Event::sequence_end());
            }
            Tree::Mapping(pairs) => {
                out.push(Event::mapping_start(None, None, true, MappingStyle::Block));
                for (key, value) in pairs {
                    key.events(out);
                    value.events(out);
                }
                out.push(Event::mapping_end());
            }
        }
    }
}

/// A tree inside another value (see `Inline`).
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Plain(text) => match resolve(text) {
                Resolved::Bool(value) => serializer.serialize_bool(value),
                Resolved::Int(value) => serializer.serialize_i64(value),
                Resolved::Uint(value) => serializer.serialize_u64(value),
                Resolved::Float(value) => serializer.serialize_f64(value),
                Resolved::Null | Resolved::Text => serializer.serialize_unit(),
            },
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::Sequence(items) => items.serialize(serializer),
            Tree::Mapping(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    // Go's 'g' with the shortest digits: an exponent of at least two digits below -4 and from 21 on.
    let exponent = if value == 0.0 {
        0
    } else {
        let scientific = format!("{value:e}");
        scientific
            .split_once('e')
            .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
            .unwrap_or(0)
    };
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e') {
        Some((digits, _)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        None => scientific,
    }
}

struct TreeSerializer;

/// Collects the items or pairs of a collection; `variant` wraps the result of an enum's variant.
struct Collect {
    items: Vec<Tree>,
    pairs: Vec<(Tree, Tree)>,
    key: Option<Tree>,
    variant: Option<&'static str>,
}

impl Collect {
    fn new(variant: Option<&'static str>) -> Collect {
        Collect {
            items: Vec::new(),
            pairs: Vec::new(),
            key: None,
            variant,
        }
    }

    fn wrap(variant: Option<&'static str>, tree: Tree) -> Tree {
        match variant {
            Some(name) => Tree::Mapping(vec![(Tree::Text(name.to_owned()), tree)]),
            None => tree,
        }
    }

    fn sequence(self) -> Tree {
        Collect::wrap(self.variant, Tree::Sequence(self.items))
    }

    fn mapping(self) -> Tree {
        Collect::wrap(self.variant, Tree::Mapping(self.pairs))
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.items.push(tree(value)?);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.pairs.push((Tree::Text(name.to_owned()), tree(value)?));
        Ok(())
    }
}

macro_rules! plain {
    ($($method:ident $kind:ty),* $(,)?) => {$(
        fn $method(self, value: $kind) -> Result<Tree, Error> {
            Ok(Tree::Plain(value.to_string()))
        }
    )*};
}

impl Serializer for TreeSerializer {
    type Ok = Tree;
    type Error = Error;
    type SerializeSeq = Collect;
    type SerializeTuple = Collect;
    type SerializeTupleStruct = Collect;
    type SerializeTupleVariant = Collect;
    type SerializeMap = Collect;
    type SerializeStruct = Collect;
    type SerializeStructVariant = Collect;

    plain! {
        serialize_bool bool,
        serialize_i8 i8,
        serialize_i16 i16,
        serialize_i32 i32,
        serialize_i64 i64,
        serialize_u8 u8,
        serialize_u16 u16,
        serialize_u32 u32,
        serialize_u64 u64,
    }

    fn serialize_f32(self, value: f32) -> Result<Tree, Error> {
        Ok(Tree::Plain(float(f64::from(value))))
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, Error> {
        Ok(Tree::Plain(float(value)))
    }

    fn serialize_char(self, value: char) -> Result<Tree, Error> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Error> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Tree, Error> {
        Err(Error::new(Kind::Value, "bytes cannot be written as YAML"))
    }

    fn serialize_none(self) -> Result<Tree, Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Error> {
        tree(value)
    }

    fn serialize_unit(self) -> Result<Tree, Error> {
        Ok(Tree::Plain("null".to_owned()))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Tree, Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Tree, Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Error> {
        tree(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, Error> {
        Ok(Collect::wrap(Some(variant), tree(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Collect, Error> {
        Ok(Collect::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Collect, Error> {
        Ok(Collect::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Collect, Error> {
        Ok(Collect::new(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Collect, Error> {
        Ok(Collect::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Collect, Error> {
        Ok(Collect::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Collect, Error> {
        Ok(Collect::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Collect, Error> {
        Ok(Collect::new(Some(variant)))
    }
}

macro_rules! sequences {
    ($($kind:ident $method:ident),* $(,)?) => {$(
        impl $kind for Collect {
            type Ok = Tree;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<Tree, Error> {
                Ok(self.sequence())
            }
        }
    )*};
}

sequences! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! structs {
    ($($kind:ident),* $(,)?) => {$(
        impl $kind for Collect {
            type Ok = Tree;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<Tree, Error> {
                Ok(self.mapping())
            }
        }
    )*};
}

structs! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Collect {
    type Ok = Tree;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        match tree(key)? {
            key @ (Tree::Plain(_) | Tree::Text(_)) => {
                self.key = Some(key);
                Ok(())
            }
            _ => Err(Error::new(Kind::Value, "the key of a map must be a scalar")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self
            .key
            .take()
            .ok_or_else(|| Error::new(Kind::Value, "a value without its key"))?;
        self.pairs.push((key, tree(value)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Error> {
        Ok(self.mapping())
    }
}
