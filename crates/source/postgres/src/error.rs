//! Why a connection failed.

use streamer_events::source;

use crate::{pgoutput::Malformed, settings::Server};

/// What goes wrong between us and the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The connection cannot be made, or broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The server says no.
    #[error("server: {0}")]
    Server(#[from] ServerError),
    /// The server says what cannot be understood.
    #[error("protocol: {0}")]
    Malformed(#[from] Malformed),
    /// The server's certificate or TLS is not as it should be.
    #[error("tls: {0}")]
    Tls(String),
    /// Something that trying again does not mend.
    #[error("{0}")]
    Fatal(source::Error),
}

/// What the server says when it says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct ServerError {
    /// SQLSTATE.
    pub(crate) code: String,
    /// In its words.
    pub(crate) message: String,
}

/// What a connection answers.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same, with the server that was not reached: a person may have meant another.
    pub(crate) fn at(self, server: &Server) -> Self {
        match self {
            Self::Io(e) => Self::Io(std::io::Error::new(e.kind(), format!("{server:?}: {e}"))),
            other => other,
        }
    }

    /// The SQLSTATE, if the server said no.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.code),
            _ => None,
        }
    }

    /// What trying again does not mend; the others may pass.
    pub(crate) fn fatal(self) -> std::result::Result<source::Error, Self> {
        let not_ready = |message: String| Ok(source::Error::new(source::ErrorKind::NotReady, message));
        match self {
            Self::Fatal(error) => Ok(error),
            Self::Malformed(error) => Ok(source::Error::new(source::ErrorKind::Corrupt, error.to_string())),
            Self::Tls(error) => not_ready(format!("tls: {error}")),
            Self::Server(error) => match error.code.as_str() {
                // Password, role, database, rights: a person must look.
                code if code.starts_with("28") || matches!(code, "3D000" | "42501") => {
                    not_ready(error.to_string())
                }
                _ => Err(Self::Server(error)),
            },
            error @ Self::Io(_) => Err(error),
        }
    }
}
