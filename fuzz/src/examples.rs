//! The committed examples.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn of_repository(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)
}

/// Every file of a folder of this repository and of those in it, in the order of their names; none if it is not there.
pub(crate) fn read(folder: &str) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    list(&of_repository(folder), &mut files);
    files.sort();
    files.into_iter().filter_map(|file| fs::read(file).ok()).collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

/// The texts of golden files.
pub(crate) fn golden(folder: &str) -> Vec<Vec<u8>> {
    let text = |file: &Vec<u8>| {
        let golden: serde_json::Value = serde_json::from_slice(file).ok()?;
        Some(golden["text"].as_str()?.as_bytes().to_vec())
    };
    read(folder).iter().filter_map(text).collect()
}
