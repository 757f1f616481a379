//! JSON Schema of the wire, generated from the types. The files under `schema/` are its output; a test
//! holds them against it.

mod asyncapi;

use schemars::{Schema, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

pub use asyncapi::asyncapi;

use crate::{
    OfTopic, Present, Publish, Published, REQUEST_ID_CHARS_MAX, Request, ServerFrame, Subscribe, Subscribed,
    TOPIC_CHARS_MAX, Unsubscribed,
};

/// The schema of what a client sends.
#[must_use]
pub fn request() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Request>()
}

/// The schema of what the server sends.
#[must_use]
pub fn server_frame() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<ServerFrame>()
}

/// The schema of the actions of topics: under `$defs`, the payload of each and what its `response` has as `data`.
#[must_use]
pub fn topic_actions() -> Schema {
    let mut asked = SchemaSettings::draft2020_12().into_generator();
    asked.subschema_for::<Subscribe>();
    asked.subschema_for::<OfTopic>();
    asked.subschema_for::<Publish>();
    let mut answered = SchemaSettings::draft2020_12().for_serialize().into_generator();
    answered.subschema_for::<Subscribed>();
    answered.subschema_for::<Unsubscribed>();
    answered.subschema_for::<Published>();
    answered.subschema_for::<Present>();
    let mut defs = asked.take_definitions(true);
    defs.append(&mut answered.take_definitions(true));
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The actions of topics: what is asked, and what is answered.",
        "$defs": defs,
    })
}

/// The files under `schema/` by name, with what they hold.
#[must_use]
pub fn files() -> [(&'static str, Schema); 3] {
    [
        ("request.json", request()),
        ("server_frame.json", server_frame()),
        ("topic_actions.json", topic_actions()),
    ]
}

/// A request may say its type, although nothing keeps it.
pub(crate) fn tolerate_type(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let kind = json!({ "description": "Tolerated, not needed.", "enum": ["request", null] });
    properties.expect("a request has fields").insert("type".to_owned(), kind);
}

/// The schema of a named id.
pub(crate) fn of_id(name: &str) -> Schema {
    match name {
        "Action" => json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
        "RequestId" | "IdempotencyKey" => json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": REQUEST_ID_CHARS_MAX,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        }),
        "Topic" => json_schema!({
            "type": "string",
            "anyOf": [
                { "pattern": format!("^(?!request:)[A-Za-z0-9._:@~-]{{1,{TOPIC_CHARS_MAX}}}$") },
                { "pattern": format!(r"^request:[^\x00-\x1f\x7f-\x9f]{{1,{REQUEST_ID_CHARS_MAX}}}$") },
            ],
        }),
        _ => json_schema!({ "type": "string" }),
    }
}
