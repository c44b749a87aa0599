//! Two structs that share the keys of one mapping, as Go's `yaml:",inline"`.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::de::INLINE;

/// The fields of `A` and of `B` side by side in one mapping: `Inline<ScrapeConfig, HttpClientConfig>`.
/// A key that neither has is an unknown field of `A`. Dereferences to `A`. Nests:
/// `Inline<Inline<A, B>, C>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inline<A, B> {
    /// The section itself.
    pub own: A,
    /// What is inlined into it.
    pub inlined: B,
}

impl<A, B> Deref for Inline<A, B> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.own
    }
}

impl<A, B> DerefMut for Inline<A, B> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.own
    }
}

impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> Deserialize<'de> for Inline<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InlineVisitor<A, B>(PhantomData<(A, B)>);

        impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> Visitor<'de> for InlineVisitor<A, B> {
            type Value = Inline<A, B>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Inline<A, B>, S::Error> {
                let missing = || serde::de::Error::custom("only YAML can be inlined");
                Ok(Inline {
                    own: seq.next_element()?.ok_or_else(missing)?,
                    inlined: seq.next_element()?.ok_or_else(missing)?,
                })
            }
        }

        deserializer.deserialize_tuple_struct(INLINE, 2, InlineVisitor(PhantomData))
    }
}

impl<A: Serialize, B: Serialize> Serialize for Inline<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Through the tree, as a struct's fields cannot be had in any other way.
        let fail = |error: crate::Error| serde::ser::Error::custom(error);
        let mut map = serializer.serialize_map(None)?;
        for half in [
            crate::emit::tree(&self.own),
            crate::emit::tree(&self.inlined),
        ] {
            for (key, value) in half.and_then(crate::emit::Tree::into_pairs).map_err(fail)? {
                map.serialize_entry(&key, &value)?;
            }
        }
        map.end()
    }
}
