//! The rows that are there, in pages by a rising key, all as of one moment.

use streamer_events::{
    Change, Offset, Partition, Position,
    change::{Lsn, Op, Origin, Passed},
    clock::Clock,
    source::Read,
};

use crate::{
    connection::{Answer, Connection, literal, quoted, values_of},
    error::{Error, Result},
    settings::Settings,
    slot::lsn,
    stream::Ready,
    table::{Table, Types},
};

/// So many rows a statement. They are read one by one, so this bounds nothing but how long one statement runs.
const PAGE_ROWS: usize = 10_000;

/// Reads the table. Where it has come to stays if a connection breaks.
pub(crate) struct Snapshot {
    partition: Partition,
    /// The key of the last row that was given out.
    after: Option<String>,
    given: u64,
    page: Option<Page>,
}

/// A statement that is being answered.
#[derive(Default)]
struct Page {
    is_asked_for: bool,
    table: Option<Table>,
    key: usize,
    rows: usize,
}

impl Snapshot {
    pub(crate) fn new(partition: Partition) -> Self {
        Self { partition, after: None, given: 0, page: None }
    }

    /// Begins a transaction that sees what the exported snapshot does, or else what there is now. Then also returns
    /// where the log is: what was committed before may be in the snapshot, and come by the stream too.
    pub(crate) async fn begin(
        &mut self,
        connection: &mut Connection,
        exported: Option<&str>,
    ) -> Result<Option<Lsn>> {
        self.page = None;
        connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if let Some(exported) = exported {
            connection.query(&format!("SET TRANSACTION SNAPSHOT {}", literal(exported))).await?;
            return Ok(None);
        }
        // The first statement takes the snapshot. What it sees had been written into the log by then.
        connection.query("SELECT 1").await?;
        lsn(connection.value("SELECT pg_current_wal_insert_lsn()").await?).map(Some)
    }

    /// Reads on until a row is ready, or all have been. Dropping the call loses nothing.
    pub(crate) async fn next(
        &mut self,
        connection: &mut Connection,
        settings: &Settings,
        types: &Types,
        clock: &dyn Clock,
        ready: &mut Ready,
    ) -> Result<()> {
        loop {
            let statement = self.statement(settings);
            let page = self.page.get_or_insert_default();
            if !page.is_asked_for {
                // Not asked for a second time: should this be dropped half sent, the connection is of no use.
                page.is_asked_for = true;
                connection.begin_query(&statement).await?;
            }
            match connection.answer().await? {
                Answer::Columns(columns) => {
                    let outbox = &settings.outbox;
                    let table = Table::of_answer(&outbox.schema, &outbox.table, &columns, types);
                    page.key = table.column(&settings.sequence).ok_or_else(no_key)?;
                    page.table = Some(table);
                }
                Answer::Row(frame) => {
                    let values = values_of(&frame)?;
                    self.after = values.get(page.key).copied().flatten().map(ToOwned::to_owned);
                    self.given += 1;
                    page.rows += 1;
                    let table = page.table.as_ref().ok_or_else(no_key)?;
                    let position =
                        Position { partition: self.partition.clone(), offset: Offset::at(self.given) };
                    ready.push_back((Read::Change(change(table, &values, position, clock)), frame.len()));
                    return Ok(());
                }
                Answer::Done => {
                    let was_last = page.rows < PAGE_ROWS;
                    self.page = None;
                    if was_last {
                        ready.push_back((Read::SnapshotEnd, 0));
                        return Ok(());
                    }
                }
            }
        }
    }

    fn statement(&self, settings: &Settings) -> String {
        let (outbox, key) = (&settings.outbox, quoted(&settings.sequence));
        let table = format!("{}.{}", quoted(&outbox.schema), quoted(&outbox.table));
        let after = self.after.as_ref().map(|after| format!("WHERE {key} > {}", literal(after)));
        format!("SELECT * FROM {table} {} ORDER BY {key} LIMIT {PAGE_ROWS}", after.unwrap_or_default())
    }
}

fn change(table: &Table, values: &[Option<&str>], position: Position, clock: &dyn Clock) -> Change {
    let now = clock.now();
    Change {
        op: Op::Read,
        before: None,
        after: Some(table.answer_row(values)),
        origin: Origin {
            schema: table.schema.clone(),
            table: table.name.clone(),
            lsn: None,
            tx_id: None,
            committed_at: None,
            sequence: None,
        },
        position,
        // An earlier attempt may have brought it, or another source.
        may_be_known: true,
        passed: Passed { decoded_at: Some(now), delivered_at: Some(now) },
    }
}

fn no_key() -> Error {
    use streamer_events::source::{Error as SourceError, ErrorKind};
    Error::Fatal(SourceError::new(ErrorKind::NotReady, "the outbox has no column to read its rows by"))
}
