//! The socket as an AsyncAPI 3 document, generated from the types.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{Request, ServerFrame};

/// Where the document keeps its schemas.
const SCHEMAS: &str = "/components/schemas";

/// What is said on the socket, from the server's side: it receives requests and sends frames.
#[must_use]
pub fn asyncapi() -> Value {
    let (mut schemas, mut messages) = (Map::new(), Map::new());
    // AsyncAPI's own schemas are a superset of JSON Schema draft 7.
    let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut reading = settings.clone().into_generator();
    let request = reading.subschema_for::<Request>();
    take(&mut schemas, &mut reading);
    messages.insert("request".to_owned(), message("request", "What a client asks.", request.into()));

    let mut writing = settings.for_serialize().into_generator();
    let _ = writing.subschema_for::<ServerFrame>();
    take(&mut schemas, &mut writing);
    let frames = schemas.remove("ServerFrame").expect("generated just now");
    for frame in frames["oneOf"].as_array().expect("a frame is one of several") {
        let name = frame["properties"]["type"]["const"].as_str().expect("each has a type");
        let summary = summary(&schemas, frame);
        messages.insert(name.to_owned(), message(name, &summary, frame.clone()));
    }

    let of_channel = |name: &String| json!({ "$ref": format!("#/channels/socket/messages/{name}") });
    let sent: Vec<_> = messages.keys().filter(|name| *name != "request").map(of_channel).collect();
    let in_channel: Map<_, _> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streamer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Slow requests over a live connection: JSON in WebSocket text frames.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": "{host}",
                "protocol": "ws",
                "variables": { "host": { "default": "127.0.0.1:8080" } },
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
            },
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "description": "The token comes in the Authorization header, in the subprotocol pair \
                    `streamer.v1, bearer.<JWT>`, or in the query.",
                "messages": in_channel,
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": {
                            "type": "object",
                            "properties": {
                                "Authorization": { "type": "string", "description": "The token." },
                            },
                        },
                        "bindingVersion": "0.1.0",
                    },
                },
            },
        },
        "operations": {
            "receiveRequests": {
                "action": "receive",
                "summary": "Clients send requests.",
                "channel": { "$ref": "#/channels/socket" },
                "messages": [of_channel(&"request".to_owned())],
            },
            "sendFrames": {
                "action": "send",
                "summary": "The server answers, and tells how requests go on.",
                "channel": { "$ref": "#/channels/socket" },
                "messages": sent,
            },
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

/// Moves what a generator has defined; a name has one meaning, whichever way it travels.
fn take(schemas: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    for (name, schema) in generator.take_definitions(true) {
        if let Some(known) = schemas.get(&name) {
            assert_eq!(*known, schema, "{name} reads otherwise than it is written");
        }
        schemas.insert(name, schema);
    }
}

fn message(name: &str, summary: &str, payload: Value) -> Value {
    json!({ "name": name, "summary": summary, "contentType": "application/json", "payload": payload })
}

/// What the type behind a frame says of itself.
fn summary(schemas: &Map<String, Value>, frame: &Value) -> String {
    let referred = frame["allOf"].as_array().into_iter().flatten().find_map(|part| part["$ref"].as_str());
    let name = referred.or(frame["$ref"].as_str()).and_then(|reference| reference.rsplit('/').next());
    let description = name.and_then(|name| schemas[name]["description"].as_str());
    description.unwrap_or_default().to_owned()
}
