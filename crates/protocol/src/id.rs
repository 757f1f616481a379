//! Names of things on the wire. All are cheap to clone.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The longest request id, in characters.
pub const REQUEST_ID_CHARS_MAX: usize = 128;

const ACTION_BYTES_MAX: usize = 64;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                crate::schema::of_id(stringify!($name))
            }
        }
    };
}

macro_rules! free_id {
    ($(#[$doc:meta])* $name:ident) => {
        text_id!($(#[$doc])* $name);

        impl $name {
            /// Names the thing. What the text may hold is up to whoever issues it.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }
    };
}

pub(crate) use {free_id, text_id};

free_id! {
    /// One live connection, named by the server (or, on AWS, by API Gateway).
    ConnectionId
}
free_id! {
    /// A user inside a tenant: the token's `sub`.
    UserId
}
free_id! {
    /// Whose data it is: the token's `tenant_id`. Nothing crosses tenants.
    TenantId
}
text_id! {
    /// A request's name, chosen by its client or else by the server: 1 to 128 characters, none of them a
    /// control character. Unique per (tenant, user).
    RequestId
}
text_id! {
    /// A name that a client gives to what it may have to send again: 1 to 128 characters, none of them a control
    /// character. Means nothing outside of its user and of what it is given to.
    IdempotencyKey
}
text_id! {
    /// What a request asks for: `[A-Za-z0-9._-]{1,64}`.
    Action
}

/// Why a text is no request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRequestId {
    /// It has no characters.
    Empty,
    /// It has more than [`REQUEST_ID_CHARS_MAX`] characters.
    TooLong,
    /// It holds a control character.
    ControlCharacter,
}

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an id has at least one character"),
            Self::TooLong => write!(f, "an id has at most {REQUEST_ID_CHARS_MAX} characters"),
            Self::ControlCharacter => f.write_str("an id holds no control characters"),
        }
    }
}

impl std::error::Error for InvalidRequestId {}

impl RequestId {
    /// Checks the length and the characters.
    pub fn parse(text: &str) -> Result<Self, InvalidRequestId> {
        if text.is_empty() {
            return Err(InvalidRequestId::Empty);
        }
        // A character has at least one byte, so that short texts need no counting.
        if text.len() > REQUEST_ID_CHARS_MAX && text.chars().count() > REQUEST_ID_CHARS_MAX {
            return Err(InvalidRequestId::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidRequestId::ControlCharacter);
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The text has no characters, more than [`REQUEST_ID_CHARS_MAX`], or a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidIdempotencyKey;

impl fmt::Display for InvalidIdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key has 1 to {REQUEST_ID_CHARS_MAX} characters, none of them a control character")
    }
}

impl std::error::Error for InvalidIdempotencyKey {}

impl IdempotencyKey {
    /// Checks the length and the characters.
    pub fn parse(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        RequestId::parse(text).map(Self::from).map_err(|_| InvalidIdempotencyKey)
    }
}

/// Over HTTP one header is both.
impl From<RequestId> for IdempotencyKey {
    fn from(RequestId(text): RequestId) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The text is not `[A-Za-z0-9._-]{1,64}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidAction;

impl fmt::Display for InvalidAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an action has 1 to {ACTION_BYTES_MAX} letters, digits, dots, underscores or hyphens")
    }
}

impl std::error::Error for InvalidAction {}

impl Action {
    /// Checks the length and the characters.
    pub fn parse(text: &str) -> Result<Self, InvalidAction> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > ACTION_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(InvalidAction);
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_count_characters_not_bytes() {
        assert!(RequestId::parse(&"é".repeat(128)).is_ok());
        assert_eq!(RequestId::parse(&"é".repeat(129)), Err(InvalidRequestId::TooLong));
        assert_eq!(RequestId::parse(""), Err(InvalidRequestId::Empty));
        assert_eq!(RequestId::parse("a\nb"), Err(InvalidRequestId::ControlCharacter));
    }

    #[test]
    fn a_request_id_may_be_a_key_and_a_key_is_no_longer_than_one() {
        let key = IdempotencyKey::parse(&"é".repeat(128)).expect("128 characters");
        assert_eq!(IdempotencyKey::from(RequestId::parse(key.as_str()).expect("an id")), key);
        for bad in ["", "a\nb", &"é".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }

    #[test]
    fn actions_hold_letters_digits_dots_underscores_and_hyphens() {
        assert!(Action::parse("report.build_v2-x").is_ok());
        assert!(Action::parse(&"a".repeat(64)).is_ok());
        for bad in ["", "a b", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(Action::parse(bad), Err(InvalidAction), "{bad:?}");
        }
    }
}
