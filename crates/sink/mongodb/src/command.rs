//! Writes in bulk: many statements in one command.

use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, cstr, rawdoc};
use streamer_events::{
    failpoint::{self, Step},
    sink::{Error, ErrorKind, Result},
};

use crate::{error::of_driver, sink::MongoSink};

/// MongoDB's bound of a document, with room for what a command says beside it.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024 - 16 * 1024;

/// A command is a document too: so many bytes of statements go into one. MongoDB takes 100,000 statements; replies
/// come sooner with fewer.
const COMMAND_BYTES_MAX: usize = 8 * 1024 * 1024;
const COMMAND_STATEMENTS_MAX: usize = 1000;

/// One document's statement.
pub(crate) enum Write {
    /// Inserts a document; if it is there, that is a [conflict](Failed::is_conflict).
    Insert(RawDocumentBuf),
    /// Replaces or changes the document that `query` finds, or else inserts it.
    Upsert { query: RawDocumentBuf, update: RawDocumentBuf },
}

impl Write {
    const fn is_insert(&self) -> bool {
        matches!(self, Self::Insert(_))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Insert(document) => document.as_bytes().len(),
            Self::Upsert { query, update } => query.as_bytes().len() + update.as_bytes().len(),
        }
    }
}

/// A statement that was not done.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Which of the statements.
    pub(crate) at: usize,
    pub(crate) code: i32,
    pub(crate) message: String,
    /// The index whose values must be unique, if that is why.
    pub(crate) index: Option<String>,
}

/// MongoDB's code for a second document with the same value where an index wants it once.
const DUPLICATE_KEY: i32 = 11_000;

/// NotWritablePrimary, InterruptedAtShutdown, and the like: what the driver's specification calls retryable.
const PASSING: [i32; 13] = [6, 7, 89, 91, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436, 50];

impl Failed {
    /// Whether the document was there, or was changed by somebody else since it was read.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code == DUPLICATE_KEY && self.index.as_deref() == Some("_id_")
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        self.code == DUPLICATE_KEY
    }
}

/// Does the statements, in any order, and returns those that failed.
pub(crate) async fn write(sink: &MongoSink, collection: &str, writes: Vec<Write>) -> Result<Vec<Failed>> {
    let mut failed = Vec::new();
    for part in parts(writes) {
        let (mut command, field) = match part.inserts {
            true => (rawdoc! { "insert": collection }, cstr!("documents")),
            false => (rawdoc! { "update": collection }, cstr!("updates")),
        };
        command.append(field, part.statements);
        command.append(cstr!("ordered"), false);
        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
        // Each command has its time: a batch of many is not late because it is large.
        let running = sink.within(async { sink.database.run_raw_command(command).await.map_err(of_driver) });
        let reply = failpoint::around(Step::Update, running).await?;
        for mut error in read(&reply)? {
            error.at = *part.places.get(error.at).ok_or_else(unsent)?;
            failed.push(error);
        }
    }
    Ok(failed)
}

fn unsent() -> Error {
    Error::new(ErrorKind::Corrupt, "an error of a statement that was not sent")
}

/// What one command takes: statements of one kind, and their places among all.
struct Part {
    inserts: bool,
    bytes: usize,
    places: Vec<usize>,
    statements: RawArrayBuf,
}

impl Part {
    fn takes(&self, write: &Write) -> bool {
        self.places.is_empty()
            || self.places.len() < COMMAND_STATEMENTS_MAX && self.bytes + write.bytes() <= COMMAND_BYTES_MAX
    }

    fn push(&mut self, place: usize, write: Write) {
        self.bytes += write.bytes();
        self.places.push(place);
        match write {
            Write::Insert(document) => self.statements.push(document),
            Write::Upsert { query, update } => {
                self.statements.push(rawdoc! { "q": query, "u": update, "upsert": true });
            }
        }
    }
}

fn parts(writes: Vec<Write>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (place, write) in writes.into_iter().enumerate() {
        let inserts = write.is_insert();
        let newest = parts.iter().rposition(|part| part.inserts == inserts);
        let at = newest.filter(|newest| parts[*newest].takes(&write)).unwrap_or_else(|| {
            parts.push(Part { inserts, bytes: 0, places: Vec::new(), statements: RawArrayBuf::new() });
            parts.len() - 1
        });
        parts[at].push(place, write);
    }
    parts
}

fn read(reply: &Document) -> Result<Vec<Failed>> {
    if let Ok(concern) = reply.get_document("writeConcernError") {
        return Err(Error::new(ErrorKind::Unavailable, format!("not durable yet: {concern}")));
    }
    let Ok(errors) = reply.get_array("writeErrors") else { return Ok(Vec::new()) };
    let errors = errors.iter().filter_map(Bson::as_document).map(|error| {
        let message = error.get_str("errmsg").unwrap_or_default().to_owned();
        let number = |name| {
            error.get(name).and_then(|value| match value {
                Bson::Int32(number) => Some(*number),
                Bson::Int64(number) => i32::try_from(*number).ok(),
                _ => None,
            })
        };
        let code = number("code").unwrap_or(0);
        if PASSING.contains(&code) {
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let at = number("index").and_then(|at| usize::try_from(at).ok());
        let at = at.ok_or_else(|| Error::new(ErrorKind::Corrupt, "an error without its statement"))?;
        let index = (code == DUPLICATE_KEY).then(|| index_of(error, &message)).flatten();
        Ok(Failed { at, code, message, index })
    });
    errors.collect()
}

/// The index's name: `E11000 duplicate key error collection: db.users index: email_1 dup key: …`.
fn index_of(error: &Document, message: &str) -> Option<String> {
    if let Ok(pattern) = error.get_document("keyPattern") {
        let is_id = pattern.len() == 1 && pattern.contains_key("_id");
        let named = pattern.keys().map(|key| format!("{key}_1")).collect::<Vec<_>>().join("_");
        return Some(if is_id { "_id_".to_owned() } else { named });
    }
    message.split("index: ").nth(1)?.split(' ').next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    /// An insert of so many bytes.
    fn insert(bytes: usize) -> Write {
        let (empty, full) = (rawdoc! { "text": "" }, |text: String| rawdoc! { "text": text });
        Write::Insert(full("x".repeat(bytes - empty.as_bytes().len())))
    }

    #[test]
    fn commands_are_bounded_by_statements_and_by_bytes() {
        let sizes = |sizes: Vec<usize>| -> Vec<usize> {
            parts(sizes.into_iter().map(insert).collect()).iter().map(|part| part.places.len()).collect()
        };
        assert_eq!(sizes(vec![20; 2500]), [1000, 1000, 500]);
        let (half, all) = (COMMAND_BYTES_MAX / 2, DOCUMENT_BYTES_MAX);
        assert_eq!(sizes(vec![half, half, 20, all, 20]), [2, 1, 1, 1]);
        assert_eq!(sizes(vec![]), Vec::<usize>::new());
    }

    #[test]
    fn commands_are_of_one_kind_and_know_whose_statements_they_have() {
        let upsert = || Write::Upsert { query: rawdoc! { "_id": 1 }, update: rawdoc! { "a": 1 } };
        let parts = parts(vec![insert(20), upsert(), insert(21), upsert()]);
        let told: Vec<_> = parts.iter().map(|part| (part.inserts, part.places.clone())).collect();
        assert_eq!(told, [(true, vec![0, 2]), (false, vec![1, 3])]);
        let lengths: Vec<_> = parts.iter().map(|part| (&*part.statements).into_iter().count()).collect();
        assert_eq!(lengths, [2, 2]);
    }

    #[test]
    fn replies_say_which_statement_failed_and_why() {
        let error = |code: i32, more: Document| {
            let mut error =
                doc! { "index": 3, "code": code, "errmsg": "E11000 … index: email_1 dup key: { : 1 }" };
            error.extend(more);
            doc! { "ok": 1, "n": 1, "writeErrors": [error] }
        };
        let one = |reply: Document| read(&reply).expect("is read").remove(0);
        let by_text = one(error(11_000, doc! {}));
        assert_eq!(
            (by_text.at, by_text.index.as_deref(), by_text.is_conflict()),
            (3, Some("email_1"), false)
        );
        assert!(one(error(11_000, doc! { "keyPattern": { "_id": 1 } })).is_conflict());
        assert!(
            one(error(11_000, doc! { "keyPattern": { "a": 1, "b": 1 } })).index.as_deref() == Some("a_1_b_1")
        );
        assert!(!one(error(121, doc! {})).is_duplicate());
        assert_eq!(read(&error(91, doc! {})).expect_err("passes").kind(), ErrorKind::Unavailable);
        let concern = doc! { "ok": 1, "writeConcernError": { "code": 64 } };
        assert_eq!(read(&concern).expect_err("passes").kind(), ErrorKind::Unavailable);
        assert!(read(&doc! { "ok": 1 }).expect("is well").is_empty());
    }
}
