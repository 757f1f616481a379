//! What somebody may do, by name.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

/// What its issuer, or the application, allows somebody. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeSet<String>", into = "BTreeSet<String>")]
pub struct Permissions(Arc<BTreeSet<String>>);

impl Permissions {
    /// Subscribing to topics.
    pub const READ: &'static str = "read";
    /// Publishing to topics.
    pub const WRITE: &'static str = "write";

    /// Whether `name` was granted, exactly so written.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The names in order, each once.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// As a store keeps them: a JSON array, which [`Deserialize`] reads; nothing where there are none.
    #[must_use]
    pub fn kept(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::to_string(self).expect("made of text"))
    }
}

impl From<BTreeSet<String>> for Permissions {
    fn from(names: BTreeSet<String>) -> Self {
        Self(Arc::new(names))
    }
}

impl From<Permissions> for BTreeSet<String> {
    fn from(Permissions(names): Permissions) -> Self {
        Arc::unwrap_or_clone(names)
    }
}

impl<T: Into<String>> FromIterator<T> for Permissions {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        names.into_iter().map(Into::into).collect::<BTreeSet<String>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_as_it_was() {
        let permissions: Permissions = ["write", "read", "write", "a,\"b"].into_iter().collect();
        let kept = permissions.kept().expect("some");
        assert_eq!(kept, r#"["a,\"b","read","write"]"#);
        assert_eq!(serde_json::from_str::<Permissions>(&kept).expect("reads"), permissions);
        assert_eq!(Permissions::default().kept(), None);
    }
}
