//! The limits of topics. Every one of them can be set.

use std::time::Duration;

use streamer_protocol::{History, Topic};

use crate::store::{Keep, TopicQuota};

/// How topics behave. By default they keep no history.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// What topics keep, by how their names begin. The longest beginning counts.
    pub histories: Vec<HistoryRule>,
    /// How the names of topics begin that only the server publishes to.
    pub server_only: Vec<String>,
    /// How many topics one connection subscribes to.
    pub subscriptions_max: usize,
    /// How many topics there are at once: live in this process, and stored; in one tenant.
    pub tenant_topics_max: u64,
    /// How many topics are live in this process, in all.
    pub topics_max: u64,
    /// The largest message, in bytes of its data.
    pub message_bytes_max: usize,
    /// How many bytes the histories in memory have, in one tenant.
    pub tenant_memory_bytes_max: u64,
    /// How many bytes the histories in memory have, in all.
    pub memory_bytes_max: u64,
    /// How many bytes the durable histories have, in one tenant.
    pub tenant_stored_bytes_max: u64,
    /// How many bytes the durable histories have, in all.
    pub stored_bytes_max: u64,
    /// How many messages wait to be published on one topic.
    pub publish_depth_max: usize,
    /// How many users are listed as present. With more than these on a topic, no one is told who joins and leaves.
    pub present_users_max: usize,
    /// How long a topic that nobody is on, and that keeps nothing in memory, is remembered by this process.
    pub idle: Duration,
    /// How long a durable topic is remembered beyond the age of its newest message.
    pub forget_after: Duration,
}

/// What the topics keep whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRule {
    /// How the names begin. Write the separator along: `orders` begins `orders2`, too.
    pub prefix: String,
    /// Where.
    pub history: History,
    /// At most so many messages.
    pub messages_max: u64,
    /// At most so many bytes.
    pub bytes_max: u64,
    /// For at most so long.
    pub age_max: Duration,
}

impl Default for TopicSettings {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            histories: Vec::new(),
            server_only: Vec::new(),
            subscriptions_max: 64,
            tenant_topics_max: 10_000,
            topics_max: 100_000,
            message_bytes_max: 64 * 1024,
            tenant_memory_bytes_max: 64 * MIB,
            memory_bytes_max: 256 * MIB,
            tenant_stored_bytes_max: 256 * MIB,
            stored_bytes_max: 4096 * MIB,
            publish_depth_max: 1024,
            present_users_max: 1000,
            idle: Duration::from_secs(60),
            forget_after: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Default for HistoryRule {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            history: History::None,
            messages_max: 1000,
            bytes_max: 1024 * 1024,
            age_max: Duration::from_secs(60 * 60),
        }
    }
}

impl TopicSettings {
    /// What a topic keeps, and how much of it.
    pub(crate) fn history_of(&self, topic: &Topic) -> (History, Keep) {
        let of_topic = self.histories.iter().filter(|rule| topic.as_str().starts_with(&rule.prefix));
        let rule = of_topic.max_by_key(|rule| rule.prefix.len()).cloned().unwrap_or_default();
        let keep = Keep {
            messages_max: rule.messages_max,
            bytes_max: rule.bytes_max,
            age_max: rule.age_max,
            forget_after: self.forget_after,
        };
        (rule.history, keep)
    }

    /// Whether only the server publishes to a topic.
    pub(crate) fn is_server_only(&self, topic: &Topic) -> bool {
        self.server_only.iter().any(|prefix| topic.as_str().starts_with(prefix))
    }

    pub(crate) fn quota(&self) -> TopicQuota {
        TopicQuota {
            tenant_topics_max: self.tenant_topics_max,
            tenant_bytes_max: self.tenant_stored_bytes_max,
            bytes_max: self.stored_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts() {
        let rule = |prefix: &str, history| HistoryRule {
            prefix: prefix.to_owned(),
            history,
            ..HistoryRule::default()
        };
        let histories = vec![
            rule("orders.", History::Memory),
            rule("orders.eu.", History::Durable),
            rule("", History::None),
            rule("orders.eu.test.", History::None),
        ];
        let settings = TopicSettings { histories, ..TopicSettings::default() };
        let history = |topic| settings.history_of(&Topic::parse(topic).expect("a topic")).0;
        assert_eq!(history("orders.us"), History::Memory);
        assert_eq!(history("orders.eu.1"), History::Durable);
        assert_eq!(history("orders.eu"), History::Memory);
        assert_eq!(history("orders.eu.test.1"), History::None);
        assert_eq!(history("orders"), History::None);
        let nothing = TopicSettings::default();
        assert_eq!(nothing.history_of(&Topic::parse("a").expect("a topic")).0, History::None);
    }
}
