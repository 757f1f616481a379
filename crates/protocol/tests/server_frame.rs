//! What the server sends.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use streamer_protocol::{ServerFrame, UnreadableFrame, schema};

use crate::golden::{Golden, Valid, read, same};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Problem {
    UnknownType,
    Malformed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    problem: Problem,
}

#[test]
fn valid_frames_are_read_and_printed() {
    for (name, golden) in read::<Golden<Valid>>("server/valid") {
        let frame = ServerFrame::parse(&golden.text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let printed = frame.encode();
        let value: Value = serde_json::from_str(&printed).expect("what was printed is JSON");
        assert!(same(&value, &golden.expect.frame), "{name}: printed {printed}");
        assert!(!printed.contains('\n'), "{name}: more than a line");
        assert_eq!(ServerFrame::parse(&printed).expect("reads what it printed"), frame, "{name}: read again");

        assert_eq!(frame.seq(), value["seq"].as_u64(), "{name}");
        assert_eq!(frame.request_id().map(|id| id.as_str()), value["request_id"].as_str(), "{name}");
    }
}

#[test]
fn invalid_frames_are_told_from_unknown_ones() {
    for (name, golden) in read::<Golden<Unreadable>>("server/invalid") {
        let problem = match ServerFrame::parse(&golden.text) {
            Ok(frame) => panic!("{name}: was taken as {frame:?}"),
            Err(UnreadableFrame::UnknownType(_)) => Problem::UnknownType,
            Err(UnreadableFrame::Malformed(_)) => Problem::Malformed,
        };
        assert_eq!(problem, golden.expect.problem, "{name}");
    }
}

#[test]
fn every_type_and_every_error_code_has_a_file() {
    let goldens = read::<Golden<Valid>>("server/valid");
    let seen = |pointer: &str| -> BTreeSet<String> {
        let texts = goldens.iter().filter_map(|(_, golden)| golden.expect.frame.pointer(pointer)?.as_str());
        texts.map(str::to_owned).collect()
    };
    // The generated schema knows them all, so that no list here can be forgotten.
    let schema = Value::from(schema::server_frame());
    assert_eq!(seen("/type"), constants(&schema["oneOf"], "/properties/type/const"));
    assert_eq!(seen("/error/code"), constants(&schema["$defs"]["ErrorCode"]["oneOf"], "/const"));
}

fn constants(alternatives: &Value, pointer: &str) -> BTreeSet<String> {
    let alternatives = alternatives.as_array().expect("an enum is a list of alternatives");
    let text = |alternative: &Value| Some(alternative.pointer(pointer)?.as_str()?.to_owned());
    alternatives.iter().map(|alternative| text(alternative).expect("each has its name")).collect()
}
