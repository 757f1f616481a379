//! Values that steps save and later steps use.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

/// Always there, and fresh in every scenario.
const ALWAYS: [&str; 2] = ["user", "tenant"];

#[derive(Debug)]
pub(crate) struct Variables(HashMap<String, Value>);

impl Variables {
    /// With a fresh text for each name.
    pub(crate) fn new(fresh: &[String]) -> Self {
        let names = ALWAYS.into_iter().chain(fresh.iter().map(String::as_str));
        Self(names.map(|name| (name.to_owned(), format!("{name}-{}", Uuid::new_v4()).into())).collect())
    }

    pub(crate) fn save(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value with every `${name}` replaced. A text that is nothing else becomes the saved value, whatever its type.
    pub(crate) fn fill(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => self.fill_text(text)?,
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.fill(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<Value, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("unclosed placeholder in {text:?}"))?;
            let value = self.0.get(name).ok_or_else(|| format!("nothing is saved as {name:?}"))?;
            if before.is_empty() && after.is_empty() && filled.is_empty() {
                return Ok(value.clone());
            }
            filled.push_str(before);
            match value {
                Value::String(text) => filled.push_str(text),
                other => filled.push_str(&other.to_string()),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lone_placeholder_keeps_its_type_and_others_become_text() {
        let mut variables = Variables::new(&["id".to_owned()]);
        variables.save("seq", json!(7));
        let filled =
            variables.fill(&json!({ "a": "${seq}", "b": ["seq ${seq}!"], "c": "${id}" })).expect("known");
        assert_eq!((&filled["a"], &filled["b"][0]), (&json!(7), &json!("seq 7!")));
        assert!(filled["c"].as_str().expect("text").starts_with("id-"));
        assert!(variables.fill(&json!("${nobody}")).is_err());
    }
}
