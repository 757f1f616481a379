//! What happened to a row: Debezium's envelope, whichever way it came.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::{clock::Moment, position::Position};

/// What stands for a value that the log does not hold, in messages that Debezium would read.
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// One change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What was done.
    pub op: Op,
    /// The row before, as far as the log holds it: by default the key alone.
    pub before: Option<Row>,
    /// The row after.
    pub after: Option<Row>,
    /// Where it happened.
    pub origin: Origin,
    /// Where in the source it stands.
    pub position: Position,
    /// Whether this very change may have come before at another position: as a row of a snapshot that was
    /// interrupted, or from a source that this one replaces. The pipeline then asks the ledger.
    pub may_be_known: bool,
    /// When it passed where.
    pub passed: Passed,
}

/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// It was inserted.
    Create,
    /// It was updated.
    Update,
    /// It was deleted.
    Delete,
    /// It was there when a snapshot was taken.
    Read,
    /// All rows of the table were removed at once.
    Truncate,
}

impl Op {
    /// Debezium's letter.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
        }
    }
}

/// Where a change happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The table's schema.
    pub schema: Arc<str>,
    /// The table; of a partitioned one, its root if the publication says so.
    pub table: Arc<str>,
    /// Where in the log the row's change stands. It does not rise in commit order.
    pub lsn: Option<Lsn>,
    /// The transaction's id.
    pub tx_id: Option<u64>,
    /// When the transaction was committed.
    pub committed_at: Option<Moment>,
    /// Debezium's `sequence`: the last commit before it and the row's own place, where they are known.
    pub sequence: Option<String>,
}

/// When a change passed which stage, where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// T1: the source had decoded it.
    pub decoded_at: Option<Moment>,
    /// T2: it was delivered: received by the native source, or in Kafka.
    pub delivered_at: Option<Moment>,
}

/// A place in PostgreSQL's write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text is no log sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a log sequence number, such as 0/15D5A30")]
pub struct InvalidLsn;

impl std::str::FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        let half = |text: &str| match text.len() {
            1..=8 if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(text, 16).ok(),
            _ => None,
        };
        Ok(Self(half(high).ok_or(InvalidLsn)? << 32 | half(low).ok_or(InvalidLsn)?))
    }
}

/// The names of a table's columns. Shared by all of its rows.
pub type Columns = Arc<[Arc<str>]>;

/// A row: a field for each column.
#[derive(Clone, PartialEq)]
pub struct Row {
    columns: Columns,
    fields: Vec<Field>,
}

/// What is known of a column's value.
#[derive(Clone, PartialEq)]
pub enum Field {
    /// The value, SQL's null as `null`.
    Value(Value),
    /// The update left a large value as it was, and the log does not hold it. That is not null.
    Unchanged,
}

impl Row {
    /// A row with a field for each column; columns without one are left out.
    #[must_use]
    pub fn new(columns: Columns, fields: Vec<Field>) -> Self {
        Self { columns, fields }
    }

    /// What is known of the column, if the row has it.
    #[must_use]
    pub fn field(&self, column: &str) -> Option<&Field> {
        self.iter().find(|(name, _)| *name == column).map(|(_, field)| field)
    }

    /// The columns and what is known of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.columns.iter().map(|name| &**name).zip(&self.fields)
    }
}

impl<'a> FromIterator<(&'a str, Field)> for Row {
    fn from_iter<I: IntoIterator<Item = (&'a str, Field)>>(fields: I) -> Self {
        let (columns, fields): (Vec<Arc<str>>, Vec<Field>) =
            fields.into_iter().map(|(name, field)| (Arc::from(name), field)).unzip();
        Self { columns: columns.into(), fields }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rows do not belong in logs: only their columns show.
        f.debug_list().entries(self.columns.iter()).finish()
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(Value::Null) => "null",
            Self::Value(_) => "value",
            Self::Unchanged => "unchanged",
        })
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, field) in self.iter() {
            match field {
                Field::Value(value) => map.serialize_entry(name, value)?,
                Field::Unchanged => map.serialize_entry(name, UNAVAILABLE)?,
            }
        }
        map.end()
    }
}

/// The value of Debezium's message, without a schema.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[allow(non_snake_case, reason = "Debezium's name")]
        struct Source<'a> {
            connector: &'static str,
            ts_ms: Option<i64>,
            snapshot: &'static str,
            sequence: Option<&'a str>,
            schema: &'a str,
            table: &'a str,
            txId: Option<u64>,
            lsn: Option<u64>,
        }
        let source = Source {
            connector: "postgresql",
            ts_ms: self.origin.committed_at.map(Moment::as_millis),
            snapshot: if self.op == Op::Read { "true" } else { "false" },
            sequence: self.origin.sequence.as_deref(),
            schema: &self.origin.schema,
            table: &self.origin.table,
            txId: self.origin.tx_id,
            lsn: self.origin.lsn.map(|lsn| lsn.0),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("before", &self.before)?;
        map.serialize_entry("after", &self.after)?;
        map.serialize_entry("source", &source)?;
        map.serialize_entry("op", self.op.letter())?;
        map.serialize_entry("ts_ms", &self.passed.decoded_at.map(Moment::as_millis))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::position::{Epoch, Offset, Partition};

    #[test]
    fn what_is_unchanged_is_not_null() {
        let row: Row = [
            ("id", Field::Value(json!(1))),
            ("note", Field::Value(Value::Null)),
            ("large", Field::Unchanged),
        ]
        .into_iter()
        .collect();
        assert_ne!(row.field("large"), row.field("note"));
        assert_eq!(row.field("gone"), None);
        assert_eq!(
            serde_json::to_value(&row).expect("prints"),
            json!({ "id": 1, "note": null, "large": UNAVAILABLE })
        );
    }

    #[test]
    fn a_change_prints_as_debezium_writes_it() {
        let epoch = Epoch::Kafka { cluster: "c".into(), topic: "t".into() };
        let change = Change {
            op: Op::Create,
            before: None,
            after: Some([("id", Field::Value(json!(1)))].into_iter().collect()),
            origin: Origin {
                schema: "activity".into(),
                table: "event_outbox".into(),
                lsn: Some(Lsn(24_023_128)),
                tx_id: Some(555),
                committed_at: Some(Moment::from_millis(1_559_033_904_863)),
                sequence: Some(r#"["24023119","24023128"]"#.into()),
            },
            position: Position { partition: Partition::of(&epoch, 0), offset: Offset::at(1) },
            may_be_known: false,
            passed: Passed { decoded_at: Some(Moment::from_millis(1_559_033_904_900)), delivered_at: None },
        };
        let expected = json!({
            "before": null,
            "after": { "id": 1 },
            "source": {
                "connector": "postgresql", "ts_ms": 1_559_033_904_863_i64, "snapshot": "false",
                "sequence": r#"["24023119","24023128"]"#, "schema": "activity", "table": "event_outbox",
                "txId": 555, "lsn": 24_023_128,
            },
            "op": "c",
            "ts_ms": 1_559_033_904_900_i64,
        });
        assert_eq!(serde_json::to_value(&change).expect("prints"), expected);
    }

    #[test]
    fn log_sequence_numbers_come_back() {
        for text in ["0/0", "0/15D5A30", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().map(|lsn| lsn.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "0", "0/", "/0", "0/123456789", "0/+1", "x/1"] {
            assert_eq!(bad.parse::<Lsn>(), Err(InvalidLsn), "{bad}");
        }
    }
}
