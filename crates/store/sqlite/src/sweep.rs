//! Files that a crash left behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use streamer_engine::store::ArtifactId;
use tracing::{info, warn};

use crate::artifacts::is_taken;

/// Younger ones may belong to an artifact whose row is on its way.
const ORPHAN_AGE: Duration = Duration::from_secs(60 * 60);

#[allow(clippy::disallowed_methods, reason = "the age of a file is the machine's, and so is its clock")]
fn is_old(file: &fs::DirEntry) -> io::Result<bool> {
    Ok(file.metadata()?.modified()?.elapsed().unwrap_or_default() >= ORPHAN_AGE)
}

/// The artifact files, whole or partial, that have had no row for an hour.
pub(crate) fn orphans(conn: &Connection, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        // Files with other names are not this store's.
        let stem = name.to_str().and_then(|name| name.split('.').next());
        let Some(id) = stem.and_then(ArtifactId::parse) else { continue };
        let is_partial = Path::new(&name).extension().is_some();
        if is_old(&file)? && (is_partial || !is_taken(conn, &id).map_err(io::Error::other)?) {
            found.push(file.path());
        }
    }
    Ok(found)
}

/// Removes them. What cannot be removed is left for the next start.
pub(crate) fn sweep(conn: &Connection, folder: &Path) -> io::Result<()> {
    for path in orphans(conn, folder)? {
        match fs::remove_file(&path) {
            Ok(()) => info!(path = %path.display(), "an orphaned artifact file was removed"),
            Err(error) => warn!(%error, path = %path.display(), "an orphaned artifact file stays"),
        }
    }
    Ok(())
}
