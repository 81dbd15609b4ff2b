//! The domain's nested types as JSON columns. The domain has no serde, so each type has a mirror here (`#[serde(remote)]`).
//!
//! A mirror names every field of its type, and the derived reader builds the type field by field: a field that the domain
//! gains does not compile until it is decided on here. A field that a row lacks gets its default, so that a row of an older
//! version is still readable. The field names are camelCase because other programs read them, with SQLite's JSON functions.

mod config;
mod health;
mod host_config;
mod mounts;
mod network;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A type of the domain that can be written as JSON and read back without loss.
pub(crate) trait Mirror: Sized {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// The JSON text of `value`.
pub(crate) fn to_text<T: Mirror>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Out(value))
}

/// The value that `text` describes.
pub(crate) fn from_text<T: Mirror>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str::<In<T>>(text).map(|value| value.0)
}

/// A list as JSON, for a condition that any of its values meets; `None`, which means any, when it is empty.
pub(crate) fn any_of<T: Serialize>(table: &'static str, values: &[T]) -> crate::Result<Option<String>> {
    if values.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(values).map(Some).map_err(|source| crate::StoreError::Encode { table, source })
}

struct Out<'a, T>(&'a T);

impl<T: Mirror> Serialize for Out<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

struct In<T>(T);

impl<'de, T: Mirror> Deserialize<'de> for In<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(In)
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Out))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<In<T>>::deserialize(deserializer)?.into_iter().map(|value| value.0).collect())
    }
}

impl<T: Mirror> Mirror for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Out).serialize(serializer)
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<In<T>>::deserialize(deserializer)?.map(|value| value.0))
    }
}

impl<T: Mirror> Mirror for BTreeMap<String, T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Out(value))))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, In<T>>::deserialize(deserializer)?.into_iter().map(|(key, value)| (key, value.0)).collect())
    }
}

/// For `#[serde(with = "nested")]` on fields whose type, or whose elements, are mirrored.
mod nested {
    use super::Mirror;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<T: Mirror, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.write(serializer)
    }

    pub(super) fn deserialize<'de, T: Mirror, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

/// Implements [`Mirror`] for a domain type through its `#[serde(remote)]` definition.
macro_rules! mirror {
    ($($domain:ty => $definition:ty),+ $(,)?) => {$(
        impl $crate::json::Mirror for $domain {
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$definition>::serialize(self, serializer)
            }
            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$definition>::deserialize(deserializer)
            }
        }
    )+};
}
use mirror;
