//! The HTTP door as an OpenAPI 3.1 document, generated from the types.

use std::sync::LazyLock;

use schemars::{
    JsonSchema,
    generate::{SchemaGenerator, SchemaSettings},
};
use serde_json::{Map, Value, json};
use streamer_engine::{CancelView, RequestView};
use streamer_protocol::{
    Acknowledgment, Complete, Published, Request, RequestId, Response, ServerFrame, Topic,
};

use super::{events, problem::Problem, requests, topics, usage::UsageView};

/// What this door offers.
pub(super) static OPENAPI: LazyLock<Value> = LazyLock::new(document);

/// What the socket says, as an AsyncAPI 3 document.
pub(super) static ASYNCAPI: LazyLock<Value> = LazyLock::new(streamer_protocol::schema::asyncapi);

/// Where the document keeps its schemas.
const SCHEMAS: &str = "/components/schemas";

const JSON: &str = "application/json";

/// The types that go over this door.
struct Types(SchemaGenerator);

impl Types {
    /// A reference to a type's schema.
    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().into()
    }

    /// A frame of the socket: the type's fields, and its name.
    fn frame<T: JsonSchema>(&mut self, name: &str) -> Value {
        let mut schema = json!({
            "type": "object",
            "properties": { "type": { "const": name } },
            "required": ["type"],
        });
        schema["allOf"] = json!([self.of::<T>()]);
        schema
    }

    /// The fields of a type, each a parameter of the query.
    fn query<T: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = Value::from(T::json_schema(&mut self.0));
        let fields = schema["properties"].as_object().expect("a query has fields").clone();
        let parameter = |(name, mut schema): (String, Value)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut parameter = json!({ "name": name, "in": "query", "schema": present(schema) });
            parameter["description"] = description.unwrap_or_default();
            parameter
        };
        fields.into_iter().map(parameter).collect()
    }
}

/// A parameter may be absent, but it is never null.
fn present(mut schema: Value) -> Value {
    if let Some(options) = schema["anyOf"].as_array() {
        let left: Vec<_> = options.iter().filter(|option| option["type"] != "null").cloned().collect();
        return left.into_iter().next().unwrap_or_default();
    }
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.retain(|name, value| !(name == "anyOf" && value.is_null()));
    }
    schema
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut types =
        Types(settings.with(|settings| settings.definitions_path = SCHEMAS.into()).into_generator());
    let paths = json!({
        "/v1/requests": { "get": list(&mut types), "post": submit(&mut types) },
        "/v1/requests/{id}": {
            "parameters": [id(&mut types)],
            "get": show(&mut types),
            "delete": cancel(&mut types),
        },
        "/v1/requests/{id}/events": { "parameters": [id(&mut types)], "get": listen(&mut types) },
        "/v1/topics/{topic}": {
            "parameters": [path_parameter("topic", types.of::<Topic>(), "The topic, percent-encoded.")],
            "post": publish(&mut types),
        },
        "/v1/usage": { "get": usage(&mut types) },
        "/v1/artifacts/{id}": {
            "parameters": [path_parameter("id", json!({ "type": "string" }), "As the result of a request names it.")],
            "get": artifact(),
        },
        "/v1/openapi.json": { "get": described("describeHttp", "This document") },
        "/v1/asyncapi.json": { "get": described("describeSocket", "The socket, as AsyncAPI 3") },
    });
    let problem = types.of::<Problem>();
    // What an event's data is.
    let _ = types.of::<ServerFrame>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Streamer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Slow requests over HTTP: answered at once, or taken, stored and followed.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "application": [] }],
        "paths": paths,
        "components": {
            "schemas": types.0.take_definitions(true),
            "responses": {
                "problem": {
                    "description": "What went wrong: `code` says it for programs.",
                    "headers": {
                        "Retry-After": {
                            "description": "Whole seconds, where trying again may help.",
                            "schema": { "type": "integer" },
                        },
                    },
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "query": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "Authorization",
                    "description": "For pages, whose EventSource and links send no headers.",
                },
                "application": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "session",
                    "description": "Where the server asks an application who calls: the cookie or header that it \
                        looks at, whatever its name. Cookies count from allowed origins.",
                },
            },
        },
    })
}

fn submit(types: &mut Types) -> Value {
    let known = "A request that is stored already is answered with where it stands; with its outcome, if it has ended.";
    let wait = "`wait=N`: wait up to N seconds for the outcome.";
    let key = "The request's id, if the body names none.";
    let applied = header_of("How long the call was ready to wait.", "string");
    let location = header_of("Where the request is found, if it is stored.", "string");
    operation(
        "submitRequest",
        "Ask for something",
        json!({
            "description": format!(
                "Short work is answered at once (200). Longer work is stored, and acknowledged (202). {known}"
            ),
            "parameters": [header("Idempotency-Key", key), header("Prefer", wait)],
            "requestBody": {
                "required": true,
                "content": { JSON: { "schema": types.of::<Request>() } },
            },
        }),
        [
            (
                "200",
                json!({
                    "description": "Short work: the answer. Stored work that has ended: its result.",
                    "headers": { "Location": location, "Preference-Applied": applied },
                    "content": { JSON: { "schema": { "oneOf": [
                        types.frame::<Response>("response"),
                        types.frame::<Complete>("complete"),
                    ] } } },
                }),
            ),
            (
                "202",
                json!({
                    "description": "It is stored, and will be run.",
                    "headers": { "Location": location, "Preference-Applied": applied },
                    "content": { JSON: { "schema": types.frame::<Acknowledgment>("acknowledgment") } },
                }),
            ),
        ],
    )
}

fn list(types: &mut Types) -> Value {
    let more = json!({ "parameters": types.query::<requests::Wanted>() });
    let page = content("A page, newest first.", types.of::<requests::Listed>());
    operation("listRequests", "One's own requests", more, [("200", page)])
}

fn show(types: &mut Types) -> Value {
    let view = content("Where it stands, and what it came to.", types.of::<RequestView>());
    operation("showRequest", "Where a request stands", json!({}), [("200", view)])
}

fn cancel(types: &mut Types) -> Value {
    let view = types.of::<CancelView>();
    operation(
        "cancelRequest",
        "End a request",
        json!({}),
        [
            ("200", content("It has ended: now, or before.", view.clone())),
            ("202", content("It runs, and is told to end.", view)),
        ],
    )
}

fn listen(types: &mut Types) -> Value {
    let mut parameters = types.query::<events::Wanted>();
    parameters.push(header("Last-Event-ID", "Only what comes after this event."));
    let events = json!({
        "description": "Server-sent events, up to the outcome. `id` is the `seq` of a log entry, `event` its type \
            (progress, chunk, restart, complete, error), `data` the frame that the socket is sent.",
        "content": { "text/event-stream": { "schema": { "type": "string" } } },
    });
    let nothing = json!({ "description": "It has ended, and all of its log was heard." });
    operation(
        "listenToRequest",
        "Follow a request",
        json!({ "parameters": parameters, "security": [{ "bearer": [] }, { "query": [] }, { "application": [] }] }),
        [("200", events), ("204", nothing)],
    )
}

fn publish(types: &mut Types) -> Value {
    let mut answer = types.frame::<Response>("response");
    answer["properties"]["data"] = types.of::<Published>();
    let key = "Names the message, so that it can be sent again: as long as the topic keeps it, it is there once, and \
        answered as the first time. With another message it is a conflict; a topic that keeps nothing refuses it.";
    operation(
        "publish",
        "Send a message to those who are subscribed to a topic",
        json!({
            "parameters": [header("Idempotency-Key", key)],
            "requestBody": {
                "required": true,
                "content": { JSON: { "schema": types.of::<topics::Message>() } },
            },
        }),
        [("200", content("Where the message is in its topic.", answer))],
    )
}

fn usage(types: &mut Types) -> Value {
    let figures = content("The figures.", types.of::<UsageView>());
    operation("showUsage", "What one's tenant has, and may have", json!({}), [("200", figures)])
}

fn artifact() -> Value {
    let file = json!({
        "description": "The file.",
        "content": { "*/*": { "schema": { "type": "string", "format": "binary" } } },
    });
    let security = json!({ "security": [{ "bearer": [] }, { "query": [] }, { "application": [] }] });
    operation("getArtifact", "A file that a request made", security, [("200", file)])
}

fn described(id: &str, summary: &str) -> Value {
    let document = content("The document.", json!({ "type": "object" }));
    operation(id, summary, json!({ "security": [] }), [("200", document)])
}

/// An operation and its answers; every other answer is a problem.
fn operation<const N: usize>(id: &str, summary: &str, more: Value, answers: [(&str, Value); N]) -> Value {
    let mut responses: Map<String, Value> =
        answers.into_iter().map(|(status, answer)| (status.to_owned(), answer)).collect();
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/problem" }));
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    let fields = operation.as_object_mut().expect("made as an object");
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    operation
}

fn content(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { JSON: { "schema": schema } } })
}

fn id(types: &mut Types) -> Value {
    path_parameter("id", types.of::<RequestId>(), "The request's id, percent-encoded.")
}

fn path_parameter(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } })
}

fn header_of(description: &str, kind: &str) -> Value {
    json!({ "description": description, "schema": { "type": kind } })
}
