//! What a caller hears of a request before it ends.

use streamer_protocol::{Acknowledgment, Chunk, Progress, Restart};

use crate::RequestError;

/// One thing that happened to a request, other than its end.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// It is stored and will be run. Told once.
    Acknowledged(Acknowledgment),
    /// How far it has come: never less than before.
    Progress(Progress),
    /// A partial result: the next one.
    Chunk(Chunk),
    /// A new attempt began: chunks from `from_index` on are void and will come again.
    Restart(Restart),
    /// An attempt failed and will be repeated, as `retry` says.
    AttemptFailed(RequestError),
}

impl Update {
    /// Its place in the request's log.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Progress(progress) => Some(progress.seq),
            Self::Chunk(chunk) => Some(chunk.seq),
            Self::Restart(restart) => Some(restart.seq),
            Self::Acknowledged(_) | Self::AttemptFailed(_) => None,
        }
    }

    /// Whether a newer one of its kind says all that it says, so that it may be left out.
    pub(crate) fn is_fleeting(&self) -> bool {
        matches!(self, Self::Progress(_) | Self::AttemptFailed(_))
    }
}
