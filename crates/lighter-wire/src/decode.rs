//! Typed reading of [`Json`] by Go's rules: null leaves a zero value, names match in any case, unknown names are skipped,
//! and a wrong type is reported in Go's words with the path of the field.

use crate::json::Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A value of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    value: String,
    /// Empty at the root.
    field: String,
    go_type: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, field, go_type } = self;
        if field.is_empty() {
            write!(f, "json: cannot unmarshal {value} into Go value of type {go_type}")
        } else {
            write!(f, "json: cannot unmarshal {value} into Go struct field {field} of type {go_type}")
        }
    }
}

/// Where in the body a value stands; lives on the stack while decoding.
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    pub fn root(name: &'a str) -> Self {
        Self { parent: None, name }
    }
    pub fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), name }
    }
    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
            out.push('.');
        }
        out.push_str(self.name);
    }
    fn mismatch(&self, value: String, go_type: String) -> Mismatch {
        let mut field = String::new();
        if self.parent.is_some() {
            self.write(&mut field);
        }
        Mismatch { value, field, go_type }
    }
}

/// Something that can be read from a request's JSON.
pub trait Decode: Default {
    /// Go's name of the type, for messages.
    fn go_type() -> String;

    /// Reads `value` over what is there already, as Go's `Unmarshal` does.
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch>;
}

fn wrong<T: Decode>(value: &Json, at: &Path<'_>) -> Mismatch {
    at.mismatch(value.kind(), T::go_type())
}

impl Decode for String {
    fn go_type() -> String {
        "string".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => {}
            Json::Str(s) => self.clone_from(s),
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

impl Decode for bool {
    fn go_type() -> String {
        "bool".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => {}
            Json::Bool(b) => *self = *b,
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($int:ty => $go:literal),*) => { $(
        impl Decode for $int {
            fn go_type() -> String {
                $go.into()
            }
            fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
                let (number, shown) = match value {
                    Json::Null => return Ok(()),
                    Json::Int(n) => (<$int>::try_from(*n).ok(), n.to_string()),
                    Json::Uint(n) => (<$int>::try_from(*n).ok(), n.to_string()),
                    Json::Float(n) => (None, n.to_string()),
                    other => return Err(wrong::<Self>(other, at)),
                };
                *self = number.ok_or_else(|| at.mismatch(format!("number {shown}"), $go.into()))?;
                Ok(())
            }
        }
    )* };
}
integers!(i64 => "int64", u64 => "uint64", u32 => "uint32", u16 => "uint16");

impl<T: Decode> Decode for Option<T> {
    fn go_type() -> String {
        T::go_type()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        if matches!(value, Json::Null) {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().decode(value, at)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn go_type() -> String {
        format!("[]{}", T::go_type())
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        self.clear();
        match value {
            Json::Null => {}
            Json::Array(items) => {
                for item in items {
                    let mut element = T::default();
                    element.decode(item, at)?;
                    self.push(element);
                }
            }
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn go_type() -> String {
        format!("map[string]{}", T::go_type())
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => {}
            Json::Object(members) => {
                for (key, member) in members {
                    let mut element = T::default();
                    element.decode(member, at)?;
                    self.insert(key.clone(), element);
                }
            }
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

impl Decode for [u32; 2] {
    fn go_type() -> String {
        "[2]uint".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => {}
            Json::Array(items) => {
                *self = [0; 2];
                for (slot, item) in self.iter_mut().zip(items) {
                    slot.decode(item, at)?;
                }
            }
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

/// A command: a list of words, or one string that stands for a list of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct StrSlice(pub Option<Vec<String>>);

impl Decode for StrSlice {
    fn go_type() -> String {
        "string".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => self.0 = None,
            Json::Str(one) => self.0 = Some(vec![one.clone()]),
            Json::Array(_) => {
                let mut words = Vec::new();
                Vec::<String>::decode(&mut words, value, at)?;
                self.0 = Some(words);
            }
            // Go's own decoder of this type begins anew, and so names no field.
            other => return Err(wrong::<Vec<String>>(other, &Path::root(""))),
        }
        Ok(())
    }
}

/// A Go set: an object whose members are empty objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(pub Option<BTreeSet<String>>);

impl Set {
    /// Null and `{}`: what `omitempty` leaves out.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeSet::is_empty)
    }
}

impl Decode for Set {
    fn go_type() -> String {
        "map[string]struct {}".into()
    }
    fn decode(&mut self, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
        match value {
            Json::Null => self.0 = None,
            Json::Object(members) => {
                if let Some((_, bad)) = members.iter().find(|(_, m)| !matches!(m, Json::Object(_) | Json::Null)) {
                    return Err(at.mismatch(bad.kind(), "struct {}".into()));
                }
                self.0.get_or_insert_default().extend(members.iter().map(|(k, _)| k.clone()));
            }
            other => return Err(wrong::<Self>(other, at)),
        }
        Ok(())
    }
}

impl serde::Serialize for Set {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Empty {}
        match &self.0 {
            None => serializer.serialize_none(),
            Some(set) => serializer.collect_map(set.iter().map(|k| (k, Empty {}))),
        }
    }
}

/// A struct whose fields are found by name in any case; lets one struct embed another.
pub trait Fields {
    /// Reads `value` into the field called `key`; false when there is none.
    fn field(&mut self, key: &str, value: &Json, at: &Path<'_>) -> Result<bool, Mismatch>;
}

/// Reads every member of an object into the fields of `into`.
pub fn decode_fields<T: Decode + Fields>(into: &mut T, value: &Json, at: &Path<'_>) -> Result<(), Mismatch> {
    match value {
        Json::Null => {}
        Json::Object(members) => {
            for (key, member) in members {
                into.field(key, member, at)?;
            }
        }
        other => return Err(wrong::<T>(other, at)),
    }
    Ok(())
}

/// Declares a struct that is read by Go's rules and written by serde under the same names.
macro_rules! go_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident as $go:literal {
            $( $(#[$field_meta:meta])* $json:literal $field:ident: $ty:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        pub struct $name {
            $( $(#[$field_meta])* #[serde(rename = $json)] pub $field: $ty, )*
        }

        impl $crate::decode::Fields for $name {
            fn field(
                &mut self,
                key: &str,
                value: &$crate::json::Json,
                at: &$crate::decode::Path<'_>,
            ) -> Result<bool, $crate::decode::Mismatch> {
                $( if key.eq_ignore_ascii_case($json) {
                    $crate::decode::Decode::decode(&mut self.$field, value, &at.field($json))?;
                    return Ok(true);
                } )*
                Ok(false)
            }
        }

        impl $crate::decode::Decode for $name {
            fn go_type() -> String {
                $go.into()
            }
            fn decode(
                &mut self,
                value: &$crate::json::Json,
                at: &$crate::decode::Path<'_>,
            ) -> Result<(), $crate::decode::Mismatch> {
                $crate::decode::decode_fields(self, value, at)
            }
        }
    };
}
pub(crate) use go_struct;
