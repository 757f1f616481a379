//! PostgreSQL's text of arrays: `{1,NULL,"a \"b\""}`, nested, with bounds before it where they are not 1.
//!
//! Source: PostgreSQL's documentation, "Array Input and Output Syntax".

use serde_json::Value;

use super::Shape;

/// PostgreSQL's own bound.
const DEPTH_MAX: usize = 6;

pub(super) fn read(text: &str, element: Shape) -> Option<Value> {
    // Bounds that are not 1 stand before it: `[2:3]={5,6}`.
    let text = match text.starts_with('[') {
        true => &text[text.find("]={")? + 2..],
        false => text,
    };
    let mut reader = Reader { rest: text, element };
    let list = reader.list(0)?;
    reader.rest.is_empty().then_some(list)
}

struct Reader<'a> {
    rest: &'a str,
    element: Shape,
}

impl Reader<'_> {
    fn eat(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        if depth >= DEPTH_MAX {
            return None;
        }
        self.eat('{')?;
        let mut items = Vec::new();
        if self.eat('}').is_some() {
            return Some(Value::Array(items));
        }
        loop {
            items.push(match self.rest.chars().next()? {
                '{' => self.list(depth + 1)?,
                '"' => self.quoted()?,
                _ => self.plain()?,
            });
            if self.eat(',').is_none() {
                self.eat('}')?;
                return Some(Value::Array(items));
            }
        }
    }

    fn quoted(&mut self) -> Option<Value> {
        self.eat('"')?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => {
                    self.rest = &self.rest[at + 1..];
                    return Some(self.element.read(&text));
                }
                (_, '\\') => text.push(chars.next()?.1),
                (_, char) => text.push(char),
            }
        }
    }

    fn plain(&mut self) -> Option<Value> {
        let end = self.rest.find([',', '}', '{', '"'])?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        match text {
            "" => None,
            "NULL" => Some(Value::Null),
            text => Some(self.element.read(text)),
        }
    }
}
