//! The stream of changes: what is said of them, made into changes.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use streamer_events::{
    Change, Moment, Offset, Partition, Position,
    change::{Lsn, Op, Origin, Passed, Row},
    clock::Clock,
    source::{Read, SlotLag},
};
use tokio::sync::Notify;

use crate::{
    error::{Error, Result},
    pgoutput::{Malformed, Message, Streamed},
    progress::Progress,
    slot,
    table::{Table, Types},
};

/// Microseconds from 1970, where our time begins, to 2000, where PostgreSQL's does.
pub(crate) const EPOCH_2000_MICROS: i64 = 946_684_800_000_000;

/// A change ready to be taken, and how many bytes the server sent for it.
pub(crate) type Ready = VecDeque<(Read, usize)>;

/// Reads the stream, piece by piece. Between pieces nothing is half done.
pub(crate) struct Decoder {
    partition: Partition,
    types: Types,
    tables: HashMap<u32, Table>,
    transaction: Option<Transaction>,
    /// Changes that were committed before this may be known from a snapshot.
    overlap: Option<Lsn>,
    last_commit: Lsn,
    /// The table of slots: schema and name.
    ours: (String, &'static str),
}

#[derive(Debug, Clone)]
struct Transaction {
    commit: Lsn,
    committed_at: Moment,
    xid: u32,
    /// The next change's.
    ordinal: u32,
}

/// What a piece comes with.
#[derive(Clone, Copy)]
struct Place {
    lsn: Lsn,
    decoded_at: Moment,
    delivered_at: Moment,
    bytes: usize,
}

/// What the decoder shares with those who confirm.
pub(crate) struct Shared {
    pub(crate) progress: Mutex<Progress>,
    /// The server wants to hear at once how far we are.
    pub(crate) asked: Notify,
    /// How far the slot was behind when the heart last looked.
    pub(crate) lag: Mutex<Option<SlotLag>>,
}

impl Decoder {
    /// For a slot whose changes up to `overlap` may be known, beside an outbox in `schema`.
    pub(crate) fn new(partition: Partition, types: Types, overlap: Option<Lsn>, schema: &str) -> Self {
        let ours = (schema.to_owned(), slot::TABLE);
        Self {
            partition,
            types,
            tables: HashMap::new(),
            transaction: None,
            overlap,
            last_commit: Lsn(0),
            ours,
        }
    }

    /// Takes a piece of the stream. What it brings is put behind what is ready.
    pub(crate) fn take(
        &mut self,
        piece: &[u8],
        clock: &dyn Clock,
        shared: &Shared,
        ready: &mut Ready,
    ) -> Result<()> {
        match Streamed::parse(piece)? {
            Streamed::Keepalive { end, reply } => {
                shared.progress.lock().keepalive(end);
                if reply {
                    shared.asked.notify_one();
                }
            }
            Streamed::Data { start, sent_at, message, .. } => {
                let place = Place {
                    lsn: start,
                    decoded_at: moment(sent_at),
                    delivered_at: clock.now(),
                    bytes: message.len(),
                };
                self.message(Message::parse(message)?, place, shared, ready)?;
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: Message<'_>,
        place: Place,
        shared: &Shared,
        ready: &mut Ready,
    ) -> Result<()> {
        match message {
            Message::Begin { commit, committed_at, xid } => {
                shared.progress.lock().begin();
                self.transaction =
                    Some(Transaction { commit, committed_at: moment(committed_at), xid, ordinal: 0 });
            }
            Message::Commit { commit, end, .. } => {
                let transaction = self.transaction.take();
                let last = transaction
                    .as_ref()
                    .and_then(|t| Some(Offset::in_transaction(t.commit.0, t.ordinal.checked_sub(1)?)));
                let committed_at = transaction.map_or_else(Moment::default, |t| t.committed_at);
                shared.progress.lock().commit(last, end, committed_at);
                self.last_commit = commit;
            }
            Message::Relation(relation) => {
                let table = Table::of(&relation, &self.types);
                self.tables.insert(relation.id, table);
            }
            Message::Insert { relation, new } => {
                let row = self.table(relation)?.row(&new, None);
                self.change(relation, Op::Create, None, Some(row), place, shared, ready)?;
            }
            Message::Update { relation, old, new } => {
                let table = self.table(relation)?;
                let after = table.row(&new, old.as_ref());
                let before = old.map(|old| table.row_before(&old));
                self.change(relation, Op::Update, before, Some(after), place, shared, ready)?;
            }
            Message::Delete { relation, old } => {
                let before = self.table(relation)?.row_before(&old);
                self.change(relation, Op::Delete, Some(before), None, place, shared, ready)?;
            }
            Message::Truncate { relations, .. } => {
                for relation in relations {
                    self.change(relation, Op::Truncate, None, None, place, shared, ready)?;
                }
            }
            // A type is known by its number; the others change no row.
            Message::Type { .. } | Message::Origin { .. } | Message::Logical { .. } => {}
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "what makes a change, and where it goes")]
    fn change(
        &mut self,
        relation: u32,
        op: Op,
        before: Option<Row>,
        after: Option<Row>,
        place: Place,
        shared: &Shared,
        ready: &mut Ready,
    ) -> Result<()> {
        let table = self.table(relation)?;
        if *table.schema == *self.ours.0 && *table.name == *self.ours.1 {
            // What we write down ourselves, where a publication is of all tables.
            return Ok(());
        }
        let transaction = self.transaction.as_mut().ok_or_else(outside)?;
        let offset = Offset::in_transaction(transaction.commit.0, transaction.ordinal);
        transaction.ordinal = transaction.ordinal.checked_add(1).ok_or_else(|| {
            Error::Io(std::io::Error::other("a transaction has more changes than can be numbered"))
        })?;
        if !shared.progress.lock().give(offset) {
            return Ok(());
        }
        let transaction = transaction.clone();
        let table = self.table(relation)?;
        let change = Change {
            op,
            before,
            after,
            origin: Origin {
                schema: table.schema.clone(),
                table: table.name.clone(),
                lsn: Some(place.lsn),
                tx_id: Some(u64::from(transaction.xid)),
                committed_at: Some(transaction.committed_at),
                sequence: Some(format!(r#"["{}","{}"]"#, self.last_commit.0, place.lsn.0)),
            },
            position: Position { partition: self.partition.clone(), offset },
            may_be_known: self.overlap.is_some_and(|overlap| transaction.commit <= overlap),
            passed: Passed { decoded_at: Some(place.decoded_at), delivered_at: Some(place.delivered_at) },
        };
        ready.push_back((Read::Change(change), place.bytes));
        Ok(())
    }

    fn table(&self, relation: u32) -> Result<&Table> {
        // The server describes a table before its first change.
        self.tables.get(&relation).ok_or_else(outside)
    }
}

fn outside() -> Error {
    Error::Malformed(Malformed::TooShort)
}

/// Microseconds since 2000 as a moment.
fn moment(micros_2000: i64) -> Moment {
    Moment::from_micros(micros_2000.saturating_add(EPOCH_2000_MICROS))
}
