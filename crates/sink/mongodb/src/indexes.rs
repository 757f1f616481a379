//! Indexes, made at start.

use mongodb::{
    IndexModel,
    bson::{Document, doc},
    options::IndexOptions,
};

/// An index of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The collection.
    pub collection: String,
    /// Its fields, with dots for what is inside; all ascending.
    pub fields: Vec<String>,
    /// Whether no two documents may have the same values. One that would is a dead letter.
    pub is_unique: bool,
}

impl Index {
    /// An index that finds documents.
    #[must_use]
    pub fn of(collection: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Self { collection: collection.to_owned(), fields, is_unique: false }
    }

    /// The same, whose values no two documents share.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { is_unique: true, ..self }
    }

    /// What the documents of the shipped handlers are looked for by.
    #[must_use]
    pub fn of_the_shipped_handlers() -> Vec<Self> {
        vec![
            Self::of("users", &["email"]),
            Self::of("users", &["username"]),
            Self::of("users", &["metadata.source_event_id"]),
            Self::of("activities", &["creator_id"]),
            Self::of("activities", &["status", "created_at"]),
            Self::of("activities", &["participants.list.user_id"]),
            Self::of("activities", &["metadata.source_event_id"]),
        ]
    }

    pub(crate) fn model(&self) -> IndexModel {
        let keys: Document = self.fields.iter().map(|field| (field.clone(), 1.into())).collect();
        IndexModel::builder()
            .keys(keys)
            .options(IndexOptions::builder().unique(self.is_unique).build())
            .build()
    }
}

/// What the ledger is asked by.
pub(crate) fn of_the_ledger() -> IndexModel {
    IndexModel::builder().keys(doc! { "events.id": 1 }).build()
}
