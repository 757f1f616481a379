//! `cargo xtask schema`: writes anew what is generated from the types.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    run::{cargo, run},
    workspace::Workspace,
};

/// Writes `crates/protocol/schema/`, and `docs/openapi.json` and `docs/asyncapi.json`. Tests fail while the files differ
/// from the types.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join("crates/protocol/schema");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, schema) in streamer_protocol::schema::files() {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    // The server's own types are not for this program: the test that reads the documents writes them, too.
    let kept = ["test", "-q", "-p", "streamer-server", "--test", "main", "documents::the_kept"];
    run(cargo(workspace.root()).args(kept).env("BLESS", "1"))
}
