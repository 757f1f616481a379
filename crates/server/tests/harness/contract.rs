//! What the server says of itself, held against what it does.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Answer, Http, Server};

/// The OpenAPI document of a server.
pub(crate) struct Contract {
    pub(crate) document: Value,
}

impl Contract {
    pub(crate) async fn of(server: &Server) -> Self {
        let answer = Http::get(server.addr, "/v1/openapi.json").send().await;
        assert_eq!(answer.status, 200);
        Self { document: answer.json() }
    }

    /// The answer is one that the document names, with the headers and the body that it describes.
    pub(crate) fn holds(&self, method: &str, path: &str, answer: &Answer) {
        let responses = &self.document["paths"][path][method]["responses"];
        let (named, default) = (&responses[answer.status.to_string()], &responses["default"]);
        let response = if named.is_null() { default } else { named };
        let response = match response["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).expect("it is there"),
            None => response,
        };
        assert!(response.is_object(), "{method} {path} {} is not described", answer.status);
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{method} {path} {}: a body", answer.status);
            return;
        };
        let media_type = answer.header("content-type").expect("a type");
        let schema =
            &content.get(media_type).unwrap_or_else(|| panic!("{media_type} is not described"))["schema"];
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        if let Err(e) = self.validator(schema).validate(&body) {
            panic!("{method} {path} {}: {e}\n{body:#}", answer.status);
        }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let schema = json!({ "allOf": [schema], "components": self.document["components"] });
        jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
    }
}
