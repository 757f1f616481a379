//! One line for people.

use std::io::{self, Write};

use serde_json::Value;
use tracing::Level;

use super::{fields::is_hostile, logs::Line};

/// Writes the line with its newline; colours only where a terminal shows them.
pub(super) fn write(line: &Line<'_>, colours: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let (dim, colour, plain) = match (colours, line.level) {
        (false, _) => ("", "", ""),
        (true, Level::ERROR) => ("\x1b[2m", "\x1b[31m", "\x1b[0m"),
        (true, Level::WARN) => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
        (true, Level::INFO) => ("\x1b[2m", "\x1b[32m", "\x1b[0m"),
        (true, _) => ("\x1b[2m", "\x1b[34m", "\x1b[0m"),
    };
    let level = line.level.as_str();
    write!(out, "{dim}{}{plain} {colour}{level:5}{plain} {dim}{}:{plain} ", line.timestamp, line.target)?;
    out.extend_from_slice(harmless(&line.message).as_bytes());
    let standard = line.standard.iter().map(|(name, value)| (*name, value));
    for (name, value) in standard.chain(line.rest.iter()) {
        let value = match value {
            Value::String(text) => quoted(text),
            other => other.to_string(),
        };
        write!(out, " {dim}{name}={plain}{value}")?;
    }
    out.push(b'\n');
    Ok(())
}

/// The text with an escape for every character that could forge something.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// In quotes if it could be mistaken for two fields.
fn quoted(text: &str) -> String {
    let ambiguous = |c: char| c.is_whitespace() || c == '"' || c == '=' || is_hostile(c);
    if text.is_empty() || text.contains(ambiguous) {
        format!("\"{}\"", harmless(&text.replace('\\', "\\\\").replace('"', "\\\"")))
    } else {
        text.to_owned()
    }
}
