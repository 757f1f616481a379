//! What a command came to, as JSON for programs.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Writes it to a file, in place of what is there.
pub(crate) fn write(file: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(value)?;
    std::fs::write(file, json).with_context(|| format!("{} cannot be written", file.display()))
}
