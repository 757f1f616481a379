//! The outbox: which of its rows are events, and how they are read.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    change::{Change, Field, Op},
    clock::Moment,
    event::{Event, EventId, Payload},
    rejection::Rejection,
};

/// Which table is the outbox, and which of its columns hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// The table's schema.
    pub schema: String,
    /// The table; of a partitioned one, its root.
    pub table: String,
    /// The event's id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// To what.
    pub aggregate_id: String,
    /// Of which kind that is.
    pub aggregate_type: String,
    /// What is told.
    pub payload: String,
    /// When.
    pub created_at: String,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            schema: "activity".into(),
            table: "event_outbox".into(),
            event_id: "event_id".into(),
            event_type: "event_type".into(),
            aggregate_id: "aggregate_id".into(),
            aggregate_type: "aggregate_type".into(),
            payload: "payload".into(),
            created_at: "created_at".into(),
        }
    }
}

impl Outbox {
    /// The event that the change brings; none if it is of another table, or not an insert: marking and pruning rows
    /// tells nothing. A row that is no event is a rejection that names the column.
    pub fn event(&self, change: &Change) -> Option<Result<Event, Rejection>> {
        let ours = *change.origin.schema == *self.schema && *change.origin.table == *self.table;
        match change.op {
            Op::Create | Op::Read if ours => Some(self.read(change)),
            _ => None,
        }
    }

    fn read(&self, change: &Change) -> Result<Event, Rejection> {
        let row = change.after.as_ref().ok_or_else(|| Rejection::new("the change holds no row"))?;
        let value = |column: &str| match row.field(column) {
            Some(Field::Value(value)) => Ok(value),
            Some(Field::Unchanged) | None => Err(Rejection::new("is not in the row").at(column)),
        };
        let text = |column: &str| match value(column)? {
            Value::String(text) => Ok(Arc::<str>::from(text.as_str())),
            Value::Number(number) => Ok(number.to_string().into()),
            Value::Null => Err(Rejection::new("is null").at(column)),
            _ => Err(Rejection::new("is neither text nor a number").at(column)),
        };
        Ok(Event {
            id: EventId::new(text(&self.event_id)?),
            event_type: text(&self.event_type)?,
            aggregate_id: text(&self.aggregate_id)?,
            aggregate_type: text(&self.aggregate_type)?,
            created_at: moment(&text(&self.created_at)?)
                .ok_or_else(|| Rejection::new("is not a time").at(&self.created_at))?,
            payload: match value(&self.payload)? {
                // JSON columns come as their text.
                Value::String(json) => Payload::new(json.as_str()),
                value => Payload::new(value.to_string()),
            },
            committed_at: change.origin.committed_at,
            passed: change.passed,
            position: change.position.clone(),
        })
    }
}

/// ISO 8601, or microseconds since the epoch: a `timestamp` without a zone comes so.
fn moment(text: &str) -> Option<Moment> {
    text.parse().ok().or_else(|| text.parse().ok().map(Moment::from_micros))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        change::{Origin, Passed, Row},
        position::{Offset, Position},
        testing::given,
    };

    fn change(op: Op, fields: &[(&str, Value)]) -> Change {
        let row: Row = fields.iter().map(|(name, value)| (*name, Field::Value(value.clone()))).collect();
        Change {
            op,
            before: None,
            after: Some(row),
            origin: Origin {
                schema: "activity".into(),
                table: "event_outbox".into(),
                lsn: None,
                tx_id: None,
                committed_at: None,
                sequence: None,
            },
            position: Position { partition: given::partition(0), offset: Offset::at(1) },
            may_be_known: false,
            passed: Passed::default(),
        }
    }

    fn whole() -> Vec<(&'static str, Value)> {
        vec![
            ("event_id", json!("e1")),
            ("sequence_id", json!(7)),
            ("aggregate_id", json!(42)),
            ("aggregate_type", json!("User")),
            ("event_type", json!("UserCreated")),
            ("payload", json!("{}")),
            ("created_at", json!("2026-11-21T09:41:43.007042Z")),
            ("status", json!("pending")),
        ]
    }

    fn read(fields: &[(&str, Value)]) -> Result<Event, Rejection> {
        Outbox::default().event(&change(Op::Create, fields)).expect("an insert is an event")
    }

    #[test]
    fn a_row_is_read_by_its_columns() {
        let event = read(&whole()).expect("whole");
        assert_eq!((event.id.as_str(), &*event.event_type), ("e1", "UserCreated"));
        assert_eq!((&*event.aggregate_id, &*event.aggregate_type), ("42", "User"));
        assert_eq!(event.created_at.to_string(), "2026-11-21T09:41:43.007042Z");

        let outbox = Outbox { event_id: "id".into(), ..Outbox::default() };
        let mut fields = whole();
        fields[0].0 = "id";
        let event = outbox.event(&change(Op::Read, &fields)).expect("a row read").expect("whole");
        assert_eq!(event.id.as_str(), "e1");
    }

    #[test]
    fn updates_deletes_truncates_and_other_tables_are_no_events() {
        for op in [Op::Update, Op::Delete, Op::Truncate] {
            assert_eq!(Outbox::default().event(&change(op, &whole())), None);
        }
        let mut elsewhere = change(Op::Create, &whole());
        elsewhere.origin.table = "users".into();
        assert_eq!(Outbox::default().event(&elsewhere), None);
    }

    #[test]
    fn what_is_wrong_with_a_row_names_the_column() {
        for (at, value, expected) in [
            (0, Value::Null, "event_id: is null"),
            (2, json!([1]), "aggregate_id: is neither text nor a number"),
            (6, json!("yesterday"), "created_at: is not a time"),
        ] {
            let mut fields = whole();
            fields[at].1 = value;
            assert_eq!(read(&fields).expect_err("wrong").to_string(), expected);
        }
        let mut fields = whole();
        fields.remove(5);
        assert_eq!(read(&fields).expect_err("wrong").to_string(), "payload: is not in the row");
    }
}
