use super::*;
use crate::{testing::given, write::Write};

const ENTRY_KEY: &str = "user_id";

fn group(writes: &[(u64, Write)]) -> Group {
    group_from(0, writes)
}

fn group_from(partition: u32, writes: &[(u64, Write)]) -> Group {
    given::group(partition, "d", writes.iter().map(|(at, write)| (*at, write.clone())))
}

fn write() -> Write {
    Write::on("c", "d")
}

fn inserted() -> Write {
    write().insert(Document::new().with("n", 0))
}

fn stored(stored: Option<Document>, group: &Group) -> Document {
    match apply(stored, group) {
        Applied::Document(document) => document,
        other => panic!("expected a document: {other:?}"),
    }
}

fn refused(stored: Option<Document>, group: &Group) -> Vec<Refusal> {
    match apply(stored, group) {
        Applied::Refused(refused) => refused.into_iter().map(|refused| refused.refusal).collect(),
        other => panic!("expected a refusal: {other:?}"),
    }
}

fn json(document: &Document) -> serde_json::Value {
    let mut json = serde_json::to_value(document).expect("prints");
    json.as_object_mut().expect("a document").remove(POSITIONS);
    json
}

#[test]
fn a_group_is_applied_in_order_and_sets_the_last_position() {
    let group = group(&[
        (1, inserted().set("a.b", "x")),
        (2, write().increment("n", 2)),
        (3, write().increment("n", 0.5).unset("a.b")),
    ]);
    let document = stored(None, &group);
    assert_eq!(json(&document), serde_json::json!({ "_id": "d", "n": 2.5, "a": {} }));
    assert_eq!(reached(&document, &group.partition), Some(Offset::at(3)));
}

#[test]
fn what_was_applied_is_not_applied_again() {
    let increment = || write().increment("n", 1).creating();
    let first = group(&[(1, increment()), (2, increment())]);
    let document = stored(None, &first);
    assert_eq!(apply(Some(document.clone()), &first), Applied::Known);
    // Other boundaries: 2 again, and 3 for the first time.
    let document = stored(Some(document), &group(&[(2, increment()), (3, increment())]));
    assert_eq!(document.get("n"), Some(&Value::Int(3)));
}

#[test]
fn an_event_that_was_known_elsewhere_is_not_applied_again() {
    let increment = || write().increment("n", 1).creating();
    let document = stored(None, &group_from(0, &[(7, increment())]));
    // A snapshot reads the events 7 and 8 of partition 0 once more.
    let mut again = group_from(1, &[(1, increment()), (2, increment())]);
    let at = |offset| Position { partition: given::partition(0), offset: Offset::at(offset) };
    again.writes[0].known_at = [at(7)].into();
    again.writes[1].known_at = [at(8)].into();
    let document = stored(Some(document), &again);
    assert_eq!(document.get("n"), Some(&Value::Int(2)));
    assert_eq!(reached(&document, &again.partition), Some(Offset::at(2)));
    // What is only known moves the position all the same, so that the next attempt finds it.
    let document = stored(Some(document), &group_from(0, &[(8, increment())]));
    let mut third = group_from(2, &[(1, increment())]);
    third.writes[0].known_at = [at(8)].into();
    let document = stored(Some(document), &third);
    assert_eq!(document.get("n"), Some(&Value::Int(3)));
    assert_eq!(reached(&document, &third.partition), Some(Offset::at(1)));
}

#[test]
fn several_writes_of_one_event_are_all_applied() {
    let increment = || write().increment("n", 1).creating();
    let document = stored(None, &group(&[(1, increment()), (1, increment())]));
    assert_eq!(document.get("n"), Some(&Value::Int(2)));
}

#[test]
fn partitions_have_positions_of_their_own() {
    let increment = || write().increment("n", 1).creating();
    let document = stored(None, &group_from(1, &[(900, increment())]));
    let document = stored(Some(document), &group_from(2, &[(1, increment())]));
    assert_eq!(document.get("n"), Some(&Value::Int(2)));
    assert_eq!(apply(Some(document.clone()), &group_from(1, &[(900, increment())])), Applied::Known);
    assert_eq!(apply(Some(document), &group_from(2, &[(1, increment())])), Applied::Known);
}

#[test]
fn an_update_waits_for_its_insert() {
    let early = group_from(1, &[(1, write().increment("n", 5)), (2, write().set("name", "Ada"))]);
    let shell = stored(None, &early);
    assert_eq!(waiting(&shell), 2);
    assert_eq!(shell.get("n"), None);
    assert_eq!(apply(Some(shell.clone()), &early), Applied::Known, "it waits once");
    let document = stored(Some(shell), &group_from(2, &[(1, inserted())]));
    assert_eq!(json(&document), serde_json::json!({ "_id": "d", "n": 5, "name": "Ada" }));
    assert_eq!(waiting(&document), 0);
}

#[test]
fn what_waited_and_cannot_be_applied_is_refused_in_its_own_name() {
    let early = group_from(1, &[(1, write().increment("name", 1)), (2, write().increment("n", 1))]);
    let shell = stored(None, &early);
    let mut insert = group_from(2, &[(1, inserted().set("name", "Ada"))]);
    insert.writes[0].edits = vec![Edit::Insert(Document::new().with("name", "Ada").with("n", 0))];
    let Applied::Refused(refused) = apply(Some(shell.clone()), &insert) else { panic!("is refused") };
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].author, early.writes[0].author);
    insert.void.push(refused[0].author.clone());
    let document = stored(Some(shell), &insert);
    assert_eq!(json(&document), serde_json::json!({ "_id": "d", "name": "Ada", "n": 1 }));
}

#[test]
fn at_most_so_many_wait() {
    let mut shell = None;
    for at in 0..PENDING_MAX as u64 {
        shell = Some(stored(shell, &group(&[(at + 1, write().increment("n", 1))])));
    }
    let more = group(&[(9999, write().increment("n", 1))]);
    assert_eq!(refused(shell, &more), [Refusal::TooManyWaiting]);
}

#[test]
fn a_delete_leaves_a_tombstone_that_keeps_its_position() {
    let document = stored(None, &group(&[(1, inserted())]));
    let deleted = group(&[(2, write().delete())]);
    let tombstone = stored(Some(document), &deleted);
    assert_eq!(json(&tombstone), serde_json::json!({ "_id": "d", "_deleted": true }));
    assert_eq!(apply(Some(tombstone.clone()), &group(&[(1, inserted())])), Applied::Known);
    // A late edit finds nothing to edit; a new insert makes it anew.
    let after = stored(Some(tombstone), &group_from(1, &[(1, write().increment("n", 1))]));
    assert_eq!(json(&after), serde_json::json!({ "_id": "d", "_deleted": true }));
    let again = stored(Some(after), &group(&[(3, inserted())]));
    assert_eq!(json(&again), serde_json::json!({ "_id": "d", "n": 0 }));
}

#[test]
fn an_entry_is_added_once_and_counted() {
    let join = |user: &str| {
        write()
            .add_once("p.list", ENTRY_KEY, Document::new().with(ENTRY_KEY, user).with("name", "x"))
            .counting("p.count")
    };
    let leave = |user: &str| {
        write().remove("p.list", ENTRY_KEY, Document::new().with(ENTRY_KEY, user)).counting("p.count")
    };
    let group = group(&[
        (1, inserted()),
        (2, join("a")),
        (3, join("a")),
        (4, join("b")),
        (5, leave("a")),
        (6, leave("z")),
    ]);
    let expected = serde_json::json!({ "_id": "d", "n": 0, "p": { "count": 1, "list": [{ "user_id": "b", "name": "x" }] } });
    assert_eq!(json(&stored(None, &group)), expected);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let base = stored(None, &group(&[(1, inserted().set("text", "t").set("max", i64::MAX))]));
    for (write, expected) in [
        (inserted(), Refusal::Exists),
        (write().set("text.x", 1), Refusal::NotADocument("text.x".into())),
        (write().increment("text", 1), Refusal::NotANumber("text".into())),
        (write().increment("text.x", 1), Refusal::NotADocument("text.x".into())),
        (write().increment("max", 1), Refusal::Overflow("max".into())),
        (write().add_once("text", "k", Document::new().with("k", 1)), Refusal::NotAList("text".into())),
        (write().set("pos.x", 1), Refusal::Reserved("pos".into())),
        (write().set("_id", 1), Refusal::Reserved("_id".into())),
        (write().unset("_pending"), Refusal::Reserved("_pending".into())),
        (write().increment("n", 1).increment("text", 1), Refusal::NotANumber("text".into())),
    ] {
        let mut group = group(&[(2, write), (3, Write::on("c", "d").set("ok", true))]);
        assert_eq!(refused(Some(base.clone()), &group), std::slice::from_ref(&expected));
        // Left out, the rest goes on, and the position passes it.
        group.void.push(group.writes[0].author.clone());
        let document = stored(Some(base.clone()), &group);
        let expected = serde_json::json!({ "_id": "d", "n": 0, "text": "t", "max": i64::MAX, "ok": true });
        assert_eq!(json(&document), expected);
        assert_eq!(reached(&document, &group.partition), Some(Offset::at(3)));
    }
}

#[test]
fn reserved_fields_are_refused_even_where_they_would_wait() {
    let group = group(&[(1, write().set("_deleted", true))]);
    assert_eq!(refused(None, &group), [Refusal::Reserved("_deleted".into())]);
}

#[test]
fn a_group_that_is_all_in_the_dead_letters_makes_no_document() {
    let mut group = group(&[(1, write().set("pos", 1))]);
    group.void.push(group.writes[0].author.clone());
    assert_eq!(apply(None, &group), Applied::Known);
}
