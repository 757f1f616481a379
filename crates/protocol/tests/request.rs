//! What clients send.

use serde::Deserialize;
use serde_json::Value;
use streamer_protocol::{InvalidRequest, Request};

use crate::golden::{Golden, Valid, read, same};

/// The error that answers an invalid message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: String,
    path: String,
    id: Option<String>,
}

#[test]
fn valid_messages_are_read_and_printed() {
    for (name, golden) in read::<Golden<Valid>>("request/valid") {
        let request = Request::parse(&golden.text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let printed = serde_json::to_string(&request).expect("prints");
        let value: Value = serde_json::from_str(&printed).expect("what was printed is JSON");
        assert!(same(&value, &golden.expect.frame), "{name}: printed {printed}");
        assert_eq!(Request::parse(&printed), Ok(request), "{name}: read again");
    }
}

#[test]
fn invalid_messages_are_refused_by_path_and_id() {
    for (name, golden) in read::<Golden<Refusal>>("request/invalid") {
        let Err(invalid) = Request::parse(&golden.text) else { panic!("{name}: was taken") };
        assert_eq!(InvalidRequest::CODE.as_str(), golden.expect.code, "{name}");
        assert_eq!(invalid.problem.path, golden.expect.path, "{name}: {invalid}");
        assert_eq!(invalid.id.map(|id| id.to_string()), golden.expect.id, "{name}");
        assert!(!invalid.problem.message.is_empty(), "{name}");
    }
}
