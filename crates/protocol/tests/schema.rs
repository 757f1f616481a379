//! The schema files and the golden frames agree with the types and with each other.

use std::{fs, path::Path};

use jsonschema::Validator;
use serde_json::Value;
use streamer_protocol::schema;

use crate::golden::{Golden, read};

/// Invalid goldens that a schema takes: JSON's data model has forgotten that a field came twice.
const BEYOND_A_SCHEMA: [&str; 2] = ["duplicate_action", "duplicate_id"];

fn validator(schema: schemars::Schema) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema.into())
        .expect("the generated schema is a schema")
}

#[test]
fn the_files_are_what_the_types_generate() {
    for (name, schema) in schema::files() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        let text = fs::read_to_string(&path).unwrap_or_default();
        // Compared as values: the order of fields depends on what else the build holds.
        let kept = serde_json::from_str::<Value>(&text).ok();
        let generated = Some(Value::from(schema));
        assert!(kept == generated, "schema/{name} is out of date: run `cargo xtask schema` and commit it");
    }
}

#[test]
fn the_schemas_take_every_valid_golden() {
    for (folder, schema) in [("request", schema::request()), ("server", schema::server_frame())] {
        let validator = validator(schema);
        for (name, golden) in read::<Golden<Value>>(&format!("{folder}/valid")) {
            let value: Value = serde_json::from_str(&golden.text).expect("a valid golden is JSON");
            if let Err(e) = validator.validate(&value) {
                panic!("{folder}/valid/{name}: {e}");
            }
        }
    }
}

#[test]
fn the_schemas_refuse_every_invalid_golden_that_is_json() {
    for (folder, schema) in [("request", schema::request()), ("server", schema::server_frame())] {
        let validator = validator(schema);
        let mut judged = 0;
        for (name, golden) in read::<Golden<Value>>(&format!("{folder}/invalid")) {
            let Ok(value) = serde_json::from_str::<Value>(&golden.text) else { continue };
            let expected = BEYOND_A_SCHEMA.contains(&name.as_str());
            assert_eq!(validator.is_valid(&value), expected, "{folder}/invalid/{name}");
            judged += 1;
        }
        assert!(judged > 20, "{folder}: only {judged} files are JSON");
    }
}
