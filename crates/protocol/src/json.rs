//! A JSON value carried as its text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A JSON value that stays text until somebody needs to look inside: a payload, a result, a chunk.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Prints `value`. Fails as `serde_json` does: a map with keys that are not text, or a `Serialize`
    /// that fails by itself.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// Takes text that must be one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// The value's text, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value's text, without a copy of it.
    #[must_use]
    pub fn into_text(self) -> Box<str> {
        self.0.into()
    }

    /// Reads the value as a `T`.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self::of(&value).expect("a Value always prints")
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads do not belong in logs: only their size shows.
        write!(f, "Json({} bytes)", self.as_str().len())
    }
}

/// Equal when they hold the same value, however it is spaced or ordered.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
            || matches!(
                (self.get::<serde_json::Value>(), other.get::<serde_json::Value>()),
                (Ok(a), Ok(b)) if a == b
            )
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Any JSON value." })
    }
}
