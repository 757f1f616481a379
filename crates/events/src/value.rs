//! The documents of read models, as the pure core sees them.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Number;

use crate::clock::Moment;

/// What a field holds. JSON, and two things more: a moment, and what only the sink understands.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A moment.
    Date(Moment),
    /// Several.
    List(Vec<Value>),
    /// A document inside the document.
    Document(Document),
    /// A value of a type that only the sink knows, written by somebody else: its place in the sink's own list.
    /// It is kept as it is, and nothing but replacing it can be done with it.
    Opaque(usize),
}

/// Fields in their order. Names are unique.
#[derive(Clone, PartialEq, Default)]
pub struct Document(Vec<(String, Value)>);

impl Document {
    /// Without fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Of fields whose names are all different.
    pub(crate) fn of_unique(fields: impl Iterator<Item = (String, Value)>) -> Self {
        Self(fields.collect())
    }

    /// Whether it has no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What the field holds, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether the field is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Puts the field, in the place where it was if it was there.
    pub fn set(&mut self, name: impl Into<String> + AsRef<str>, value: impl Into<Value>) {
        match self.get_mut(name.as_ref()) {
            Some(known) => *known = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// Takes the field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// With one field more, for writing a document down.
    #[must_use]
    pub fn with(mut self, name: impl Into<String> + AsRef<str>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Roughly how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + 16 + value.weight()).sum()
    }
}

impl Value {
    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The document, if it is one.
    #[must_use]
    pub fn as_document(&self) -> Option<&Document> {
        match self {
            Self::Document(document) => Some(document),
            _ => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Roughly how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 8,
            Self::List(items) => items.iter().map(|item| item.weight() + 8).sum(),
            Self::Document(document) => document.weight(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Date(_) | Self::Opaque(_) => {
                16
            }
        }
    }
}

impl FromIterator<(String, Value)> for Document {
    /// Of fields with one name, the last stays.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        let mut document = Self::new();
        for (name, value) in fields {
            document.set(name, value);
        }
        document
    }
}

impl IntoIterator for Document {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(truth),
            serde_json::Value::Number(number) => number.into(),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => Self::Document(fields.into()),
        }
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for Document {
    fn from(fields: serde_json::Map<String, serde_json::Value>) -> Self {
        // The map's names are unique already.
        Self(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Int)
    }
}

macro_rules! from {
    ($($type:ty => $variant:expr;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                $variant(value)
            }
        })*
    };
}

from! {
    bool => Value::Bool;
    i64 => Value::Int;
    i32 => |number| Value::Int(i64::from(number));
    f64 => Value::Float;
    String => Value::Text;
    &str => |text: &str| Value::Text(text.to_owned());
    Moment => Value::Date;
    Vec<Value> => Value::List;
    Document => Value::Document;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// As JSON: a moment as its text, what is opaque as `null`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Opaque(_) => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Date(moment) => moment.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Document(document) => document.serialize(serializer),
        }
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people wrote does not belong in logs: only its shape shows.
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("bool"),
            Self::Int(_) | Self::Float(_) => f.write_str("number"),
            Self::Text(text) => write!(f, "text({} bytes)", text.len()),
            Self::Date(_) => f.write_str("date"),
            Self::List(items) => write!(f, "list({} items)", items.len()),
            Self::Document(document) => fmt::Debug::fmt(document, f),
            Self::Opaque(_) => f.write_str("opaque"),
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_in_and_goes_out_in_its_order() {
        let json = r#"{"z":1,"a":[true,null,2.5,"x"],"m":{"n":-3}}"#;
        let parsed: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let value = Value::from(parsed.clone());
        let back: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&value).expect("prints")).expect("JSON");
        assert_eq!(back, parsed);
        let document = Document::new().with("b", 1).with("a", 2).with("b", 3);
        assert_eq!(serde_json::to_string(&document).expect("prints"), r#"{"b":3,"a":2}"#);
    }

    #[test]
    fn debug_shows_no_content() {
        let document = Document::new().with("email", "ada@example.com").with("age", 36);
        let shown = format!("{document:?}");
        assert!(!shown.contains("ada") && !shown.contains("36"), "{shown}");
    }
}
