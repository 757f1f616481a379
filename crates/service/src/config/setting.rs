//! The configuration in force, setting by setting.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{node::Node, origin::Origin, path::Path, toml_text};

/// What stands in place of a secret's value.
pub(super) const HIDDEN: &str = "(hidden)";

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its dotted name.
    pub name: String,
    /// Its value as TOML, `(not set)`, or `(hidden)` for a secret.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} # {}", self.name, self.value, self.origin)
    }
}

/// As `{name, value, source}`.
impl Serialize for Setting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Setting", 3)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("source", &self.origin.to_string())?;
        fields.end()
    }
}

/// Which settings are never shown.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Dotted names, beside those that are told by their ending.
    pub(super) named: Vec<String>,
}

impl Secrets {
    /// Whether the setting or a section that it is in is called a key, token, secret or password, or was
    /// named as secret.
    pub(super) fn contain(&self, path: &Path) -> bool {
        let telling = |key: &str| {
            let key = key.to_ascii_lowercase();
            let key = key.strip_suffix('s').unwrap_or(&key);
            key == "key"
                || key.ends_with("_key")
                || ["token", "secret", "password"].iter().any(|ending| key.ends_with(ending))
        };
        if path.keys().any(telling) {
            return true;
        }
        let mut here = Some(path.clone());
        while let Some(path) = here {
            let name = path.to_string();
            if self.named.contains(&name) {
                return true;
            }
            here = path.parent();
        }
        false
    }

    /// Whether the setting is secret or, being a section, holds a secret.
    pub(super) fn contain_any_of(&self, path: &Path, node: &Node) -> bool {
        let inside = |place: Path| self.contain(&path.join(&place));
        self.contain(path) || node.places().into_iter().any(inside)
    }
}

/// Every setting of the configuration in force; `config` is what it serializes to.
pub(super) fn in_force(config: &Value, given: &Node, secrets: &Secrets) -> Vec<Setting> {
    let mut settings = Vec::new();
    walk(config, Path::default(), &mut |path, value| {
        let text = match value {
            Value::Null => "(not set)".to_owned(),
            _ if secrets.contain(path) => HIDDEN.to_owned(),
            value => toml_text::inline(value),
        };
        let origin = given.origin_at(path.segments());
        settings.push(Setting { name: path.to_string(), value: text, origin });
    });
    settings
}

fn walk(value: &Value, path: Path, found: &mut impl FnMut(&Path, &Value)) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                walk(value, path.key(key), found);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, path.index(index), found);
            }
        }
        value => found(&path, value),
    }
}

/// The settings as a commented TOML-like listing, one a line.
pub(super) fn listing(settings: &[Setting]) -> String {
    let longest =
        |of: fn(&Setting) -> usize| settings.iter().map(of).filter(|chars| *chars <= 48).max().unwrap_or(0);
    let (names, values) = (longest(|s| s.name.chars().count()), longest(|s| s.value.chars().count()));
    let line = |s: &Setting| format!("{:names$} = {:values$}  # {}\n", s.name, s.value, s.origin);
    settings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        let secrets = Secrets { named: vec!["store.url".into()] };
        let hidden = |name: &str| secrets.contain(&Path::parse(name).expect("a name"));
        for name in
            ["auth.public_key", "admin.token", "tokens.ci", "smtp_password", "webhook.secret", "store.url"]
        {
            assert!(hidden(name), "{name}");
        }
        for name in ["auth.public_key_file", "auth.token_grace_s", "store.url_scheme", "monkey"] {
            assert!(!hidden(name), "{name}");
        }
    }

    #[test]
    fn a_key_with_dots_is_quoted() {
        let config = serde_json::json!({ "actions": { "report.build": { "retries": 3 } } });
        let settings = in_force(&config, &Node::empty(), &Secrets::default());
        assert_eq!(settings[0].to_string(), "actions.\"report.build\".retries = 3 # built-in default");
    }
}
