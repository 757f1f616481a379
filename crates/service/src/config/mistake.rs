//! What is wrong with a configuration.

use std::fmt;

use super::origin::Origin;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's dotted name; none when a whole file is meant.
    pub setting: Option<String>,
    /// Where its value comes from; none when it was not set anywhere.
    pub origin: Option<Origin>,
    /// What is wrong and what would be right. Never the value of a secret.
    pub problem: String,
}

impl Mistake {
    pub(super) fn of_setting(name: String, origin: Origin, problem: impl Into<String>) -> Self {
        Self { setting: Some(name), origin: Some(origin), problem: problem.into() }
    }

    pub(super) fn of_source(origin: Origin, problem: impl Into<String>) -> Self {
        Self { setting: None, origin: Some(origin), problem: problem.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.setting, &self.origin) {
            (Some(setting), Some(origin)) => write!(f, "{setting} ({origin}): {}", self.problem),
            (Some(setting), None) => write!(f, "{setting}: {}", self.problem),
            (None, Some(origin)) => write!(f, "{origin}: {}", self.problem),
            (None, None) => f.write_str(&self.problem),
        }
    }
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes what is wrong with a setting, such as `("engine.queue_depth_max", "must be at least 1")`; the
    /// loader adds where the value comes from. The problem must not show a secret.
    pub fn push(&mut self, setting: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Mistake { setting: Some(setting.into()), origin: None, problem: problem.into() });
    }

    pub(super) fn add(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    pub(super) fn names(&self, setting: &str) -> bool {
        self.0.iter().any(|mistake| mistake.setting.as_deref() == Some(setting))
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each mistake.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl IntoIterator for Mistakes {
    type Item = Mistake;
    type IntoIter = std::vec::IntoIter<Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => f.write_str("one mistake in the configuration:")?,
            count => write!(f, "{count} mistakes in the configuration:")?,
        }
        for mistake in self {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
