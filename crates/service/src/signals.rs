//! What stops a process.

use std::{io, sync::Arc};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

/// The one signal that stops everything; clones stop together. Fired by SIGTERM or SIGINT, or by hand.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    /// Listens as long as a clone lives.
    _listener: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Stop {
    /// Fired by hand only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fired by SIGTERM or SIGINT (control-C). A second one ends the process at once, with the exit code that
    /// shells know: 143 or 130. Signals are heard once this returns. Called inside the Tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let mut signals = Signals::listen()?;
        let token = CancellationToken::new();
        let fired = token.clone();
        let listener = tokio::spawn(async move {
            let first = signals.next().await;
            info!(signal = first.name, "stopping, a second signal ends the process at once");
            fired.cancel();
            let second = signals.next().await;
            warn!(signal = second.name, "ending at once");
            std::process::exit(second.exit_code);
        });
        Ok(Self { token, _listener: Some(Arc::new(AbortOnDropHandle::new(listener))) })
    }

    /// Stops everything.
    pub fn fire(&self) {
        self.token.cancel();
    }

    /// Whether everything is to stop.
    #[must_use]
    pub fn is_fired(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until everything is to stop.
    pub async fn fired(&self) {
        self.token.cancelled().await;
    }

    /// The same signal for those who do not know this crate.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

/// SIGHUP, by which operators ask a process to look at its files again. While this lives it does not end the process.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Heard once this returns. Called inside the Tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; several that came meanwhile are one. Elsewhere than on Unix there are none.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// A signal that ends a process.
struct Signal {
    name: &'static str,
    exit_code: i32,
}

const INTERRUPT: Signal = Signal { name: "SIGINT", exit_code: 130 };

#[cfg(unix)]
const TERMINATE: Signal = Signal { name: "SIGTERM", exit_code: 143 };

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        INTERRUPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_stop_together() {
        let stop = Stop::new();
        let (clone, token) = (stop.clone(), stop.token());
        assert!(!clone.is_fired());
        stop.fire();
        clone.fired().await;
        assert!(clone.is_fired() && token.is_cancelled());
    }
}
