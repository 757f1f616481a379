//! Names of topics, and what the actions of topics take and answer.

use jsonschema::Validator;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use streamer_protocol::{
    OfTopic, Present, Publish, Published, Subscribe, Subscribed, Topic, Unsubscribed, schema,
};

use crate::golden::{Golden, read, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    request: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    kind: String,
    frame: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrong {
    kind: String,
    path: String,
}

fn validator(kind: &str) -> Validator {
    let mut schema = Value::from(schema::topic_actions());
    assert!(schema["$defs"][kind].is_object(), "{kind} has its schema");
    schema["$ref"] = json!(format!("#/$defs/{kind}"));
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

#[test]
fn names_are_told_from_what_is_none() {
    for (name, golden) in read::<Golden<Named>>("topic/valid") {
        let topic = Topic::parse(&golden.text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(topic.request().map(|id| id.to_string()), golden.expect.request, "{name}");
        assert!(validator("Topic").is_valid(&json!(golden.text)), "{name}: the schema refuses it");
    }
    for (name, golden) in read::<Golden<Nothing>>("topic/invalid") {
        let Nothing {} = golden.expect;
        assert!(Topic::parse(&golden.text).is_err(), "{name}");
        assert!(!validator("Topic").is_valid(&json!(golden.text)), "{name}: the schema takes it");
    }
}

/// What was read, printed again; or where it is wrong.
fn reprint<T: Serialize + DeserializeOwned>(text: &str) -> Result<Value, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read: T = serde_path_to_error::deserialize(&mut json).map_err(|e| e.path().to_string())?;
    let printed = serde_json::to_string(&read).expect("prints");
    Ok(serde_json::from_str(&printed).expect("what was printed is JSON"))
}

fn reprint_kind(kind: &str, text: &str) -> Result<Value, String> {
    match kind {
        "Subscribe" => reprint::<Subscribe>(text),
        "OfTopic" => reprint::<OfTopic>(text),
        "Publish" => reprint::<Publish>(text),
        "Subscribed" => reprint::<Subscribed>(text),
        "Unsubscribed" => reprint::<Unsubscribed>(text),
        "Published" => reprint::<Published>(text),
        "Present" => reprint::<Present>(text),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn payloads_and_answers_are_read_and_printed() {
    for (name, golden) in read::<Golden<Meant>>("topic_action/valid") {
        let Meant { kind, frame } = golden.expect;
        let printed =
            reprint_kind(&kind, &golden.text).unwrap_or_else(|path| panic!("{name}: wrong at {path}"));
        assert!(same(&printed, &frame), "{name}: printed {printed}");
        let value: Value = serde_json::from_str(&golden.text).expect("JSON");
        assert!(validator(&kind).is_valid(&value), "{name}: the schema refuses it");
    }
    for (name, golden) in read::<Golden<Wrong>>("topic_action/invalid") {
        let Wrong { kind, path } = golden.expect;
        assert_eq!(reprint_kind(&kind, &golden.text), Err(path), "{name}");
        let value: Value = serde_json::from_str(&golden.text).expect("JSON");
        assert!(!validator(&kind).is_valid(&value), "{name}: the schema takes it");
    }
}
