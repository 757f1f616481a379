//! Where the server listens: on addresses of its own, or on sockets that it was started with.

use std::net::TcpListener as Socket;

use anyhow::Context as _;
use streamer_service::inherited::Inherited;
use tokio::net::TcpListener;

use crate::config::Config;

/// What the operators' socket is called (`FileDescriptorName=`). Any other is the doors'.
const ADMIN: &str = "admin";

/// The sockets that the process was started with.
#[derive(Debug)]
pub(crate) struct Passed {
    doors: Option<Socket>,
    admin: Option<Socket>,
}

/// A listener of the doors.
pub(crate) struct Doors {
    pub(crate) listener: TcpListener,
    /// It goes on listening after this process.
    pub(crate) outlives: bool,
}

impl Passed {
    /// Those that the environment names. Called before the process has threads.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        let mut passed =
            Inherited::of_environment().context("ListenStream= takes an address and a port, or a port")?;
        let admin = passed.take(ADMIN);
        let doors = passed.take_any().map(|(_, socket)| socket);
        if let Some(another) = passed.names().next() {
            anyhow::bail!(
                "the process was started with more sockets than there are addresses, {another:?} among them: one is \
                 for the doors, and one with FileDescriptorName={ADMIN} for operators"
            );
        }
        Ok(Self { doors, admin })
    }

    /// Whether all of them will be served.
    pub(crate) fn check(&self, config: &Config) -> anyhow::Result<()> {
        anyhow::ensure!(
            config.admin.enabled || self.admin.is_none(),
            "the process was started with a socket for operators, but admin.enabled is false"
        );
        Ok(())
    }

    /// The doors' listener.
    pub(crate) fn doors(&mut self, config: &Config) -> anyhow::Result<Doors> {
        let passed = self.doors.take();
        let outlives = passed.is_some();
        Ok(Doors { listener: listen("listen.address", &config.listen.address, passed)?, outlives })
    }

    /// The operators' listener.
    pub(crate) fn admin(&mut self, config: &Config) -> anyhow::Result<TcpListener> {
        listen("admin.address", &config.admin.address, self.admin.take())
    }
}

/// Takes what was passed, or listens on the address of a setting.
fn listen(setting: &str, address: &str, passed: Option<Socket>) -> anyhow::Result<TcpListener> {
    if let Some(socket) = passed {
        let taken = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        return taken.context("the socket that the process was started with cannot be used");
    }
    bind(setting, address)
}

/// Listens on the address of a setting.
pub(crate) fn bind(setting: &str, address: &str) -> anyhow::Result<TcpListener> {
    let bound =
        address.parse().map_err(anyhow::Error::from).and_then(|address| Ok(streamer_server::bind(address)?));
    bound.with_context(|| format!("{setting} {address} cannot be listened on"))
}
