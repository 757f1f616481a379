//! Where in a document a value stands.

use std::{fmt, str::FromStr};

use crate::value::{Document, Value};

/// Names, joined by dots: `participants.current_count`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

/// At most so many names: deeper documents are refused by the database anyway.
const DEPTH_MAX: usize = 32;

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path: names joined by dots, none empty, none with a leading $, at most {DEPTH_MAX}")]
pub struct InvalidPath;

/// A path goes on below something that is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocked;

impl Path {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first name.
    #[must_use]
    pub fn root(&self) -> &str {
        self.names().next().unwrap_or_default()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// What stands there, if anything does.
    #[must_use]
    pub fn find<'a>(&self, document: &'a Document) -> Option<&'a Value> {
        let mut names = self.names();
        let first = document.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_document()?.get(name))
    }

    /// The place, made if it was not there (as `null`, in documents that are made on the way).
    pub(crate) fn place<'a>(&self, document: &'a mut Document) -> Result<&'a mut Value, Blocked> {
        let mut names = self.names().peekable();
        let mut inside = document;
        loop {
            let name = names.next().ok_or(Blocked)?;
            if !inside.contains(name) {
                inside.set(name, Value::Null);
            }
            let value = inside.get_mut(name).ok_or(Blocked)?;
            if names.peek().is_none() {
                return Ok(value);
            }
            if matches!(value, Value::Null) {
                *value = Value::Document(Document::new());
            }
            inside = match value {
                Value::Document(document) => document,
                _ => return Err(Blocked),
            };
        }
    }

    /// Whether [`place`](Self::place) would find or make it.
    pub(crate) fn check(&self, document: &Document) -> Result<(), Blocked> {
        let mut inside = document;
        let mut names = self.names().peekable();
        while let Some(name) = names.next() {
            match inside.get(name) {
                None | Some(Value::Null) => return Ok(()),
                Some(_) if names.peek().is_none() => return Ok(()),
                Some(Value::Document(document)) => inside = document,
                Some(_) => return Err(Blocked),
            }
        }
        Ok(())
    }

    /// Takes out what stands there.
    pub(crate) fn remove(&self, document: &mut Document) -> Option<Value> {
        match self.0.rsplit_once('.') {
            None => document.remove(&self.0),
            Some((parent, name)) => {
                let mut inside = document;
                for step in parent.split('.') {
                    inside = match inside.get_mut(step)? {
                        Value::Document(document) => document,
                        _ => return None,
                    };
                }
                inside.remove(name)
            }
        }
    }
}

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let good = |name: &str| !name.is_empty() && !name.starts_with('$') && !name.contains('\0');
        if text.split('.').count() > DEPTH_MAX || !text.split('.').all(good) {
            return Err(InvalidPath);
        }
        Ok(Self(text.to_owned()))
    }
}

/// For paths that stand in the code.
///
/// # Panics
/// If the text is no path: that is a mistake in the code, which its first test shows.
impl From<&'static str> for Path {
    fn from(text: &'static str) -> Self {
        text.parse().expect("a path in the code is a path")
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.parse().expect("a path")
    }

    #[test]
    fn places_are_made_on_the_way() {
        let mut document = Document::new().with("a", Value::Null);
        *path("a.b.c").place(&mut document).expect("free") = Value::Int(1);
        assert_eq!(path("a.b.c").find(&document), Some(&Value::Int(1)));
        assert_eq!(path("a.b.c").remove(&mut document), Some(Value::Int(1)));
        assert_eq!(path("a.b.c").find(&document), None);
        assert_eq!(path("a.x.c").remove(&mut document), None);
    }

    #[test]
    fn nothing_stands_below_a_scalar() {
        let mut document = Document::new().with("a", 1);
        assert_eq!(path("a.b").check(&document), Err(Blocked));
        assert_eq!(path("a.b").place(&mut document), Err(Blocked));
        assert_eq!(path("a").check(&document), Ok(()));
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["", ".", "a.", "a..b", "$set", "a.$b", "a\0b", &["a"; 33].join(".")] {
            assert_eq!(bad.parse::<Path>(), Err(InvalidPath), "{bad:?}");
        }
    }
}
