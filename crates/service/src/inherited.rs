//! Listening sockets that the process was started with, and that outlive it: whoever connects while nobody serves them
//! waits in their backlog.
//!
//! The protocol is systemd's socket activation: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>).

use std::{io, net::TcpListener};

/// What `FileDescriptorName=` gave each of them, with colons between.
#[cfg(unix)]
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets, by the names that whoever opened them gave.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, TcpListener)>,
}

/// A socket that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the socket {name:?} that the process was started with is not one of TCP")]
pub struct NotTcp {
    name: String,
    source: io::Error,
}

impl Inherited {
    /// Those that the environment names; none without a word of them, or if it speaks to another process. Called once,
    /// and before the process has threads: `LISTEN_FDS` is taken away, so that nobody takes them again.
    #[cfg(unix)]
    pub fn of_environment() -> Result<Self, NotTcp> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::with_capacity(passed.len());
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            match passed.take_tcp_listener(at) {
                Ok(Some(socket)) => sockets.push((name, socket)),
                Ok(None) => {}
                Err(source) => return Err(NotTcp { name, source }),
            }
        }
        Ok(Self { sockets })
    }

    /// Elsewhere than on Unix there are none.
    #[cfg(not(unix))]
    pub fn of_environment() -> Result<Self, NotTcp> {
        Ok(Self::default())
    }

    /// Takes the socket of this name, if there is one.
    pub fn take(&mut self, name: &str) -> Option<TcpListener> {
        let at = self.sockets.iter().position(|(known, _)| known == name)?;
        Some(self.sockets.remove(at).1)
    }

    /// Takes any of them, with its name.
    pub fn take_any(&mut self) -> Option<(String, TcpListener)> {
        self.sockets.pop()
    }

    /// What those that are left are called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(name, _)| name.as_str())
    }
}
