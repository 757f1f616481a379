//! TLS by rustls: 1.2 and 1.3, HTTP/1.1 alone, with a certificate that may change while the server runs.

mod handshake;
mod pair;
mod validity;

use std::{path::PathBuf, sync::Arc};

use parking_lot::{Mutex, RwLock};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use streamer_protocol::Timestamp;
use tracing::{info, warn};

pub(crate) use handshake::Handshakes;
use pair::{Digest, Pair};
pub use pair::{Half, TlsError};

/// From so long before a certificate's end on, it is warned of, in seconds.
const WARN_SECONDS: i64 = 14 * 24 * 60 * 60;

/// The server's certificate and key, as two files hold them. Cheap to clone; clones change together.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    config: Arc<ServerConfig>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    in_force: RwLock<Arc<CertifiedKey>>,
    /// What the files last held, good or not.
    seen: Mutex<Digest>,
}

/// What became of looking at the files again.
#[derive(Debug)]
pub enum Refreshed {
    /// They hold what they held.
    Unchanged,
    /// New connections get the new certificate.
    Changed,
    /// They cannot be used, which is in the log: the old certificate stays in force.
    Unusable(TlsError),
}

impl Tls {
    /// Reads the files, both PEM: a certificate with those that lead to its issuer, and its private key (PKCS#8,
    /// SEC 1 or PKCS#1). `now` tells whether the certificate has expired, which is warned of.
    pub fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let pair = Pair::read(&certificate, &key)?;
        pair.announce(now);
        let files = Files {
            certificate,
            key,
            in_force: RwLock::new(Arc::new(pair.certified)),
            seen: Mutex::new(pair.digest),
        };
        let files = Arc::new(files);
        let config = config(Arc::new(Served(Arc::clone(&files)))).map_err(TlsError::Setup)?;
        Ok(Self { files, config: Arc::new(config) })
    }

    /// Checks the files without using them.
    pub fn check(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<(), TlsError> {
        Pair::read(&certificate.into(), &key.into()).map(drop)
    }

    /// Looks at the files again. What they hold now is served to new connections; those that are open keep what they
    /// have. A pair that cannot be used is told once, and changes nothing. Reads files: not for a task's own thread.
    pub fn refresh(&self, now: Timestamp) -> Refreshed {
        let files = &self.files;
        let read = Pair::read(&files.certificate, &files.key);
        let digest = match &read {
            Ok(pair) => pair.digest,
            Err(e) => e.digest(),
        };
        if std::mem::replace(&mut *files.seen.lock(), digest) == digest {
            return Refreshed::Unchanged;
        }
        match read {
            Ok(pair) => {
                pair.announce(now);
                *files.in_force.write() = Arc::new(pair.certified);
                metrics::counter!("streamer_tls_reloads_total", "outcome" => "done").increment(1);
                Refreshed::Changed
            }
            Err(e) => {
                metrics::counter!("streamer_tls_reloads_total", "outcome" => "failed").increment(1);
                warn!(error = %e, "the new certificate cannot be used: the old one stays in force");
                Refreshed::Unusable(e)
            }
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl Pair {
    fn announce(&self, now: Timestamp) {
        let left = (self.not_after.as_millis() - now.as_millis()) / 1000;
        metrics::gauge!("streamer_tls_certificate_not_after_seconds")
            .set(self.not_after.as_millis() as f64 / 1000.0);
        let not_after = self.not_after;
        match left {
            ..=0 => warn!(%not_after, "the certificate has expired: clients refuse it"),
            1..=WARN_SECONDS => warn!(%not_after, "the certificate expires soon"),
            _ => info!(%not_after, "the certificate is in force"),
        }
    }
}

/// What is served to a new connection.
struct Served(Arc<Files>);

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(&self.0.certificate).finish()
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.in_force.read()))
    }
}

fn config(served: Arc<Served>) -> Result<ServerConfig, rustls::Error> {
    // Named, as a process that holds two of them has no default one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(served);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A client that returns brings its session along: nothing is kept for it here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    Ok(config)
}
