//! JSON Schema of the wire, generated from the types. The files under `schema/` are its output; a test
//! holds them against it.

mod asyncapi;

use schemars::{Schema, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

pub use asyncapi::asyncapi;

use crate::{REQUEST_ID_CHARS_MAX, Request, ServerFrame};

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

/// The files under `schema/` by name, with what they hold.
#[must_use]
pub fn files() -> [(&'static str, Schema); 2] {
    [("request.json", request()), ("server_frame.json", server_frame())]
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
        "RequestId" => json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": REQUEST_ID_CHARS_MAX,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        }),
        _ => json_schema!({ "type": "string" }),
    }
}
