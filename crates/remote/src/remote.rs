//! Whom the server may call, and how.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rustls::ClientConfig;
use streamer_engine::{BreakerSettings, Breakers, clock::Clock};
use streamer_http::{Address, Pool, PoolSettings};

use crate::{Signer, SigningKey, Target};

/// How addresses are called.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// Connections.
    pub pool: PoolSettings,
    /// When an address is left alone for a while.
    pub breaker: BreakerSettings,
    /// What requests are signed with: none to two keys.
    pub keys: Vec<SigningKey>,
    /// Whom TLS trusts.
    pub tls: Arc<ClientConfig>,
}

/// Makes targets out of addresses: one per address, however many actions name it.
pub struct Remote {
    settings: RemoteSettings,
    signer: Signer,
    breakers: Arc<Breakers<String>>,
    clock: Arc<dyn Clock>,
    targets: Mutex<HashMap<(String, String), Arc<Target>>>,
}

impl Remote {
    /// With no target yet.
    #[must_use]
    pub fn new(settings: RemoteSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            signer: Signer::new(settings.keys.clone(), Arc::clone(&clock)),
            breakers: Arc::new(Breakers::new(settings.breaker, "addresses")),
            clock,
            targets: Mutex::default(),
            settings,
        }
    }

    /// The target at an address.
    #[must_use]
    pub fn target(&self, address: Address) -> Arc<Target> {
        let name = (address.shown().to_owned(), address.target().to_string());
        let mut targets = self.targets.lock();
        let target = targets.entry(name).or_insert_with(|| {
            let pool = Pool::new(address, Arc::clone(&self.settings.tls), self.settings.pool);
            let (signer, breakers) = (self.signer.clone(), Arc::clone(&self.breakers));
            Arc::new(Target { pool, signer, breakers, clock: Arc::clone(&self.clock) })
        });
        Arc::clone(target)
    }
}
