//! Ports that fail when a test wants them to.

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    batch::Batch,
    event::EventId,
    letter::DeadLetter,
    position::Position,
    sink::{Adopted, DeadLetters, Error, ErrorKind, Ledger, RefusedWrite, Result, Sink},
    source::{self, Limit, Opened, Read, Source},
};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the caller is told [`ErrorKind::Unavailable`].
    Refuse,
    /// It is done, but the caller is told [`ErrorKind::Unavailable`].
    LoseReply,
    /// Only the first half of the batch's groups is applied, and the caller is told [`ErrorKind::Unavailable`]. For
    /// calls without a batch, as [`Refuse`](Self::Refuse).
    DoPart,
    /// It is done after so long.
    Delay(Duration),
    /// Nothing is done, and the caller is never told anything: its process is dead.
    Never,
}

type Plan = dyn Fn(&'static str) -> Option<Fault> + Send + Sync;

/// Any sink, with faults by a plan.
pub struct FaultySink<S> {
    sink: S,
    plan: Box<Plan>,
}

impl<S> FaultySink<S> {
    /// Asks `plan` before each call; it is given the method's name, such as `"apply"`.
    pub fn new(sink: S, plan: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { sink, plan: Box::new(plan) }
    }

    /// Faults that strike once each, in order: a call takes the first one if it is for its name.
    pub fn scripted(sink: S, script: impl IntoIterator<Item = (&'static str, Fault)>) -> Self {
        let script: Mutex<VecDeque<_>> = Mutex::new(script.into_iter().collect());
        Self::new(sink, move |name| {
            let mut script = script.lock();
            script.pop_front_if(|(wanted, _)| *wanted == name).map(|(_, fault)| fault)
        })
    }

    /// The sink itself, without faults.
    pub fn inner(&self) -> &S {
        &self.sink
    }

    async fn call<T>(&self, name: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match (self.plan)(name) {
            None => call.await,
            Some(fault) => self.faulty(fault, call).await,
        }
    }

    async fn faulty<T>(&self, fault: Fault, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match fault {
            Fault::Refuse | Fault::DoPart => Err(unavailable("refused by the test's plan")),
            Fault::LoseReply => {
                call.await?;
                Err(unavailable("done, but its reply is lost by the test's plan"))
            }
            Fault::Delay(span) => {
                tokio::time::sleep(span).await;
                call.await
            }
            Fault::Never => std::future::pending().await,
        }
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

#[async_trait]
impl<S: Sink> Sink for FaultySink<S> {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        match (self.plan)("apply") {
            None => self.sink.apply(batch).await,
            Some(Fault::DoPart) => {
                let mut part = batch.clone();
                part.groups.truncate(batch.groups.len().div_ceil(2));
                self.sink.apply(&part).await?;
                Err(unavailable("half of it is done by the test's plan"))
            }
            Some(fault) => self.faulty(fault, self.sink.apply(batch)).await,
        }
    }
}

#[async_trait]
impl<S: Ledger> Ledger for FaultySink<S> {
    async fn adopted(&self) -> Result<Option<Adopted>> {
        self.call("adopted", self.sink.adopted()).await
    }

    async fn adopt(&self, adopted: &Adopted) -> Result<()> {
        self.call("adopt", self.sink.adopt(adopted)).await
    }

    async fn record(&self, events: &[(EventId, Position)]) -> Result<()> {
        self.call("record", self.sink.record(events)).await
    }

    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>> {
        self.call("recall", self.sink.recall(events)).await
    }
}

#[async_trait]
impl<S: DeadLetters> DeadLetters for FaultySink<S> {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        self.call("bury", self.sink.bury(letters)).await
    }

    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.call("letters", self.sink.letters(after, limit)).await
    }

    async fn discard(&self, ids: &[String]) -> Result<()> {
        self.call("discard", self.sink.discard(ids)).await
    }

    async fn count_letters(&self) -> Result<u64> {
        self.call("count_letters", self.sink.count_letters()).await
    }
}

/// Any source, whose confirmations are late or never arrive by a plan: what was confirmed then comes again.
pub struct FaultySource<S> {
    source: S,
    loses: Box<dyn Fn(&Position) -> bool + Send + Sync>,
}

impl<S> FaultySource<S> {
    /// Asks `loses` whether a confirmation is lost.
    pub fn new(source: S, loses: impl Fn(&Position) -> bool + Send + Sync + 'static) -> Self {
        Self { source, loses: Box::new(loses) }
    }
}

#[async_trait]
impl<S: Source> Source for FaultySource<S> {
    async fn open(&self) -> source::Result<Opened> {
        self.source.open().await
    }

    async fn start(&self, snapshot: Option<u32>) -> source::Result<()> {
        self.source.start(snapshot).await
    }

    async fn read(&self, limit: Limit) -> source::Result<Vec<Read>> {
        self.source.read(limit).await
    }

    async fn confirm(&self, position: &Position) {
        if !(self.loses)(position) {
            self.source.confirm(position).await;
        }
    }

    async fn close(&self) -> source::Result<()> {
        self.source.close().await
    }
}
