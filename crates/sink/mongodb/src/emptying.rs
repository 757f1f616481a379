//! Removing all that the sink wrote.

use mongodb::bson::{Document, doc};
use streamer_events::{
    failpoint::{self, Step},
    sink::Result,
};

use crate::{
    error::of_driver,
    sink::{DEAD_LETTERS, LEDGER, MongoSink, SOURCE},
};

impl MongoSink {
    /// Removes the read models' documents, the ledger, the source's life and the dead letters, for a beginning from
    /// nothing; says how many documents of read models there were. Documents of others stay: ours are known by their
    /// positions. No pipeline may be running.
    pub async fn empty(&self) -> Result<u64> {
        let names = self.within(async { self.database.list_collection_names().await.map_err(of_driver) });
        let mut count = 0;
        for name in names.await? {
            let documents = self.database.collection::<Document>(&name);
            let ours = match name.as_str() {
                // Last, below: as long as it is there, the documents belong to a life.
                SOURCE => continue,
                LEDGER | DEAD_LETTERS => doc! {},
                name if name.starts_with("system.") => continue,
                _ => doc! { "pos": { "$exists": true } },
            };
            let is_model = !ours.is_empty();
            let removing = async { documents.delete_many(ours).await.map_err(of_driver) };
            let removed = failpoint::around(Step::Empty, self.within(removing)).await?.deleted_count;
            count += if is_model { removed } else { 0 };
        }
        let source = self.database.collection::<Document>(SOURCE);
        let removing = self.within(async { source.delete_many(doc! {}).await.map_err(of_driver) });
        failpoint::around(Step::Empty, removing).await?;
        Ok(count)
    }
}
