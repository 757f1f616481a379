//! The store, as soon as the process that served it before has let go of it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use streamer_service::signals::Stop;
use streamer_store_sqlite::{OpenError, Settings, SqliteStore};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::config::Config;

/// Between two tries. A lock does not tell when it is free.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Opens the store. While another process has it, waits: that one may be draining, and lets go of it at its end. None if
/// the process is to stop meanwhile.
pub(crate) async fn open(config: &Config, stop: &Stop) -> anyhow::Result<Option<Arc<SqliteStore>>> {
    let patience = config.store.lock_timeout_s.duration();
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        let settings = settings(config);
        match tokio::task::spawn_blocking(move || SqliteStore::open(settings)).await? {
            Ok(store) => return Ok(Some(Arc::new(store))),
            Err(OpenError::Locked { path, pid }) if Instant::now() < deadline => {
                if !told {
                    let timeout_s = patience.as_secs();
                    info!(path = %path.display(), holder = pid, timeout_s, "waiting for the store, which is in use");
                    told = true;
                }
            }
            Err(locked @ OpenError::Locked { .. }) if told => {
                let waited = patience.as_secs();
                let what = format!("waited {waited} s for it (store.lock_timeout_s)");
                return Err(locked).context(what).with_context(|| at(config));
            }
            Err(e) => return Err(e).with_context(|| at(config)),
        }
        tokio::select! {
            () = sleep(TRY_EVERY) => {}
            () = stop.fired() => return Ok(None),
        }
    }
}

fn at(config: &Config) -> String {
    format!("store.path {}", config.store.path.display())
}

fn settings(config: &Config) -> Settings {
    let mut settings = Settings::at(&config.store.path);
    settings.artifacts_dir.clone_from(&config.store.artifacts_dir);
    settings.check_bytes_max = config.store.start_check_bytes_max;
    settings
}
