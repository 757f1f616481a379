//! The way to a visitor: a queue in this process, bounded as a connection's is.

use std::{future::poll_fn, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use streamer_engine::{
    Frame,
    push::{Push, Result},
};
use streamer_protocol::{CloseCode, ConnectionId};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    link::{Behind, Bounds, Link},
    volley::text,
};

/// Everything that is pushed here is for one visitor, who takes it when it pleases.
pub(super) struct Outlet {
    link: Link,
}

impl Outlet {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { link: Link::new(ConnectionId::new(""), bounds, Behind::default()) }
    }

    /// The next frame, if one waits.
    pub(super) fn waiting(&self) -> Option<Bytes> {
        self.link.next().map(bytes)
    }

    /// The next frame; `None` once nothing more will come. Nothing is lost if this is dropped.
    pub(super) async fn next(&self) -> Option<Bytes> {
        poll_fn(|cx| {
            self.link.register(cx.waker());
            match self.link.next() {
                Some(message) => Poll::Ready(Some(bytes(message))),
                None if self.link.is_open() => Poll::Pending,
                None => Poll::Ready(None),
            }
        })
        .await
    }

    /// The visitor is gone: whoever waits for room here waits in vain.
    pub(super) fn end(&self) {
        self.link.end();
    }
}

fn bytes(message: Message) -> Bytes {
    match message {
        Message::Text(text) => text.into(),
        _ => unreachable!("only texts are pushed"),
    }
}

#[async_trait]
impl Push for Outlet {
    async fn push(&self, _: &ConnectionId, frame: Frame) -> Result<()> {
        self.link.push(text(&frame), frame.collapses())
    }

    async fn drained(&self, _: &ConnectionId) -> Result<()> {
        self.link.drained().await
    }

    async fn is_active(&self, _: &ConnectionId) -> bool {
        self.link.is_open()
    }

    async fn disconnect(&self, _: &ConnectionId, why: CloseCode) -> Result<()> {
        self.link.close(why)
    }
}
