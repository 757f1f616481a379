//! A handler by configuration: an event type's payload becomes a document of a collection.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    event::Event,
    path::{InvalidPath, Path},
    registry::Handler,
    rejection::Rejection,
    value::{Document, Value},
    write::Write,
};

/// What an event of one type does to a collection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The type of the events.
    pub event_type: String,
    /// Where the documents are kept.
    pub collection: String,
    /// What is done.
    #[serde(default)]
    pub action: Action,
    /// Where in the payload the document's id stands; the event's aggregate id if it is not said.
    #[serde(default)]
    pub id: Option<String>,
    /// Which fields are written, as (field of the document, field of the payload), both with dots for what is
    /// inside. All of the payload's own fields if there are none here. A field that the payload does not have is
    /// left out.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
}

/// What is done to the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made, with the fields, `metadata.created_at`, `metadata.updated_at` and `metadata.source_event_id`.
    #[default]
    Insert,
    /// The fields are put into it, and `metadata.updated_at`. Waits for its insert.
    Set,
    /// It is removed.
    Delete,
}

impl Mapping {
    /// Checks the fields' names, once, at start.
    pub fn handler(self) -> Result<impl Handler + 'static, InvalidPath> {
        let fields = self
            .fields
            .iter()
            .map(|(to, from)| Ok((to.parse()?, from.parse()?)))
            .collect::<Result<Vec<(Path, Path)>, InvalidPath>>()?;
        let id = self.id.as_deref().map(str::parse).transpose()?;
        Ok(Mapped { collection: self.collection, action: self.action, id, fields })
    }
}

struct Mapped {
    collection: String,
    action: Action,
    id: Option<Path>,
    fields: Vec<(Path, Path)>,
}

impl Mapped {
    fn id(&self, event: &Event, payload: &Document) -> Result<String, Rejection> {
        let Some(path) = &self.id else { return Ok(event.aggregate_id.to_string()) };
        match path.find(payload) {
            Some(Value::Text(id)) => Ok(id.clone()),
            Some(Value::Int(id)) => Ok(id.to_string()),
            Some(_) => Err(Rejection::new("is no id").at(path.as_str())),
            None => Err(Rejection::new("is missing").at(path.as_str())),
        }
    }

    /// The fields with where they go.
    fn fields(&self, payload: Document) -> Result<Vec<(Path, Value)>, Rejection> {
        if self.fields.is_empty() {
            let named = payload.into_iter().map(|(name, value)| match name.parse::<Path>() {
                Ok(path) if !name.contains('.') => Ok((path, value)),
                _ => Err(Rejection::new("is no name for a field").at(name)),
            });
            return named.collect();
        }
        let found =
            self.fields.iter().filter_map(|(to, from)| Some((to.clone(), from.find(&payload)?.clone())));
        Ok(found.collect())
    }
}

impl Handler for Mapped {
    fn project(&self, event: &Event) -> Result<Vec<Write>, Rejection> {
        let Json::Object(payload) = event.payload::<Json>()? else {
            return Err(Rejection::new("expected an object"));
        };
        let payload = Document::from(payload);
        let id = self.id(event, &payload)?;
        let write = Write::on(self.collection.as_str(), id);
        let with_fields = |write: Write| -> Result<Write, Rejection> {
            Ok(self.fields(payload)?.into_iter().fold(write, |write, (path, value)| write.set(path, value)))
        };
        Ok(vec![match self.action {
            Action::Delete => write.delete(),
            Action::Set => with_fields(write)?.set("metadata.updated_at", event.created_at),
            Action::Insert => with_fields(write.insert(Document::new()))?
                .set("metadata.created_at", event.created_at)
                .set("metadata.updated_at", event.created_at)
                .set("metadata.source_event_id", event.id.as_str()),
        }])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        apply::{Applied, apply},
        testing::given,
    };

    fn mapping(json: Json) -> Mapping {
        serde_json::from_value(json).expect("a mapping")
    }

    fn document(mappings: &[Mapping], payload: &str) -> Json {
        let mut stored = None;
        for (at, mapping) in (1..).zip(mappings) {
            let event = given::event(0, at, "Ordered", payload);
            let handler = mapping.clone().handler().expect("good names");
            for write in handler.project(&event).expect("fits") {
                let id = write.id.to_string();
                match apply(stored.clone(), &given::group(0, &id, [(at, write)])) {
                    Applied::Document(document) => stored = Some(document),
                    other => panic!("not applied: {other:?}"),
                }
            }
        }
        let mut json = serde_json::to_value(stored.expect("a document")).expect("prints");
        json.as_object_mut().expect("an object").remove("pos");
        json
    }

    #[test]
    fn a_payload_becomes_a_document() {
        let insert = mapping(json!({ "event_type": "Ordered", "collection": "orders" }));
        let now = given::moment(0).to_string();
        let metadata = json!({ "created_at": now, "updated_at": now, "source_event_id": "e0-1" });
        let expected = json!({ "_id": "a", "total": 3, "by": { "name": "Ada" }, "metadata": metadata });
        assert_eq!(document(&[insert], r#"{"total":3,"by":{"name":"Ada"}}"#), expected);
    }

    #[test]
    fn fields_are_chosen_and_renamed_and_the_id_comes_from_the_payload() {
        let insert = mapping(json!({
            "event_type": "Ordered", "collection": "orders", "id": "order.id",
            "fields": [["customer.name", "by"], ["gone", "missing"]],
        }));
        let set = mapping(json!({
            "event_type": "Ordered", "collection": "orders", "id": "order.id", "action": "set",
            "fields": [["total", "order.total"]],
        }));
        let made = document(&[insert, set], r#"{"order":{"id":77,"total":9},"by":"Ada"}"#);
        assert_eq!(
            (&made["_id"], &made["customer"], &made["total"]),
            (&json!("77"), &json!({ "name": "Ada" }), &json!(9))
        );
        assert_eq!(made.get("gone"), None);
    }

    #[test]
    fn what_does_not_fit_is_rejected_with_its_place() {
        let of = |json: Json, payload: &str| {
            let handler = mapping(json).handler().expect("good names");
            handler.project(&given::event(0, 1, "Ordered", payload)).expect_err("does not fit").to_string()
        };
        let plain = json!({ "event_type": "Ordered", "collection": "orders" });
        let by_id = json!({ "event_type": "Ordered", "collection": "orders", "id": "id" });
        assert_eq!(of(plain.clone(), "[]"), "expected an object");
        assert_eq!(of(plain, r#"{"$set":1}"#), "$set: is no name for a field");
        assert_eq!(of(by_id.clone(), "{}"), "id: is missing");
        assert_eq!(of(by_id, r#"{"id":[]}"#), "id: is no id");
        let bad = mapping(json!({ "event_type": "E", "collection": "c", "fields": [["a..b", "c"]] }));
        assert!(bad.handler().is_err());
    }
}
