//! One request under way.

use std::sync::Arc;

use streamer_protocol::{Json, RequestId};

use crate::{CallError, Chunks, Client, Collected, Standing, Update, mailbox::Mailbox};

/// A request and what comes of it. Dropping it only stops listening: the request goes on, and
/// [`Client::resume`] listens again.
#[derive(Debug)]
#[must_use = "dropping a call stops listening"]
pub struct Call {
    client: Client,
    id: RequestId,
    mailbox: Arc<Mailbox>,
    last_seq: u64,
}

impl Call {
    pub(crate) fn new(client: Client, id: RequestId, mailbox: Arc<Mailbox>, after_seq: u64) -> Self {
        Self { client, id, mailbox, last_seq: after_seq }
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// Up to where the log has been read: what [`Client::resume`] takes in another process, once everything up to here
    /// has been dealt with.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The next update, in order and once; `None` when the request has ended and [`outcome`](Self::outcome) says how.
    /// Safe to cancel.
    pub async fn next(&mut self) -> Option<Update> {
        let update = self.mailbox.next(self.client.ask()).await?;
        self.last_seq = self.last_seq.max(update.seq().unwrap_or(0));
        Some(update)
    }

    /// Waits for the end, past all updates that were not read: the answer of a short request or the result of a long
    /// one.
    pub async fn outcome(mut self) -> Result<Json, CallError> {
        while self.next().await.is_some() {}
        self.mailbox.take_end().expect("a call that gives no more updates has ended, and is asked once")
    }

    /// Waits for the end and keeps the chunks that count.
    pub async fn collect(mut self) -> Result<Collected, CallError> {
        let mut chunks = Chunks::default();
        while let Some(update) = self.next().await {
            chunks.apply(&update);
        }
        Ok(Collected { chunks: chunks.into_data(), outcome: self.outcome().await? })
    }

    /// Asks the server to end the request. The call then ends with the code `CANCELLED`, unless the request was quicker.
    pub async fn cancel(&self) -> Result<Standing, CallError> {
        self.client.cancel(self.id.as_str()).await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.mailbox.abandon();
        self.client.ask().notify_one();
    }
}
