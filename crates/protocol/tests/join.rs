//! Messages in parts.

use serde::Deserialize;
use streamer_protocol::{JoinError, Part, PartJoiner, ServerFrame};

use crate::golden::read;

const BYTES_MAX: usize = 1 << 20;

/// A file with several part frames.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden<E> {
    about: String,
    texts: Vec<String>,
    expect: E,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Joined {
    messages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    problem: String,
}

impl<E> Golden<E> {
    fn parts(&self, name: &str) -> Vec<Part> {
        assert!(self.about.ends_with('.'), "{name}: {:?} is no sentence", self.about);
        let part = |text: &String| match ServerFrame::parse(text) {
            Ok(ServerFrame::Part(part)) => part,
            other => panic!("{name}: {other:?} is no part"),
        };
        self.texts.iter().map(part).collect()
    }
}

#[test]
fn parts_become_whole_messages() {
    for (name, golden) in read::<Golden<Joined>>("join/valid") {
        let mut joiner = PartJoiner::new(BYTES_MAX);
        let parts = golden.parts(&name).into_iter();
        let messages: Vec<String> =
            parts.filter_map(|part| joiner.add(part).unwrap_or_else(|e| panic!("{name}: {e}"))).collect();
        assert_eq!(messages, golden.expect.messages, "{name}");
        for message in messages {
            ServerFrame::parse(&message).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn parts_that_make_no_sense_are_refused() {
    for (name, golden) in read::<Golden<Refused>>("join/invalid") {
        let mut joiner = PartJoiner::new(BYTES_MAX);
        let mut parts = golden.parts(&name);
        let last = parts.pop().expect("at least one part");
        for part in parts {
            assert_eq!(joiner.add(part), Ok(None), "{name}");
        }
        let problem = match joiner.add(last) {
            Ok(_) => panic!("{name}: was taken"),
            Err(JoinError::Inconsistent) => "inconsistent",
            Err(JoinError::TooLarge) => "too_large",
        };
        assert_eq!(problem, golden.expect.problem, "{name}");
    }
}
