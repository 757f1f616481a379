//! `cargo xtask schema`: writes the JSON Schema files of the wire anew.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// Writes `crates/protocol/schema/`. A test of `streamer-protocol` fails while the files differ from the types.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join("crates/protocol/schema");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, schema) in streamer_protocol::schema::files() {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
