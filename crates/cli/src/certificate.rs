//! The certificate of the doors, kept fresh while the server runs.

use std::{io, time::Duration};

use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_server::Tls;
use streamer_service::signals::Hangups;
use tokio_util::sync::CancellationToken;

use crate::config::Listen;

/// What the doors speak TLS with, and when it is looked at again.
pub(crate) struct Certificate {
    tls: Tls,
    interval: Duration,
}

impl Certificate {
    /// Reads it, if there is one.
    pub(crate) fn load(listen: &Listen) -> anyhow::Result<Option<Self>> {
        let Some(tls) = listen.tls(SystemClock.now())? else { return Ok(None) };
        let interval = listen.tls_reload_interval_s.duration();
        Ok(Some(Self { tls, interval }))
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Looks at its files at every interval, and at once when SIGHUP asks for it.
    pub(crate) async fn keep_fresh(self, mut hangups: Hangups, stop: CancellationToken) -> io::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = hangups.next() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
            let tls = self.tls.clone();
            tokio::task::spawn_blocking(move || tls.refresh(SystemClock.now())).await?;
        }
    }
}
