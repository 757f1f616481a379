//! What systemd, or another that supervises the process, is told of its life.
//!
//! The protocol is that of `sd_notify`: lines of `NAME=value` in one datagram, to the socket that the variable
//! `NOTIFY_SOCKET` names (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).

use std::io;

use tokio_util::sync::CancellationToken;

/// Names the supervisor's socket. A process without a supervisor has no such variable.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Whoever started the process and waits until it is ready.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<socket::Socket>,
}

/// There is a supervisor that cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor at {VARIABLE} cannot be reached")]
pub struct Unreachable(#[source] io::Error);

impl Supervisor {
    /// The one that the environment names, if it names one. Called inside the Tokio runtime.
    pub fn of_environment() -> Result<Self, Unreachable> {
        let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        let socket = named.map(|name| socket::Socket::connect(&name)).transpose().map_err(Unreachable)?;
        Ok(Self { socket })
    }

    /// Says that the process is ready; and that it is stopping, as soon as `stop` is fired.
    pub async fn follow(self, stop: CancellationToken) -> Result<(), Unreachable> {
        let Some(socket) = self.socket else { return Ok(()) };
        socket.tell("READY=1\n").await.map_err(Unreachable)?;
        stop.cancelled().await;
        socket.tell("STOPPING=1\n").await.map_err(Unreachable)
    }
}

#[cfg(unix)]
mod socket {
    use std::{
        ffi::OsStr,
        io,
        os::unix::{ffi::OsStrExt as _, net},
    };

    use tokio::net::UnixDatagram;

    #[derive(Debug)]
    pub(super) struct Socket(UnixDatagram);

    impl Socket {
        pub(super) fn connect(name: &OsStr) -> io::Result<Self> {
            let socket = net::UnixDatagram::unbound()?;
            match name.as_bytes().split_first() {
                Some((b'@', name)) => socket.connect_addr(&hidden(name)?)?,
                _ => socket.connect(name)?,
            }
            socket.set_nonblocking(true)?;
            UnixDatagram::from_std(socket).map(Self)
        }

        pub(super) async fn tell(&self, text: &str) -> io::Result<()> {
            self.0.send(text.as_bytes()).await.map(drop)
        }
    }

    /// A name without a file, which only Linux has.
    fn hidden(name: &[u8]) -> io::Result<net::SocketAddr> {
        #[cfg(target_os = "linux")]
        return <net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = name;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(not(unix))]
mod socket {
    use std::{ffi::OsStr, io};

    #[derive(Debug)]
    pub(super) struct Socket;

    impl Socket {
        pub(super) fn connect(_name: &OsStr) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) async fn tell(&self, _text: &str) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        ffi::OsString,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixDatagram},
        },
        time::Duration,
    };

    use super::*;

    async fn follows(name: OsString, heard: UnixDatagram) {
        heard.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        let hear = || {
            let mut text = [0; 64];
            let count = heard.recv(&mut text).expect("something is said");
            String::from_utf8(text[..count].to_vec()).expect("text")
        };
        let supervisor = Supervisor { socket: Some(socket::Socket::connect(&name).expect("it listens")) };
        let stop = CancellationToken::new();
        let following = tokio::spawn(supervisor.follow(stop.clone()));
        tokio::task::yield_now().await;
        assert_eq!(hear(), "READY=1\n");
        stop.cancel();
        following.await.expect("no panic").expect("it hears");
        assert_eq!(hear(), "STOPPING=1\n");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_supervisor_is_told_by_file_and_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).expect("the folder is ours");
        follows(path.into_os_string(), heard).await;

        let name = format!("streamer-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let heard = UnixDatagram::bind_addr(&address).expect("nobody else has it");
        follows(format!("@{name}").into(), heard).await;
    }

    #[tokio::test]
    async fn without_one_nothing_is_told_and_a_deaf_one_is_an_error() {
        let nobody = Supervisor { socket: None };
        nobody.follow(CancellationToken::new()).await.expect("nothing to do");
        let folder = tempfile::tempdir().expect("a folder");
        let missing = socket::Socket::connect(folder.path().join("notify").as_os_str());
        assert_eq!(missing.expect_err("nobody listens").kind(), io::ErrorKind::NotFound);
    }
}
