//! Settings from environment variables and `.env` files.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path as FilePath, PathBuf},
};

use super::{
    mistake::Mistake,
    node::{Content, Node},
    origin::Origin,
    path::Path,
};

/// Which variables are settings, and which.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) prefix: String,
    /// Well-known names and the settings that they stand for.
    pub(super) aliases: BTreeMap<String, String>,
    /// Variables with the prefix that are no settings.
    pub(super) others: BTreeSet<String>,
}

impl Naming {
    /// The setting that a variable sets, if it sets any.
    fn setting(&self, variable: &str) -> Option<Path> {
        if let Some(setting) = self.aliases.get(variable) {
            return Path::parse(setting);
        }
        let name = variable.strip_prefix(&self.prefix)?;
        if self.others.contains(variable) || is_service_link(name) {
            return None;
        }
        Some(Path::of_keys(name.to_lowercase().split("__").map(str::to_owned)))
    }
}

/// Whether Kubernetes made it: a service called as the prefix is puts `STREAMER_SERVICE_HOST`,
/// `STREAMER_PORT_8080_TCP` and the like into every pod beside it.
fn is_service_link(name: &str) -> bool {
    let port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name.strip_prefix("PORT_").is_some_and(port)
}

/// The tree that variables make. An empty variable counts as not set, which is how compose files and shells
/// pass on what they do not have. A prefixed name is stronger than a well-known one.
pub(super) fn tree(variables: impl IntoIterator<Item = (String, String, Origin)>, naming: &Naming) -> Node {
    let mut well_known = Node::empty();
    let mut prefixed = Node::empty();
    for (name, value, origin) in variables {
        let Some(path) = naming.setting(&name).filter(|_| !value.is_empty()) else { continue };
        // A service that is called as the prefix or as a well-known name is: `STREAMER_PORT=tcp://10.0.0.1:80`,
        // `POSTGRES_PORT=tcp://10.0.0.2:5432`.
        let is_port = name == format!("{}PORT", naming.prefix)
            || naming.aliases.contains_key(&name) && name.ends_with("_PORT");
        if value.starts_with("tcp://") && is_port {
            continue;
        }
        let one = Node::at(&path, Node::new(origin, Content::Text(value)));
        let tree = if naming.aliases.contains_key(&name) { &mut well_known } else { &mut prefixed };
        *tree = std::mem::replace(tree, Node::empty()).overlay(one);
    }
    well_known.overlay(prefixed)
}

/// The variables of the process; those that are settings but not UTF-8 are mistakes.
pub(super) fn of_process(
    variables: Vec<(OsString, OsString)>,
    naming: &Naming,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(String, String, Origin)> {
    let mut read = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let origin = Origin::Variable(name.to_owned());
        match (value.into_string(), naming.setting(name)) {
            (Ok(value), _) => read.push((name.to_owned(), value, origin)),
            (Err(_), Some(path)) => {
                mistakes.push(Mistake::of_setting(path.to_string(), origin, "the value is not UTF-8 text"));
            }
            (Err(_), None) => {}
        }
    }
    read.sort_by(|a, b| a.0.cmp(&b.0));
    read
}

/// The variables of a `.env` file, if there is one; the process's own environment stays as it is.
pub(super) fn of_file(path: &FilePath, mistakes: &mut Vec<Mistake>) -> Vec<(String, String, Origin)> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            let origin =
                Origin::EnvFile { path: path.to_owned(), line: None, variable: "the whole file".into() };
            mistakes.push(Mistake::of_source(origin, format!("cannot be read: {e}")));
            return Vec::new();
        }
    };
    let mut read = Vec::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            Ok((name, value)) => {
                let origin = Origin::EnvFile {
                    path: path.to_owned(),
                    line: line_that_sets(&text, &name),
                    variable: name.clone(),
                };
                read.push((name, value, origin));
            }
            Err(dotenvy::Error::LineParse(line, _)) => mistakes.push(unreadable(path, &text, &line)),
            Err(_) => {}
        }
    }
    read
}

/// The line is not shown: it may hold a secret.
fn unreadable(path: &FilePath, text: &str, line: &str) -> Mistake {
    let first = line.lines().next().unwrap_or_default();
    let number = text.lines().position(|candidate| candidate == first).map(|index| index + 1);
    let variable = line.split('=').next().unwrap_or_default().trim();
    let is_name = !variable.is_empty() && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let variable = if is_name && line.contains('=') { variable } else { "a variable" };
    let origin = Origin::EnvFile { path: PathBuf::from(path), line: number, variable: variable.to_owned() };
    Mistake::of_source(
        origin,
        "not a line of the form NAME=value; a value with spaces or quotes goes into quotes",
    )
}

/// The last line that sets the variable, as the last one counts.
fn line_that_sets(text: &str, name: &str) -> Option<usize> {
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let place = text.lines().enumerate().filter(|(_, line)| sets(line)).last();
    place.map(|(index, _)| index + 1)
}
