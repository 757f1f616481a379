//! Types of settings.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The longest span, in seconds: a hundred years. Any moment plus that is still a moment.
const SPAN_SECONDS_MAX: u64 = 100 * 365 * 24 * 60 * 60;

/// A span in whole milliseconds, for settings that end in `_ms`; at most a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Millis(pub u64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        at_most(SPAN_SECONDS_MAX * 1000, deserializer).map(Self)
    }
}

impl Millis {
    /// The span.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Self {
        span.duration()
    }
}

/// A span in whole seconds, for settings that end in `_s`; at most a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Seconds(pub u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        at_most(SPAN_SECONDS_MAX, deserializer).map(Self)
    }
}

fn at_most<'de, D: Deserializer<'de>>(max: u64, deserializer: D) -> Result<u64, D::Error> {
    let span = u64::deserialize(deserializer)?;
    if span > max {
        return Err(D::Error::custom(format!("must be at most {max}")));
    }
    Ok(span)
}

impl Seconds {
    /// The span.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl From<Seconds> for Duration {
    fn from(span: Seconds) -> Self {
        span.duration()
    }
}

/// Text that neither `Debug` nor serialization shows. A default of it is empty: what is built in is no secret.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::setting::HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { super::setting::HIDDEN })
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_their_unit() {
        assert_eq!(Duration::from(Millis(1500)), Duration::from_millis(1500));
        assert_eq!(Duration::from(Seconds(2)), Duration::from_secs(2));
    }

    #[test]
    fn spans_have_an_end() {
        assert_eq!(serde_json::from_str::<Seconds>("3153600000").expect("a century"), Seconds(3_153_600_000));
        let error = serde_json::from_str::<Seconds>("3153600001").expect_err("is longer");
        assert!(error.to_string().starts_with("must be at most 3153600000"), "{error}");
        serde_json::from_str::<Millis>("18446744073709551615").expect_err("is longer");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(
            format!("{secret:?} {}", serde_json::to_string(&secret).expect("prints")),
            "(hidden) \"(hidden)\""
        );
    }
}
