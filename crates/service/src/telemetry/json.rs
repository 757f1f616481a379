//! One JSON object a line.

use std::io;

use serde::{Serializer as _, ser::SerializeMap as _};
use serde_json::ser::{Formatter, Serializer};

use super::{fields::is_hostile, logs::Line};

/// Writes the line with its newline.
pub(super) fn write(line: &Line<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Harmless);
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("timestamp", &line.timestamp)?;
    object.serialize_entry("level", line.level.as_str())?;
    for (name, value) in &line.standard {
        object.serialize_entry(name, value)?;
    }
    object.serialize_entry("message", &line.message)?;
    object.serialize_entry("target", &line.target)?;
    for (name, value) in line.rest.iter() {
        match name {
            // Already taken by the line itself.
            "timestamp" | "level" | "target" => object.serialize_entry(&format!("field_{name}"), value)?,
            _ => object.serialize_entry(name, value)?,
        }
    }
    object.end()?;
    out.push(b'\n');
    Ok(())
}

/// JSON leaves some characters alone that terminals and line readers do not: they are escaped too.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let mut clean = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_hostile(*c)) {
            out.write_all(&text.as_bytes()[clean..at])?;
            // All of them lie below U+10000.
            write!(out, "\\u{:04x}", u32::from(c))?;
            clean = at + c.len_utf8();
        }
        out.write_all(&text.as_bytes()[clean..])
    }
}
