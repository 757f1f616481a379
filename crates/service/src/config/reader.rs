//! Deserializes the tree: like any serde format, but an error knows its place, text is read as what is asked
//! for, and what nobody asked for is noted.

use std::{cell::RefCell, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
    value::{MapAccessDeserializer, StrDeserializer},
};

use super::{
    node::{Content, Node},
    origin::Origin,
    path::Path,
    toml_text,
};

/// A setting that the struct does not have.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) path: Path,
    pub(super) origin: Origin,
    /// What the struct has instead.
    pub(super) beside: &'static [&'static str],
}

/// Why reading stopped, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Option<Path>,
    pub(super) problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// A field without a default is not there.
    Missing(&'static str),
    /// Something else stands there than what is expected.
    Expected(String),
    /// One of these words is expected.
    Word(&'static [&'static str]),
    /// The type's own complaint, which may show the value.
    Other(String),
}

/// Reads one place of the tree and what is below it.
pub(super) struct Reader<'a> {
    node: &'a Node,
    path: Path,
    beside: &'static [&'static str],
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Node, unknown: &'a RefCell<Vec<Unknown>>) -> Self {
        Self { node: root, path: Path::default(), beside: &[], unknown }
    }

    fn child<'b>(&'b self, node: &'b Node, path: Path, beside: &'static [&'static str]) -> Reader<'b> {
        Reader { node, path, beside, unknown: self.unknown }
    }

    fn read<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|fault| Fault { path: fault.path.or(Some(path)), ..fault })
    }

    /// The text of a variable or a flag.
    fn text(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text that holds a whole TOML list or table.
    fn inline<'de, V: Visitor<'de>>(
        &self,
        text: &str,
        visit: impl FnOnce(Reader<'_>) -> Result<V::Value, Fault>,
    ) -> Option<Result<V::Value, Fault>> {
        let node = toml_text::read_value(text, &self.node.origin)?;
        let whole = matches!(node.content, Content::List(_) | Content::Table(_));
        whole.then(|| visit(self.child(&node, self.path.clone(), self.beside)))
    }

    fn whole_number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Placeholder => visitor.visit_u64(1),
            Content::Text(text) => match text.trim().replace('_', "").parse() {
                Ok(number) => visit_whole(number, visitor),
                Err(_) => visitor.visit_str(text),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn fraction<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Placeholder => visitor.visit_f64(1.0),
            Content::Text(text) => match text.trim().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => visitor.visit_str(text),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Placeholder => visitor.visit_seq(Elements { reader: self, next: 0, nodes: &[] }),
            Content::Text(text) if text.trim_start().starts_with('[') => {
                let mut visitor = Some(visitor);
                let mut visit = |reader: Reader<'_>| reader.list(visitor.take().expect("visited once"));
                match self.inline::<V>(text, &mut visit) {
                    Some(read) => read,
                    None => visitor.expect("not visited").visit_str(text),
                }
            }
            Content::Text(text) => {
                let element =
                    |part: &str| Node::new(self.node.origin.clone(), Content::Text(part.trim().to_owned()));
                let nodes: Vec<_> = text.split(',').map(element).collect();
                let reader = self.child(self.node, self.path.clone(), self.beside);
                visitor.visit_seq(Elements { reader, next: 0, nodes: &nodes })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn section<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Table(_) | Content::Placeholder => visitor.visit_map(Entries::new(self, fields)),
            Content::Text(text) => {
                let mut visitor = Some(visitor);
                let mut visit =
                    |reader: Reader<'_>| reader.section(fields, visitor.take().expect("visited once"));
                match self.inline::<V>(text, &mut visit) {
                    Some(read) => read,
                    None => visitor.expect("not visited").visit_str(text),
                }
            }
            _ => self.deserialize_any(visitor),
        }
    }
}

fn visit_whole<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Fault> {
    if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else {
        visitor.visit_i128(number)
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$to(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Table(_) => visitor.visit_map(Entries::new(self, &[])),
            Content::List(nodes) => visitor.visit_seq(Elements { reader: self, next: 0, nodes }),
            Content::Null | Content::Placeholder => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Integer(number) => visit_whole(*number, visitor),
            Content::Float(number) => visitor.visit_f64(*number),
            Content::String(text) => visitor.visit_str(text),
            // Inside an enum with fields nothing says what is wanted: the text's own look decides.
            Content::Text(text) => match toml_text::read_value(text.trim(), &self.node.origin) {
                Some(node) => self.child(&node, self.path.clone(), self.beside).deserialize_any(visitor),
                None => visitor.visit_str(text),
            },
        }
    }

    forward! { whole_number:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }
    forward! { fraction: deserialize_f32 deserialize_f64 }
    forward! { deserialize_string: deserialize_str deserialize_char deserialize_bytes deserialize_byte_buf
    deserialize_identifier }
    forward! { list: deserialize_seq }
    forward! { deserialize_any: deserialize_unit }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text().map(str::trim) {
            Some("true" | "1") => visitor.visit_bool(true),
            Some("false" | "0") => visitor.visit_bool(false),
            Some(text) => visitor.visit_str(text),
            None if self.node.content == Content::Placeholder => visitor.visit_bool(false),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Text(text) => visitor.visit_str(text),
            Content::Placeholder => visitor.visit_str(""),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.content {
            Content::Null | Content::Placeholder => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.section(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.section(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let unit = |text: &str, visitor: V| {
            let word: StrDeserializer<'_, Fault> = text.into_deserializer();
            word.deserialize_enum("", variants, visitor)
        };
        match &self.node.content {
            Content::String(text) => unit(text, visitor),
            Content::Text(text) => unit(text.trim(), visitor),
            Content::Placeholder => unit(variants.first().copied().unwrap_or_default(), visitor),
            Content::Table(_) => visitor.visit_enum(MapAccessDeserializer::new(Entries::new(self, &[]))),
            _ => Err(Fault { path: None, problem: Problem::Word(variants) }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.unknown.borrow_mut().push(Unknown {
            path: self.path,
            origin: self.node.origin.clone(),
            beside: self.beside,
        });
        visitor.visit_unit()
    }
}

/// The entries of a table, in the order of their keys.
struct Entries<'a> {
    reader: Reader<'a>,
    fields: &'static [&'static str],
    entries: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a String, &'a Node)>,
}

impl<'a> Entries<'a> {
    fn new(reader: Reader<'a>, fields: &'static [&'static str]) -> Self {
        let entries = match &reader.node.content {
            Content::Table(entries) => entries.iter(),
            _ => Default::default(),
        };
        Self { reader, fields, entries, value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.entries.next();
        let Some((key, node)) = self.value else { return Ok(None) };
        // As text, so that a map's keys may be numbers.
        let text = Node::new(node.origin.clone(), Content::Text(key.clone()));
        self.reader.child(&text, self.reader.path.key(key), &[]).read(seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) = self.value.take().expect("a key was read before its value");
        self.reader.child(node, self.reader.path.key(key), self.fields).read(seed)
    }
}

/// The elements of a list.
struct Elements<'a> {
    reader: Reader<'a>,
    next: usize,
    nodes: &'a [Node],
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let path = self.reader.path.index(self.next);
        self.next += 1;
        self.reader.child(node, path, &[]).read(seed).map(Some)
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, problem: Problem::Other(message.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self { path: None, problem: Problem::Expected(in_words(&expected.to_string())) }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self { path: None, problem: Problem::Word(expected) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { path: None, problem: Problem::Missing(field) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for Fault {}

/// What a table is called in a mistake.
pub(super) const SECTION: &str = "a section";

/// What serde calls a type, in words for whoever writes a configuration.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more,",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero u64" | "a nonzero usize" => "a whole number, 1 or more,",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => SECTION,
        "path string" => "a path",
        _ if expected.starts_with("struct ") => SECTION,
        _ => expected,
    };
    words.to_owned()
}
