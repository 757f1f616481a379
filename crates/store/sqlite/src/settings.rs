//! Where the store is, and its bounds.

use std::path::{Path, PathBuf};

/// Where the store is, and its bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The SQLite file. It is made if it is missing; its folder must be there.
    pub path: PathBuf,
    /// Where artifacts are kept; `<path>.artifacts` if nothing else is said.
    pub artifacts_dir: Option<PathBuf>,
    /// How many writes may wait for the writer before callers have to.
    pub queue_depth_max: usize,
    /// How many writes share one commit at most.
    pub group_max: usize,
    /// How many reads run at once.
    pub readers_max: usize,
    /// How many pages (of 4 KiB) the write-ahead log may have before they are copied into the file.
    pub wal_pages_soft_max: u32,
    /// How many pages the write-ahead log may have before the writer itself copies the rest.
    pub wal_pages_max: u32,
    /// A file of at most so many bytes is looked through for damage when it is opened.
    pub check_bytes_max: u64,
}

impl Settings {
    /// The store in the file at `path`, with the default bounds.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            artifacts_dir: None,
            queue_depth_max: 4096,
            group_max: 1024,
            readers_max: 4,
            wal_pages_soft_max: 16 * 1024,
            wal_pages_max: 32 * 1024,
            check_bytes_max: 32 * 1024 * 1024,
        }
    }

    pub(crate) fn artifacts_dir(&self) -> PathBuf {
        self.artifacts_dir.clone().unwrap_or_else(|| beside(&self.path, ".artifacts"))
    }
}

/// The path with `suffix` after its whole name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
