//! Who may read and write which topics.

use streamer_protocol::{Permissions, Topic};

/// What a caller's newest token allows: its permissions, and what they and its grants say of the topics of its tenant.
///
/// A permission covers every topic; a grant covers those that it names:
///
/// | grant | covers |
/// |---|---|
/// | `orders.eu` | this topic alone |
/// | `orders.*`, `orders:*` | every topic that begins with `orders.` (`orders:`) and goes on after it, however deep; not `orders` itself, nor `orders2.eu` |
/// | `*` | every topic |
///
/// A grant is for reading. One that ends in `=write` is for writing, in `=read+write` for both (and in `=read` for
/// reading, too). A `*` anywhere else is no wildcard: such a grant covers nothing, and neither does any other text
/// that is none of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    permissions: Permissions,
    grants: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    covers: Covers,
    read: bool,
    write: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Covers {
    All,
    /// What begins with this, which ends in a separator, and goes on.
    Below(Box<str>),
    Only(Topic),
}

impl Rights {
    /// Those of somebody who may read or write every topic, and what these grants cover.
    #[must_use]
    pub fn new<'g>(read: bool, write: bool, grants: impl IntoIterator<Item = &'g str>) -> Self {
        let read = read.then_some(Permissions::READ);
        let write = write.then_some(Permissions::WRITE);
        Self::of(read.into_iter().chain(write).collect(), grants)
    }

    /// Those of somebody with these permissions and grants.
    #[must_use]
    pub fn of<'g>(permissions: Permissions, grants: impl IntoIterator<Item = &'g str>) -> Self {
        Self { permissions, grants: grants.into_iter().filter_map(Grant::parse).collect() }
    }

    /// What handlers are told of it.
    #[must_use]
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether this allows to subscribe to the topic, and to see who is on it.
    #[must_use]
    pub fn may_read(&self, topic: &Topic) -> bool {
        self.permissions.contains(Permissions::READ)
            || self.grants.iter().any(|grant| grant.read && grant.covers.contains(topic))
    }

    /// Whether this allows to publish to the topic.
    #[must_use]
    pub fn may_write(&self, topic: &Topic) -> bool {
        self.permissions.contains(Permissions::WRITE)
            || self.grants.iter().any(|grant| grant.write && grant.covers.contains(topic))
    }
}

impl Grant {
    fn parse(text: &str) -> Option<Self> {
        // No topic's name holds a `=`.
        let (topics, access) = text.split_once('=').unwrap_or((text, "read"));
        let (read, write) = match access {
            "read" => (true, false),
            "write" => (false, true),
            "read+write" => (true, true),
            _ => return None,
        };
        Some(Self { covers: Covers::parse(topics)?, read, write })
    }
}

impl Covers {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            None => Topic::parse(text).ok().map(Self::Only),
            Some("") => Some(Self::All),
            Some(prefix) => {
                let words = prefix.strip_suffix(['.', ':'])?;
                let plain = !words.is_empty() && words.bytes().all(Topic::allows);
                plain.then(|| Self::Below(prefix.into()))
            }
        }
    }

    fn contains(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => {
                topic.as_str().strip_prefix(&**prefix).is_some_and(|rest| !rest.is_empty())
            }
            Self::Only(only) => only == topic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(grant: &str, topic: &str) -> bool {
        Rights::new(false, false, [grant]).may_read(&Topic::parse(topic).expect("a topic"))
    }

    #[test]
    fn a_wildcard_covers_what_is_below_and_no_lookalike() {
        for topic in
            ["orders.eu", "orders.eu.1", "orders.*".replace('*', "x").as_str(), "orders..", "orders.:"]
        {
            assert!(reads("orders.*", topic), "{topic}");
        }
        for topic in
            ["orders", "orders.", "orders2.eu", "ordersXeu", "orders:eu", "Orders.eu", "my.orders.eu"]
        {
            assert!(!reads("orders.*", topic), "{topic}");
        }
        assert!(reads("room:*", "room:7"));
        assert!(!reads("room:*", "room.7"));
        assert!(reads("a.b:*", "a.b:c.d"));
        assert!(reads("*", "anything"));
    }

    #[test]
    fn a_name_covers_itself() {
        assert!(reads("orders.eu", "orders.eu"));
        for topic in ["orders", "orders.eu.1", "orders.eux", "orders.EU"] {
            assert!(!reads("orders.eu", topic), "{topic}");
        }
    }

    #[test]
    fn what_is_no_grant_covers_nothing() {
        let nonsense = [
            "",
            "**",
            "orders*",
            "*.eu",
            "orders.*.eu",
            "or*ders",
            ".*",
            ":*",
            "a b.*",
            "é.*",
            "orders.*=",
            "orders.*=admin",
            "orders.*=write+read",
            "orders.*=read,write",
            "*=",
            "=read",
            "orders.eu=read=write",
        ];
        for grant in nonsense {
            for topic in ["orders.eu", "orders", "orders.x.eu", "a.eu", "."] {
                assert!(!reads(grant, topic), "{grant:?} covers {topic}");
            }
        }
    }

    #[test]
    fn reading_and_writing_are_granted_apart() {
        let topic = Topic::parse("orders.eu").expect("a topic");
        let rights = |grant| {
            let rights = Rights::new(false, false, [grant]);
            (rights.may_read(&topic), rights.may_write(&topic))
        };
        assert_eq!(rights("orders.*"), (true, false));
        assert_eq!(rights("orders.*=read"), (true, false));
        assert_eq!(rights("orders.eu=write"), (false, true));
        assert_eq!(rights("*=read+write"), (true, true));
        let permissions = |read, write| {
            let rights = Rights::new(read, write, ["other"]);
            (rights.may_read(&topic), rights.may_write(&topic))
        };
        assert_eq!(permissions(true, false), (true, false));
        assert_eq!(permissions(false, true), (false, true));
        assert_eq!(permissions(false, false), (false, false));
    }
}
