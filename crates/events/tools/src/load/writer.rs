//! Events into the outbox.

use std::fmt::Write as _;

use streamer_events::Outbox;
use streamer_source_postgres::{Client, QueryError, literal, quoted};

use super::{NewEvent, Settings};

/// Nothing of what is read here is long.
const ROW_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Writer {
    client: Client,
    head: String,
    tail: String,
}

impl Writer {
    pub(super) async fn connect(settings: &Settings) -> Result<Self, QueryError> {
        let client = Client::connect(&settings.server, ROW_BYTES_MAX, settings.timeout).await?;
        let Outbox { schema, table, event_id, event_type, aggregate_id, aggregate_type, payload, .. } =
            &settings.outbox;
        let columns = [event_id, aggregate_id, aggregate_type, event_type, payload].map(|name| quoted(name));
        let head =
            format!("INSERT INTO {}.{} ({}) VALUES ", quoted(schema), quoted(table), columns.join(", "));
        let tail = format!(" ON CONFLICT ({0}) DO NOTHING RETURNING 1", columns[0]);
        Ok(Self { client, head, tail })
    }

    /// Writes all of them or none, in one transaction, and returns how many were not there before.
    pub(super) async fn write(&mut self, events: &[NewEvent]) -> Result<u64, QueryError> {
        let mut sql = String::with_capacity(self.head.len() + self.tail.len() + events.len() * 600);
        sql.push_str(&self.head);
        for (number, event) in events.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            // Ids and types are ours, and hold no quotes.
            let NewEvent { id, aggregate_id, aggregate_type, event_type, .. } = event;
            let payload = literal(&event.payload.to_string());
            write!(sql, "{comma}('{id}', '{aggregate_id}', '{aggregate_type}', '{event_type}', {payload})")
                .expect("a string takes everything");
        }
        sql.push_str(&self.tail);
        Ok(self.client.query(&sql).await?.len() as u64)
    }

    pub(super) async fn close(self) -> Result<(), QueryError> {
        self.client.close().await
    }
}
