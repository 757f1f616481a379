//! What is stored of a file.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use streamer_protocol::{TenantId, Timestamp, UserId};
use tokio::io::AsyncRead;

/// A file's name: 32 hexadecimal digits that nobody can guess.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArtifactId(String);

impl ArtifactId {
    /// Takes 32 lower-case hexadecimal digits; anything else is no artifact's id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == 32 && digits).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file to keep.
#[derive(Clone)]
pub struct NewArtifact {
    /// Its name in the store.
    pub id: ArtifactId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Whose it is: nobody else may read it.
    pub user: UserId,
    /// Its name for people, such as `report.pdf`.
    pub name: String,
    /// Its media type, such as `application/pdf`.
    pub media_type: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it may be removed.
    pub expires_at: Timestamp,
    /// What is in it.
    pub bytes: Bytes,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name in the store.
    pub id: ArtifactId,
    /// Its name for people.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it may be removed.
    pub expires_at: Timestamp,
}

/// A file's bytes, read as they are needed.
pub type ArtifactBody = Pin<Box<dyn AsyncRead + Send>>;
