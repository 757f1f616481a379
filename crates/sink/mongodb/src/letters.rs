//! Dead letters, a document each.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mongodb::bson::{
    self, Document, RawDocumentBuf, deserialize_from_document, doc, rawdoc, serialize_to_document,
};
use streamer_events::{
    DeadLetter,
    sink::{DeadLetters, Error, ErrorKind, Result},
};

use crate::{
    command::{self, Write},
    error::of_driver,
    sink::{DEAD_LETTERS, MongoSink},
};

#[async_trait]
impl DeadLetters for MongoSink {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let writes = letters
            .iter()
            .map(|letter| {
                let fields = written(letter).map_err(|e| Error::new(ErrorKind::Invalid, e))?;
                let update = rawdoc! { "$setOnInsert": fields };
                Ok(Write::Upsert { query: rawdoc! { "_id": letter.id.as_str() }, update })
            })
            .collect::<Result<_>>()?;
        let failed = command::write(self, DEAD_LETTERS, writes).await?;
        match failed.into_iter().find(|failed| !failed.is_duplicate()) {
            None => Ok(()),
            Some(failed) => Err(Error::new(ErrorKind::Unavailable, failed.message)),
        }
    }

    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        let above = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": after } });
        let letters = self.database.collection::<Document>(DEAD_LETTERS);
        let find = letters.find(above).sort(doc! { "_id": 1 }).limit(limit.into());
        let finding =
            async { find.await.map_err(of_driver)?.try_collect::<Vec<_>>().await.map_err(of_driver) };
        let found = self.within(finding).await?;
        found.into_iter().map(read).collect()
    }

    async fn discard(&self, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let letters = self.database.collection::<Document>(DEAD_LETTERS);
        let delete = letters.delete_many(doc! { "_id": { "$in": ids } });
        self.within(async { delete.await.map_err(of_driver) }).await.map(drop)
    }

    async fn count_letters(&self) -> Result<u64> {
        let letters = self.database.collection::<Document>(DEAD_LETTERS);
        self.within(async { letters.count_documents(doc! {}).await.map_err(of_driver) }).await
    }
}

fn written(letter: &DeadLetter) -> bson::error::Result<RawDocumentBuf> {
    let mut fields = serialize_to_document(letter)?;
    fields.remove("id");
    RawDocumentBuf::try_from(&fields)
}

fn read(mut document: Document) -> Result<DeadLetter> {
    if let Some(id) = document.remove("_id") {
        document.insert("id", id);
    }
    deserialize_from_document(document).map_err(|e| Error::new(ErrorKind::Corrupt, e))
}
