//! Whether an event is in the outbox.

use std::{collections::HashMap, time::Duration};

use streamer_events::Outbox;
use streamer_source_postgres::{Client, QueryError, Server, literal, quoted};
use uuid::Uuid;

/// The outbox, as SQL names it.
pub(crate) fn table(outbox: &Outbox) -> String {
    format!("{}.{}", quoted(&outbox.schema), quoted(&outbox.table))
}

/// Asks for single events.
pub(crate) struct Lookup {
    client: Client,
    outbox: Outbox,
    id_type: String,
}

impl Lookup {
    pub(crate) async fn open(
        server: &Server,
        outbox: &Outbox,
        row_bytes_max: usize,
        timeout: Duration,
    ) -> Result<Self, QueryError> {
        let mut client = Client::connect(server, row_bytes_max, timeout).await?;
        let table = literal(&table(outbox));
        let column = literal(&outbox.event_id);
        let asked = format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
             WHERE attrelid = {table}::regclass AND attname = {column}"
        );
        let row = client.query(&asked).await?.into_iter().next().unwrap_or_default();
        let id_type = row.into_iter().flatten().next().unwrap_or_default();
        Ok(Self { client, outbox: outbox.clone(), id_type })
    }

    /// Of those that are there: what each is about.
    pub(crate) async fn aggregates(&mut self, ids: &[String]) -> Result<HashMap<String, String>, QueryError> {
        // An id that the column could not hold is not there, and would be an error in the question.
        let fits = |id: &&String| match self.id_type.as_str() {
            "uuid" => id.parse::<Uuid>().is_ok(),
            "bigint" => id.parse::<i64>().is_ok(),
            "integer" => id.parse::<i32>().is_ok(),
            "smallint" => id.parse::<i16>().is_ok(),
            _ => !id.contains('\0'),
        };
        let wanted: Vec<_> = ids.iter().filter(fits).map(|id| format!("({})", literal(id))).collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let Outbox { event_id, aggregate_id, .. } = &self.outbox;
        let (id, aggregate, table) = (quoted(event_id), quoted(aggregate_id), table(&self.outbox));
        let (wanted, id_type) = (wanted.join(", "), &self.id_type);
        // As they were asked for: the same id can be written in several ways, with and without a `character`'s blanks.
        let asked = format!(
            "SELECT wanted.id, {table}.{aggregate}::text FROM (VALUES {wanted}) AS wanted (id) \
             JOIN {table} ON {table}.{id} = wanted.id::{id_type}"
        );
        let rows = self.client.query(&asked).await?;
        let pairs = rows.into_iter().filter_map(|row| {
            let mut columns = row.into_iter();
            Some((columns.next()??, columns.next()?.unwrap_or_default()))
        });
        Ok(pairs.collect())
    }

    /// From here on, a question is refused if a policy hides rows from whoever asks, and not answered as if they were not
    /// there.
    pub(crate) async fn refuse_hidden_rows(&mut self) -> Result<(), QueryError> {
        self.client.query("SET row_security = off").await.map(drop)
    }

    pub(crate) async fn close(self) {
        drop(self.client.close().await);
    }
}
