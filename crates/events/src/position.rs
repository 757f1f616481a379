//! Where in its source a change stands.
//!
//! A position rises in commit order. A row's own log sequence number does not, nor does its sequence: both are
//! given before the commit.

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};

/// One life of a source: within it, positions mean what they meant. After a restore, an upgrade, a recreated slot or
/// topic, or a change to another source it is another, and no position of the former may be compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Epoch {
    /// PostgreSQL, read natively.
    Postgres {
        /// The cluster's identifier, made by `initdb`.
        system: u64,
        /// Its timeline, which a restore or a failover raises.
        timeline: u32,
        /// Which slot of its name this is.
        incarnation: String,
    },
    /// A topic of Kafka.
    Kafka {
        /// The cluster's id.
        cluster: String,
        /// The topic's id, which a recreated topic does not share.
        topic: String,
    },
}

/// The text is not what this prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position, or part of one")]
pub struct InvalidPosition;

impl Epoch {
    /// A short name for it, fit for a field's name.
    fn tag(&self) -> String {
        let digest = Sha256::digest(self.to_string().as_bytes());
        digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `postgres:SYSTEM:TIMELINE:INCARNATION` or `kafka:CLUSTER:TOPIC`.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { system, timeline, incarnation } => {
                write!(f, "postgres:{system}:{timeline}:{incarnation}")
            }
            Self::Kafka { cluster, topic } => write!(f, "kafka:{cluster}:{topic}"),
        }
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (kind, rest) = text.split_once(':').ok_or(InvalidPosition)?;
        let (first, rest) = rest.split_once(':').ok_or(InvalidPosition)?;
        match kind {
            "postgres" => {
                let (timeline, incarnation) = rest.split_once(':').ok_or(InvalidPosition)?;
                Ok(Self::Postgres {
                    system: first.parse().map_err(|_| InvalidPosition)?,
                    timeline: timeline.parse().map_err(|_| InvalidPosition)?,
                    incarnation: incarnation.to_owned(),
                })
            }
            // A cluster's id has no colon: it is a base64 UUID.
            "kafka" => Ok(Self::Kafka { cluster: first.to_owned(), topic: rest.to_owned() }),
            _ => Err(InvalidPosition),
        }
    }
}

/// A part of a source within which positions are ordered. Its text is fit for a field's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(Arc<str>);

impl Partition {
    /// The stream numbered `index` of an epoch. PostgreSQL has one, 0.
    #[must_use]
    pub fn of(epoch: &Epoch, index: u32) -> Self {
        Self(format!("{}_{index}", epoch.tag()).into())
    }

    /// The rows that were there before the stream, as read by the epoch's snapshot numbered `pass`. An interrupted
    /// snapshot's next attempt sees other rows in another order, and so is a partition of its own.
    #[must_use]
    pub fn snapshot(epoch: &Epoch, pass: u32) -> Self {
        Self(format!("{}_s{pass}", epoch.tag()).into())
    }

    /// What is replayed of one dead letter. Each is a partition of its own: letters are replayed in any order, and some
    /// more than once.
    #[must_use]
    pub fn replay(letter_id: &str) -> Self {
        let digest = Sha256::digest(letter_id.as_bytes());
        Self(
            format!(
                "replay_{}",
                digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect::<String>()
            )
            .into(),
        )
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Partition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fit) {
            return Err(InvalidPosition);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in a partition: the commit's log sequence number and the ordinal in its transaction, or an offset of Kafka,
/// or the number of a snapshot's row. Its text has a fixed width, so that databases order it as this does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// The commit, offset or row.
    pub major: u64,
    /// The ordinal in the transaction, from 0; 0 where there are none.
    pub minor: u32,
}

impl Offset {
    /// The change numbered `ordinal`, from 0, of the transaction that was committed at `commit`.
    #[must_use]
    pub const fn in_transaction(commit: u64, ordinal: u32) -> Self {
        Self { major: commit, minor: ordinal }
    }

    /// An offset of Kafka, or the number of a snapshot's row.
    #[must_use]
    pub const fn at(number: u64) -> Self {
        Self { major: number, minor: 0 }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}-{:08X}", self.major, self.minor)
    }
}

impl FromStr for Offset {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (major, minor) = text.split_once('-').ok_or(InvalidPosition)?;
        let digits = |text: &str, width| text.len() == width && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits(major, 16) || !digits(minor, 8) {
            return Err(InvalidPosition);
        }
        Ok(Self {
            major: u64::from_str_radix(major, 16).map_err(|_| InvalidPosition)?,
            minor: u32::from_str_radix(minor, 16).map_err(|_| InvalidPosition)?,
        })
    }
}

/// A place in a source. Two are ordered only if they are of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// Of which part.
    pub partition: Partition,
    /// Where in it.
    pub offset: Offset,
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self.partition == other.partition).then(|| self.offset.cmp(&other.offset))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (partition, offset) = text.split_once('@').ok_or(InvalidPosition)?;
        Ok(Self { partition: partition.parse()?, offset: offset.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(incarnation: &str) -> Epoch {
        Epoch::Postgres {
            system: 7_300_000_000_000_000_001,
            timeline: 1,
            incarnation: incarnation.to_owned(),
        }
    }

    #[test]
    fn texts_come_back_as_what_they_were() {
        for epoch in [
            epoch("0/15D5A30"),
            Epoch::Kafka { cluster: "MkU3OEVBNTcwNTJENDM2Qg".into(), topic: "a:b".into() },
        ] {
            assert_eq!(epoch.to_string().parse(), Ok(epoch.clone()));
            let position =
                Position { partition: Partition::of(&epoch, 3), offset: Offset::in_transaction(77, 2) };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", "postgres", "postgres:x:1:a", "mysql:1:2", "kafka:a"] {
            assert!(bad.parse::<Epoch>().is_err(), "{bad}");
        }
        for bad in ["", "1-1", "000000000000004D-+0000002", "000000000000004D"] {
            assert!(bad.parse::<Offset>().is_err(), "{bad}");
        }
        for bad in ["", "a.b", "$a", "A"] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_texts_of_offsets_are_ordered_as_they_are() {
        let mut offsets: Vec<_> = [(0, 0), (1, 9), (1, 10), (9, 0), (10, 0), (255, 1), (u64::MAX, u32::MAX)]
            .map(|(commit, ordinal)| Offset::in_transaction(commit, ordinal))
            .into();
        offsets.sort();
        let mut texts: Vec<_> = offsets.iter().map(ToString::to_string).collect();
        texts.sort();
        assert_eq!(texts, offsets.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    #[test]
    fn another_epoch_is_another_partition() {
        let (old, new) = (Partition::of(&epoch("a"), 0), Partition::of(&epoch("b"), 0));
        let at = |partition: &Partition, n| Position { partition: partition.clone(), offset: Offset::at(n) };
        assert!(at(&old, 1) < at(&old, 2));
        assert_eq!(at(&old, 1).partial_cmp(&at(&new, 2)), None);
        assert_ne!(Partition::snapshot(&epoch("a"), 1), Partition::snapshot(&epoch("a"), 2));
        assert_ne!(Partition::replay("e1/h"), Partition::replay("e2/h"));
        assert_eq!(Partition::replay("e1/h").as_str().parse(), Ok(Partition::replay("e1/h")));
    }
}
