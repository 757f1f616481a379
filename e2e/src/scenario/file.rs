//! A scenario file as it is written; `e2e/scenarios/README.md` says what it means.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value};

use super::pattern;

/// Scenarios about one thing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// In the order in which they are reported.
    pub scenarios: Vec<Scenario>,
}

/// One story, told to a place from the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is true if it passes.
    pub name: String,
    /// Why, where the name does not say.
    #[serde(default)]
    pub about: Option<String>,
    /// Places that cannot do it, with the reason.
    #[serde(default)]
    pub unsupported_on: BTreeMap<String, String>,
    /// Names of variables that hold a fresh text each.
    #[serde(default)]
    pub fresh: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// One thing that a client does, or that must happen to it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Which connection it is about.
    pub(crate) on: String,
    pub(crate) unsupported_on: BTreeMap<String, String>,
    /// One verb and what it takes, placeholders included.
    pub(crate) act: Value,
}

/// The verbs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    IssueToken(IssueToken),
    Connect(Connect),
    Send(Map<String, Value>),
    SendText(SendText),
    SendBinary(SendBinary),
    Ping(Empty),
    Expect(Expect),
    ExpectNothing(ExpectNothing),
    ExpectClose(ExpectClose),
    Follow(Follow),
    WaitForStatus(WaitForStatus),
    Disconnect(Disconnect),
    Http(Http),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Connect {
    pub(crate) user: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) token: Presented,
    pub(crate) by: Placement,
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueToken {
    pub(crate) save: String,
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    #[serde(default)]
    pub(crate) token: Presented,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Presented {
    #[default]
    Valid,
    Expired,
    Forged,
    Malformed,
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Placement {
    #[default]
    Header,
    Query,
    Subprotocol,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendText {
    pub(crate) text: String,
    #[serde(default = "once")]
    pub(crate) repeat: usize,
}

fn once() -> usize {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendBinary {
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) frame: Value,
    #[serde(default)]
    pub(crate) skip: Vec<Value>,
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectNothing {
    pub(crate) for_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectClose {
    pub(crate) code: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Follow {
    pub(crate) request_id: String,
    /// Numbers, or placeholders for them.
    #[serde(default)]
    pub(crate) after_seq: Value,
    #[serde(default)]
    pub(crate) from_index: Value,
    pub(crate) until: Value,
    #[serde(default)]
    pub(crate) saw: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) save: BTreeMap<String, Progressed>,
}

/// What can be kept of a log that was followed in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progressed {
    LastSeq,
    NextIndex,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitForStatus {
    pub(crate) request_id: String,
    pub(crate) status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Disconnect {
    pub(crate) rudely: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) path: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    /// Sent as JSON.
    #[serde(default)]
    pub(crate) send: Option<Value>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) token: Presented,
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: Option<Value>,
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".to_owned()
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let on = match fields.remove("on") {
            None => "main".to_owned(),
            Some(Value::String(on)) => on,
            Some(other) => return Err(D::Error::custom(format!("on names a connection, not {other}"))),
        };
        let unsupported_on = fields.remove("unsupported_on").unwrap_or_else(|| Map::new().into());
        let unsupported_on = serde_json::from_value(unsupported_on).map_err(D::Error::custom)?;
        // For people only.
        fields.remove("about");
        let act = Value::Object(fields);
        // Read here, so that a mistake is told with its line, and again once placeholders are filled.
        Act::deserialize(&act).map_err(D::Error::custom)?;
        pattern::check_vocabulary(&act).map_err(D::Error::custom)?;
        Ok(Self { on, unsupported_on, act })
    }
}

/// Why a file is no scenario file.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not there.
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// It is not written as `README.md` says.
    #[error("{}: {problem}", .0.display(), problem = .1)]
    Format(PathBuf, serde_json::Error),
    /// Two scenarios have this name.
    #[error("{}: {name:?} comes twice", .0.display(), name = .1)]
    Twice(PathBuf, String),
}

impl File {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let text = fs::read_to_string(path).map_err(|e| Unreadable::Io(path.to_owned(), e))?;
        let file: Self = serde_json::from_str(&text).map_err(|e| Unreadable::Format(path.to_owned(), e))?;
        let mut names = HashSet::new();
        match file.scenarios.iter().find(|scenario| !names.insert(&scenario.name)) {
            Some(twice) => Err(Unreadable::Twice(path.to_owned(), twice.name.clone())),
            None => Ok(file),
        }
    }
}
