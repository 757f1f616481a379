//! Keys that an issuer publishes under an address, as a JSON Web Key Set (RFC 7517).

mod freshness;
mod http;
mod key_set;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use key_set::read;
pub use streamer_http::{Address, AddressError};

use crate::{Algorithm, Fetched, KeySource, SourceError};

/// How long a fetch may take in all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The keys of one algorithm behind one address. A key of another kind, for another purpose, or that cannot be used,
/// is passed over, as RFC 7517, section 5, wants it.
pub struct Source {
    address: Address,
    algorithm: Algorithm,
    tls: TlsConnector,
    timeout: Duration,
}

impl Source {
    /// Trusts the certificate authorities of the platform or, where it has none, Mozilla's.
    #[must_use]
    pub fn new(address: Address, algorithm: Algorithm) -> Self {
        Self { address, algorithm, tls: streamer_http::trust::platform().into(), timeout: TIMEOUT }
    }

    /// With other trust, such as a private authority's.
    #[must_use]
    pub fn tls(self, config: Arc<ClientConfig>) -> Self {
        Self { tls: config.into(), ..self }
    }

    /// With another bound on a fetch than 5 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

#[async_trait]
impl KeySource for Source {
    async fn fetch(&self) -> Result<Fetched, SourceError> {
        let answer = timeout(self.timeout, http::get(&self.address, &self.tls)).await;
        let http::Answer { body, max_age } = answer.map_err(|_| SourceError::Timeout(self.timeout))??;
        Ok(Fetched { keys: key_set::read(&body, self.algorithm)?, max_age })
    }

    fn place(&self) -> &str {
        self.address.shown()
    }
}
