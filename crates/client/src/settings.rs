//! What a client is told before it connects.

use std::{error::Error, time::Duration};

use futures_util::FutureExt as _;
use streamer_protocol::MESSAGE_BYTES_MAX;

use crate::{
    Backoff,
    token::{TokenPlacement, TokenSource},
};

/// Where to connect, as whom, and within which bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) url: String,
    pub(crate) token: TokenSource,
    pub(crate) placement: TokenPlacement,
    pub(crate) connect_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) request_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    pub(crate) joined_bytes_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) updates_max: usize,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Settings {
    /// For a `ws://` or, with the feature `tls`, a `wss://` address; everything else as its setter says.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: TokenSource::None,
            placement: TokenPlacement::Header,
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(40),
            backoff: Backoff::default(),
            request_bytes_max: MESSAGE_BYTES_MAX,
            message_bytes_max: 1 << 20,
            joined_bytes_max: 16 << 20,
            calls_max: 1024,
            updates_max: 256,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// One token for every connection, until [`Client::refresh`](crate::Client::refresh) replaces it. Once it has
    /// expired, the client cannot come back.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: TokenSource::fixed(token), ..self }
    }

    /// A token from `provider` for each connection, so that a client comes back after its token expired.
    #[must_use]
    pub fn token_from<F, T, E>(self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let provider = move || provider().map(|token| token.map_err(Into::into)).boxed();
        Self { token: TokenSource::Provider(std::sync::Arc::new(provider)), ..self }
    }

    /// How the token is presented: by header, unless told otherwise.
    #[must_use]
    pub fn token_placement(self, placement: TokenPlacement) -> Self {
        Self { placement, ..self }
    }

    /// For a whole attempt, fetching the token included: 10 s.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// A connection that says nothing for so long is pinged, and given up after as long again: 40 s, as a server
    /// pings every 30 s.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// Waits between attempts to connect again: see [`Backoff`].
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// The largest message to send, in bytes: 128 KiB, which is what a server takes by default.
    #[must_use]
    pub fn request_bytes_max(self, request_bytes_max: usize) -> Self {
        Self { request_bytes_max, ..self }
    }

    /// The largest message to receive in one piece, in bytes: 1 MiB. The server's bound should be lower: a larger
    /// one closes the client.
    #[must_use]
    pub fn message_bytes_max(self, message_bytes_max: usize) -> Self {
        Self { message_bytes_max, ..self }
    }

    /// The bytes of messages that have come in part: 16 MiB.
    #[must_use]
    pub fn joined_bytes_max(self, joined_bytes_max: usize) -> Self {
        Self { joined_bytes_max, ..self }
    }

    /// How many calls may be open at once, and how many subscriptions: 1024.
    #[must_use]
    pub fn calls_max(self, calls_max: usize) -> Self {
        Self { calls_max, ..self }
    }

    /// How many updates wait for the reader of one call or subscription: 256, at least 1. When a call's are full, progress collapses to
    /// the newest; what does not fit even so is fetched from the server's log once the reader comes back.
    #[must_use]
    pub fn updates_max(self, updates_max: usize) -> Self {
        Self { updates_max: updates_max.max(1), ..self }
    }

    /// TLS of one's own: other roots, a client certificate. By default the platform's roots are trusted or, where
    /// it has none, Mozilla's.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(config), ..self }
    }
}
