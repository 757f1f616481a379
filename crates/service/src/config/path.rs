//! A setting's place in the tree, printed as its dotted name.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// From the root to a setting; prints as `engine.queue_depth_max`, `handlers[1].url` or
/// `actions."report.build".retries`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Path(Vec<Segment>);

impl Path {
    pub(super) fn of_keys(keys: impl IntoIterator<Item = String>) -> Self {
        Self(keys.into_iter().map(Segment::Key).collect())
    }

    /// Reads a dotted name as TOML reads a key, so that a part with dots in it can be quoted.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let document = format!("{name} = 0");
        let mut table = DeTable::parse(&document).ok()?.into_inner();
        let mut keys = Vec::new();
        loop {
            if table.len() > 1 {
                return None;
            }
            let (key, value) = table.into_iter().next()?;
            keys.push(key.into_inner().into_owned());
            match value.into_inner() {
                DeValue::Table(inner) => table = inner,
                _ => return Some(Self::of_keys(keys)),
            }
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }

    pub(super) fn join(&self, below: &Self) -> Self {
        Self([self.0.as_slice(), &below.0].concat())
    }

    pub(super) fn parent(&self) -> Option<Self> {
        let (_, up) = self.0.split_last()?;
        Some(Self(up.to_vec()))
    }

    /// The keys on the way, without indexes.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        })
    }

    /// The variable that sets it: `STREAMER_ENGINE__QUEUE_DEPTH_MAX`.
    pub(super) fn variable(&self, prefix: &str) -> String {
        let keys: Vec<_> = self.keys().map(str::to_uppercase).collect();
        format!("{prefix}{}", keys.join("__"))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    write!(f, "{dot}{}", Key(key))?;
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key as TOML writes it: bare if it can be, else quoted.
pub(super) struct Key<'a>(pub(super) &'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !self.0.is_empty() && self.0.chars().all(bare) {
            f.write_str(self.0)
        } else {
            f.write_str(&super::toml_text::string(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        for name in ["port", "engine.queue_depth_max", "actions.\"report.build\".retries"] {
            assert_eq!(Path::parse(name).expect(name).to_string(), name);
        }
        for nonsense in ["", ".", "a..b", "a b", "a = 1\nb"] {
            assert_eq!(Path::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_variable_is_in_capitals() {
        let path = Path::default().key("engine").key("queue_depth_max");
        assert_eq!(path.variable("STREAMER_"), "STREAMER_ENGINE__QUEUE_DEPTH_MAX");
        assert_eq!(path.index(2).to_string(), "engine.queue_depth_max[2]");
    }
}
