//! The macro that declares a section of `alertmanager.yml`, and what its fields are made of.

/// Declares a section: a struct that decodes strictly, starts from upstream's defaults, and prints
/// in upstream's order.
///
/// Each line is `name: Type = default,`, with `skip "predicate"` where upstream leaves a field out
/// of the printed configuration. The name in front is what users know the type by from messages
/// (`field foo not found in type slack.plain`).
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $go_name:literal $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $default:expr $(, skip $skip:tt)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields, rename = $go_name)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                $(#[serde(skip_serializing_if = $skip)])?
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> $name {
                $name {
                    $($field: $default,)*
                }
            }
        }
    };
}

pub(crate) use settings;

/// Whether a value is what upstream leaves out under `omitempty`.
pub trait Unset {
    /// As Go's zero value, or an empty collection.
    fn unset(&self) -> bool;
}

/// For `skip`: [`Unset::unset`].
pub fn unset<T: Unset>(value: &T) -> bool {
    value.unset()
}

impl Unset for String {
    fn unset(&self) -> bool {
        self.is_empty()
    }
}

impl Unset for bool {
    fn unset(&self) -> bool {
        !self
    }
}

impl Unset for i64 {
    fn unset(&self) -> bool {
        *self == 0
    }
}

impl<T> Unset for Option<T> {
    fn unset(&self) -> bool {
        self.is_none()
    }
}

impl<T> Unset for Vec<T> {
    fn unset(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Unset for std::collections::BTreeMap<K, V> {
    fn unset(&self) -> bool {
        self.is_empty()
    }
}

impl Unset for yaml_config::Secret {
    fn unset(&self) -> bool {
        self.is_empty()
    }
}

impl Unset for yaml_config::Duration {
    fn unset(&self) -> bool {
        self.0.is_zero()
    }
}
