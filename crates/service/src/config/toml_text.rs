//! TOML in and out.

use std::path::Path as FilePath;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{
    mistake::Mistake,
    node::{Content, Node},
    origin::Origin,
    path::Key,
};

/// Reads a file's text. What can be read around a syntax error is read too.
pub(super) fn read(text: &str, file: &FilePath) -> (Node, Vec<Mistake>) {
    let origin = |offset: usize| Origin::File { path: file.to_owned(), line: position(text, offset).0 };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mistakes = errors
        .iter()
        .map(|error| {
            // Only the message: the excerpt that the error could print may show a secret.
            let offset = error.span().map_or(text.len(), |span| span.start);
            let (_, column) = position(text, offset);
            let problem = format!("column {column}: this is not TOML: {}", error.message());
            Mistake::of_source(origin(offset), problem)
        })
        .collect();
    (of_table(table.into_inner(), origin(0), &origin), mistakes)
}

/// Reads one value, such as `["a", "b"]` or `{ a = 1 }`.
pub(super) fn read_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(of_value(value.into_inner(), origin.clone(), &|_| origin.clone()))
}

fn of_table(table: DeTable<'_>, here: Origin, origin: &impl Fn(usize) -> Origin) -> Node {
    let entries = table.into_iter().map(|(key, value)| {
        let origin_here = origin(key.span().start);
        (key.into_inner().into_owned(), of_value(value.into_inner(), origin_here, origin))
    });
    Node::new(here, Content::Table(entries.collect()))
}

fn of_value(value: DeValue<'_>, here: Origin, origin: &impl Fn(usize) -> Origin) -> Node {
    let content = match value {
        DeValue::String(text) => Content::String(text.into_owned()),
        DeValue::Boolean(value) => Content::Bool(value),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Content::Integer(number),
            Err(_) => Content::String(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Content::Float(number),
            Err(_) => Content::String(number.to_string()),
        },
        DeValue::Datetime(moment) => Content::String(moment.to_string()),
        DeValue::Array(list) => {
            let element = |value: toml::Spanned<DeValue<'_>>| {
                let here = origin(value.span().start);
                of_value(value.into_inner(), here, origin)
            };
            Content::List(list.into_iter().map(element).collect())
        }
        DeValue::Table(table) => return of_table(table, here, origin),
    };
    Node::new(here, content)
}

/// Line and column of an offset, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A string in quotes, on one line.
pub(super) fn string(text: &str) -> String {
    // JSON's escapes are TOML's; TOML also wants DEL escaped.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A value on one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(list) => {
            let elements: Vec<_> = list.iter().map(inline).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let set = entries.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> =
                set.map(|(key, value)| format!("{} = {}", Key(key), inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        plain => plain.to_string(),
    }
}
