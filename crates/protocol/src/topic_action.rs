//! What the actions of topics take and answer: `subscribe`, `unsubscribe`, `publish`, `presence`.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Epoch, IdempotencyKey, Json, Timestamp, Topic, UserId};

/// A place in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Position {
    /// Which life of the topic.
    pub epoch: Epoch,
    /// The message's place in it; 0 is before the first.
    pub offset: u64,
}

/// The payload of `subscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscribe {
    /// The topic; a second time, the subscription begins anew.
    pub topic: Topic,
    /// The last message that was seen: what is kept above it comes first. Without it, only new messages come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
    /// Whether to tell who is there, who comes and who leaves.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "std::ops::Not::not")]
    pub presence: bool,
}

/// Absent and `null` are the same, as they are for what may be absent.
fn or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The payload of `unsubscribe` and of `presence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OfTopic {
    /// The topic.
    pub topic: Topic,
}

/// The payload of `publish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Publish {
    /// The topic.
    pub topic: Topic,
    /// What its subscribers get.
    pub data: Json,
    /// Names the message, so that it can be sent again: as long as the topic keeps it, the same key of the same user
    /// with the same data is answered as the first time, and with other data it is a conflict. Refused on a topic
    /// that keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What a topic keeps for those who come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Nothing.
    #[default]
    None,
    /// The newest messages, for as long as the server's process lives.
    Memory,
    /// The newest messages, across restarts.
    Durable,
}

/// Why a subscription could not go on from where it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// The topic is in another life.
    Epoch,
    /// Messages after it are no longer kept.
    Trimmed,
    /// The topic has not come so far.
    Ahead,
}

/// The answer to `subscribe`. It comes before every message of the subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscribed {
    /// The topic.
    pub topic: Topic,
    /// The life that it is in.
    pub epoch: Epoch,
    /// Its newest message; 0 if there was none yet.
    pub offset: u64,
    /// What it keeps.
    pub history: History,
    /// The oldest message that is kept; one above `offset` if none is.
    pub kept_from: u64,
    /// Whether every message after `since` follows; only if that was given. If not, all that is kept follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// Who is there; only if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<Present>,
}

/// The answer to `unsubscribe`. No message of the topic comes after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unsubscribed {
    /// The topic.
    pub topic: Topic,
    /// Whether the connection was subscribed to it.
    pub was_subscribed: bool,
}

/// The answer to `publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Published {
    /// The topic.
    pub topic: Topic,
    /// The life that it is in.
    pub epoch: Epoch,
    /// The message's place in it.
    pub offset: u64,
}

/// The answer to `presence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Present {
    /// The topic.
    pub topic: Topic,
    /// Who is subscribed here, by name, up to a bound.
    pub users: Vec<PresentUser>,
    /// How many users that are in all.
    pub total: u64,
}

/// A user who is on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PresentUser {
    /// Who.
    pub user_id: UserId,
    /// By how many connections.
    pub connections: u32,
    /// Since when without a break.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_absent_may_be_null() {
        let absent: Subscribe = serde_json::from_str(r#"{"topic": "news"}"#).expect("reads");
        let null = r#"{"topic": "news", "since": null, "presence": null}"#;
        assert_eq!(serde_json::from_str::<Subscribe>(null).expect("reads"), absent);
        let wanted: Subscribe =
            serde_json::from_str(r#"{"topic": "news", "presence": true}"#).expect("reads");
        assert!(wanted.presence && !absent.presence);
        assert!(serde_json::from_str::<Subscribe>(r#"{"topic": "news", "presence": 1}"#).is_err());
    }
}
