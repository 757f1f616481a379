//! Where tokens come from and how they are presented.

use std::{error::Error, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::ConnectError;

/// How the upgrade carries the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPlacement {
    /// `Authorization: Bearer <token>`.
    #[default]
    Header,
    /// `?Authorization=<token>`, as clients of API Gateway send it. URLs end up in logs of what stands between.
    Query,
    /// The subprotocol pair `streamer.v1, bearer.<token>`, as browsers send it.
    Subprotocol,
}

type Provider = dyn Fn() -> BoxFuture<'static, Result<String, Box<dyn Error + Send + Sync>>> + Send + Sync;

/// Where the token of the next connection comes from.
#[derive(Clone, Default)]
pub(crate) enum TokenSource {
    #[default]
    None,
    /// The same one again, until it is renewed.
    Fixed(Arc<Mutex<String>>),
    Provider(Arc<Provider>),
}

impl TokenSource {
    pub(crate) fn fixed(token: impl Into<String>) -> Self {
        Self::Fixed(Arc::new(Mutex::new(token.into())))
    }

    /// The token for a connection that is about to be made.
    pub(crate) async fn token(&self) -> Result<Option<String>, ConnectError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(token.lock().clone())),
            Self::Provider(provider) => provider().await.map(Some).map_err(ConnectError::Token),
        }
    }

    /// Whether asking again may give another token.
    pub(crate) fn is_fresh_each_time(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    /// Takes the place of a fixed token; a provider knows better.
    pub(crate) fn renew(&self, token: &str) {
        if let Self::Fixed(fixed) = self {
            token.clone_into(&mut fixed.lock());
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Fixed(_) => "fixed",
            Self::Provider(_) => "provider",
        })
    }
}
