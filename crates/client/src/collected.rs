//! Partial results, gathered.

use streamer_protocol::Json;

use crate::Update;

/// The chunks that count: those that a restart made void are gone. Feed it every update of a call that was followed
/// from its start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chunks(Vec<Json>);

impl Chunks {
    /// Takes what concerns it.
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::Chunk(chunk) => self.0.push(chunk.data.clone()),
            Update::Restart(restart) => {
                self.0.truncate(usize::try_from(restart.from_index).unwrap_or(usize::MAX))
            }
            _ => {}
        }
    }

    /// By index.
    #[must_use]
    pub fn data(&self) -> &[Json] {
        &self.0
    }

    /// By index.
    #[must_use]
    pub fn into_data(self) -> Vec<Json> {
        self.0
    }
}

/// All that came of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// By index.
    pub chunks: Vec<Json>,
    /// The result.
    pub outcome: Json,
}
