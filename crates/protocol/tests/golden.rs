//! Reads the files of `golden/`; `golden/README.md` says what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A file with one frame.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Golden<E> {
    pub(crate) about: String,
    pub(crate) text: String,
    pub(crate) expect: E,
}

/// What a valid frame means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Valid {
    pub(crate) frame: Value,
}

/// All files of a folder under `golden/`, by name.
pub(crate) fn read<T: DeserializeOwned>(folder: &str) -> Vec<(String, T)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: no files", folder.display());
    paths.into_iter().map(|path| (name_of(&path), read_file(&path))).collect()
}

fn name_of(path: &Path) -> String {
    assert!(path.extension().is_some_and(|ending| ending == "json"), "{}: not JSON", path.display());
    path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

fn read_file<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The same JSON value, where `50` is `50.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn every_file_says_what_it_is_about() {
    let folders = ["request", "server", "topic", "topic_action"];
    for folder in
        folders.iter().flat_map(|folder| ["valid", "invalid"].map(|half| format!("{folder}/{half}")))
    {
        for (name, golden) in read::<Golden<Value>>(&folder) {
            assert!(golden.about.ends_with('.'), "{folder}/{name}: {:?} is no sentence", golden.about);
        }
    }
}
