//! The workspace that the commands work on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace with all of its dependencies, as cargo resolves them.
pub(crate) struct Workspace {
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo, wherever in the workspace the command was called.
    pub(crate) fn load() -> Result<Self> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).exec();
        Ok(Self { metadata: metadata.context("cargo metadata")? })
    }

    /// Where `Cargo.toml` of the workspace stands.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// A folder for what the commands install or write, out of version control.
    pub(crate) fn target(&self, folder: &str) -> PathBuf {
        self.metadata.target_directory.as_std_path().join(folder)
    }
}
