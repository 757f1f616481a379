//! Names of topics and of their lives.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    InvalidRequestId, RequestId,
    id::{free_id, text_id},
};

/// The longest name of a topic, in characters; that of a request's topic has the id's length on top.
pub const TOPIC_CHARS_MAX: usize = 128;

/// What the name of a request's topic begins with.
const REQUEST: &str = "request:";

text_id! {
    /// A topic's name inside its tenant: `[A-Za-z0-9._:@~-]{1,128}`, or `request:` and a [`RequestId`].
    ///
    /// Upper and lower case differ. Dots and colons set the words of a name apart for grants such as `orders.*`, and
    /// mean nothing else.
    Topic
}

free_id! {
    /// One life of a topic: offsets compare only within one. A topic whose history was lost begins another.
    Epoch
}

/// Why a text is no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTopic {
    /// It is not `[A-Za-z0-9._:@~-]{1,128}`.
    Name,
    /// What follows `request:` is no request id.
    Request(InvalidRequestId),
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "a topic has 1 to {TOPIC_CHARS_MAX} letters, digits or . _ : @ ~ -"),
            Self::Request(e) => write!(f, "a request's topic is {REQUEST:?} and its id: {e}"),
        }
    }
}

impl std::error::Error for InvalidTopic {}

impl Topic {
    /// Checks the length and the characters.
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        match text.strip_prefix(REQUEST) {
            Some(id) => drop(RequestId::parse(id).map_err(InvalidTopic::Request)?),
            None if is_name(text) => {}
            None => return Err(InvalidTopic::Name),
        }
        Ok(Self(text.into()))
    }

    /// The topic of a request's updates.
    #[must_use]
    pub fn of_request(id: &RequestId) -> Self {
        Self(format!("{REQUEST}{id}").into())
    }

    /// The request whose updates it carries, if it is one of those.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        let id = self.0.strip_prefix(REQUEST)?;
        Some(RequestId::parse(id).expect("checked when the topic was made"))
    }

    /// Whether `byte` may stand in a name.
    #[must_use]
    pub const fn allows(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'@' | b'~' | b'-')
    }
}

fn is_name(text: &str) -> bool {
    // Every allowed character has one byte.
    (1..=TOPIC_CHARS_MAX).contains(&text.len()) && text.bytes().all(Topic::allows)
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_a_small_alphabet() {
        for good in ["orders", "orders.eu-1", "user:ada@example.com", "A_b~9", "request", &"a".repeat(128)] {
            assert!(Topic::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a/b", "orders.*", "*", "é", "a=b", "a\n", &"a".repeat(129)] {
            assert_eq!(Topic::parse(bad), Err(InvalidTopic::Name), "{bad:?}");
        }
    }

    #[test]
    fn a_requests_topic_holds_any_request_id() {
        let id = RequestId::parse("é report/2026 * 7").expect("valid");
        let topic = Topic::of_request(&id);
        assert_eq!(topic.as_str(), "request:é report/2026 * 7");
        assert_eq!(Topic::parse(topic.as_str()).expect("valid").request(), Some(id));
        assert!(Topic::parse(&format!("request:{}", "é".repeat(128))).is_ok());
        assert_eq!(Topic::parse("request:"), Err(InvalidTopic::Request(InvalidRequestId::Empty)));
        assert!(matches!(Topic::parse("request:a\nb"), Err(InvalidTopic::Request(_))));
        assert_eq!(Topic::parse("requests:7").expect("valid").request(), None);
    }
}
