//! Sections that check themselves as they are read, and what upstream leaves out when it prints.

use serde::de::{Deserialize, Deserializer};

/// Whether a value is its type's zero: such fields are not printed (Go's `omitempty`).
pub(crate) fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `null` for a section with defaults is the section without them: Go zeroes a struct where the
/// text says `null`, though it fills in the defaults where the text says nothing.
pub(crate) trait Null {
    /// All fields zero.
    fn null() -> Self;
}

pub(crate) fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Null,
{
    Option::<T>::deserialize(deserializer).map(|section| section.unwrap_or_else(T::null))
}

/// The derived code is reached through the types' own functions (`remote = "Self"`), so that the trait
/// can check what was read.
macro_rules! checked {
    ($($kind:ty),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut value = Self::deserialize(deserializer)?;
                value.check().map_err(serde::de::Error::custom)?;
                Ok(value)
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )*};
}

pub(crate) use checked;
