//! The sink, connected.

use std::time::Duration;

use mongodb::{Client, Database, bson::doc, options::ClientOptions};
use streamer_events::{
    failpoint::{self, Step},
    sink::{Error, ErrorKind, Result},
};
use tokio::sync::Semaphore;
use tracing::info;

use crate::{error::of_driver, indexes, settings::Settings};

/// The collection with where each event stands.
pub const LEDGER: &str = "_streamer_ledger";
/// The collection with the life of the source.
pub(crate) const SOURCE: &str = "_streamer_source";
/// The collection of dead letters.
pub const DEAD_LETTERS: &str = "_streamer_dead_letters";

/// Read models, ledger and dead letters in one database. Connections are the driver's: it makes them anew by itself.
pub struct MongoSink {
    pub(crate) database: Database,
    pub(crate) command_timeout: Duration,
    /// As many as there are connections: what waits for one has not begun.
    turns: Semaphore,
}

impl MongoSink {
    /// Connects, and makes the indexes that are missing.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let sink = Self::connect(settings).await?;
        sink.make_indexes(settings).await?;
        Ok(sink)
    }

    /// Connects, and changes nothing: for those who look into it.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let mut options = ClientOptions::parse(&settings.uri).await.map_err(of_driver)?;
        options.app_name.get_or_insert_with(|| "streamer".to_owned());
        options.server_selection_timeout = Some(settings.server_selection_timeout);
        options.max_pool_size = Some(settings.connections_max);
        // A command that is repeated is repeated by the pipeline, which knows what it may have done.
        options.retry_writes = Some(false);
        let database = Client::with_options(options).map_err(of_driver)?.database(&settings.database);
        // To the driver, no bound is 0.
        let turns = match settings.connections_max {
            0 => Semaphore::MAX_PERMITS,
            most => usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS),
        };
        Ok(Self { database, command_timeout: settings.command_timeout, turns: Semaphore::new(turns) })
    }

    /// The database, for those who look into it.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<()> {
        self.within(async { self.database.run_command(doc! { "ping": 1 }).await.map_err(of_driver) })
            .await
            .map(drop)
    }

    async fn make_indexes(&self, settings: &Settings) -> Result<()> {
        let of_models = settings.indexes.iter().map(|index| (index.collection.as_str(), index.model()));
        for (collection, model) in of_models.chain([(LEDGER, indexes::of_the_ledger())]) {
            let collection = self.database.collection::<mongodb::bson::Document>(collection);
            let making = self.within(async { collection.create_index(model).await.map_err(of_driver) });
            failpoint::around(Step::Index, making).await?;
        }
        info!(database = %settings.database, "the indexes are there");
        Ok(())
    }

    /// A server that does not answer is not waited for without end, once it is asked. Not to be called within itself.
    pub(crate) async fn within<T>(&self, doing: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let _turn = self.turns.acquire().await.expect("never closed");
        let late = |_| Error::new(ErrorKind::Unavailable, "the server does not answer in time");
        tokio::time::timeout(self.command_timeout, doing).await.map_err(late)?
    }
}
