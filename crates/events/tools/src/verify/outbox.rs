//! The outbox's side: its rows in their order.

use streamer_events::{Event, EventId, Moment, Offset, Partition, Payload, Position, change::Passed};
use streamer_source_postgres::{Client, QueryError, literal, quoted};

use super::{Settings, Window};
use crate::lookup::table;

/// The rows, in one snapshot of the database.
pub(super) struct Rows {
    client: Client,
    window: Window,
    /// Rows that are no events.
    unreadable: u64,
    batch_max: usize,
    batch_bytes_max: usize,
}

/// Microseconds since 1970, as text.
fn micros(column: &str) -> String {
    format!("(extract(epoch FROM {column}) * 1000000)::bigint")
}

impl Rows {
    pub(super) async fn open(settings: &Settings) -> Result<Self, QueryError> {
        let Settings { server, outbox, sequence, since, .. } = settings;
        let mut client = Client::connect(server, settings.row_bytes_max, settings.timeout).await?;
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let (table, created_at) = (table(outbox), quoted(&outbox.created_at));
        let sequence = quoted(sequence);
        let within = since.map_or(String::new(), |since| {
            format!(" WHERE {created_at} >= {}::timestamptz", literal(&since.to_string()))
        });
        let looked = format!(
            "SELECT count(*), {}, min({sequence}) FROM {table}{within}",
            micros(&format!("min({created_at})"))
        );
        let row = client.query(&looked).await?.into_iter().next().unwrap_or_default();
        let number = |at: usize| row.get(at)?.as_ref()?.parse::<i64>().ok();
        let window = Window {
            rows: number(0).and_then(|rows| rows.try_into().ok()).unwrap_or(0),
            since: since.or_else(|| number(1).map(Moment::from_micros)),
            // Pruning begins with the first.
            is_everything: since.is_none() && number(2) == Some(1),
        };
        let columns = [
            &outbox.event_id,
            &outbox.event_type,
            &outbox.aggregate_id,
            &outbox.aggregate_type,
            &outbox.payload,
        ];
        let columns = columns.map(|name| format!("{}::text", quoted(name))).join(", ");
        let created_at = micros(&created_at);
        client
            .begin(&format!("SELECT {columns}, {created_at} FROM {table}{within} ORDER BY {sequence}"))
            .await?;
        let Settings { batch_max, batch_bytes_max, .. } = *settings;
        Ok(Self { client, window, unreadable: 0, batch_max, batch_bytes_max })
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// The next of them, in their order; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Event>>, QueryError> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < self.batch_max && bytes < self.batch_bytes_max {
            let Some(row) = self.client.next_row().await? else { break };
            bytes += row.len();
            match event(&row.columns()?) {
                Some(event) => events.push(event),
                None => self.unreadable += 1,
            }
        }
        Ok((!events.is_empty()).then_some(events))
    }

    /// Ends the snapshot, and says how many rows were no events.
    pub(super) async fn close(self) -> u64 {
        // It only read: a goodbye that fails changes nothing.
        drop(self.client.close().await);
        self.unreadable
    }
}

/// None if something is null.
fn event(columns: &[Option<&str>]) -> Option<Event> {
    let text = |at: usize| columns.get(at).copied().flatten();
    let partition: Partition = "outbox".parse().ok()?;
    Some(Event {
        id: EventId::new(text(0)?),
        event_type: text(1)?.into(),
        aggregate_id: text(2)?.into(),
        aggregate_type: text(3)?.into(),
        payload: Payload::new(text(4)?),
        created_at: Moment::from_micros(text(5)?.parse().ok()?),
        committed_at: None,
        passed: Passed::default(),
        // Handlers do not look at it, and where the event was applied, the ledger knows.
        position: Position { partition, offset: Offset::at(0) },
    })
}
