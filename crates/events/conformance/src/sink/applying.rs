//! Writes are applied once, as `apply` says.

use serde_json::json;
use streamer_events::{
    Batch, Document, Offset, Position, Value, Write,
    apply::{Refusal, reached},
    batch::Arrival,
    testing::given,
};

use super::{SharedSink, add, applied, batch, json, on, one, stored};

fn made(id: &str) -> Write {
    on(id).insert(Document::new().with("n", 0))
}

fn counted(id: &str) -> Write {
    on(id).increment("n", 1).creating()
}

async fn n(sink: &SharedSink, id: &str) -> Option<i64> {
    stored(sink, id).await.get("n")?.as_int()
}

/// Several events, several documents, in one batch and in the next.
pub async fn makes_and_changes_documents(sink: SharedSink) {
    let first =
        batch(0, vec![(1, vec![made("a"), counted("b")]), (2, vec![on("a").increment("n", 5), made("c")])]);
    applied(&sink, &first).await;
    applied(&sink, &one(0, 3, on("a").set("name", "Ada"))).await;
    assert_eq!(json(&sink, "a").await, json!({ "_id": "a", "n": 5, "name": "Ada" }));
    assert_eq!((n(&sink, "b").await, n(&sink, "c").await), (Some(1), Some(0)));
    assert_eq!(reached(&stored(&sink, "a").await, &given::partition(0)), Some(Offset::at(3)));
}

/// What was written is read as what it was.
pub async fn keeps_every_kind_of_value(sink: SharedSink) {
    let document = Document::new()
        .with("null", Value::Null)
        .with("truth", true)
        .with("small", 7)
        .with("large", i64::MAX)
        .with("float", 2.5)
        .with("whole_float", 3.0)
        .with("text", "é\n\"$x.y\"")
        .with("moment", given::moment(5))
        .with("list", vec![Value::Int(1), Value::Text("x".into()), Value::List(vec![])])
        .with("inside", Document::new().with("z", 1).with("a", Document::new()));
    applied(&sink, &one(0, 1, on("a").insert(document.clone()))).await;
    // Changed once, so that a sink that reads, changes and replaces does so with all of them.
    applied(&sink, &one(0, 2, on("a").set("small", 8))).await;
    let mut stored = stored(&sink, "a").await;
    stored.remove("pos");
    stored.remove("_id");
    let mut expected = document;
    expected.set("small", 8);
    assert!(stored == expected, "{stored:?} is not {expected:?}");
}

/// Set, unset, increment, add_once, remove, delete.
pub async fn does_every_edit(sink: SharedSink) {
    let joins = |user: &str| {
        let entry = Document::new().with("user_id", user);
        on("a").add_once("p.list", "user_id", entry).counting("p.count")
    };
    let leaves =
        on("a").remove("p.list", "user_id", Document::new().with("user_id", "u1")).counting("p.count");
    let writes = [
        made("a"),
        on("a").set("x.y", "z"),
        on("a").unset("n"),
        on("a").increment("f", 0.5),
        joins("u1"),
        joins("u2"),
        joins("u2"),
        leaves,
    ];
    // One batch each, so that each edit meets a document that is stored.
    for (at, write) in (1..).zip(writes) {
        applied(&sink, &one(0, at, write)).await;
    }
    let list = json!([{ "user_id": "u2" }]);
    let expected = json!({ "_id": "a", "x": { "y": "z" }, "f": 0.5, "p": { "count": 1, "list": list } });
    assert_eq!(json(&sink, "a").await, expected);
}

/// A reply was lost: the batch comes again.
pub async fn repeated_changes_nothing(sink: SharedSink) {
    let batch = batch(0, vec![(1, vec![made("a"), counted("b")]), (2, vec![counted("a"), counted("b")])]);
    for _ in 0..3 {
        applied(&sink, &batch).await;
    }
    assert_eq!((n(&sink, "a").await, n(&sink, "b").await), (Some(1), Some(2)));
}

/// A batch of which a part was done comes again in other batches.
pub async fn replayed_with_other_boundaries_applies_the_rest(sink: SharedSink) {
    let events = |range: std::ops::RangeInclusive<u64>| {
        batch(
            0,
            range
                .map(|at| (at, vec![counted("a"), counted(if at % 2 == 0 { "even" } else { "odd" })]))
                .collect(),
        )
    };
    applied(&sink, &events(1..=3)).await;
    applied(&sink, &events(2..=5)).await;
    applied(&sink, &events(1..=1)).await;
    applied(&sink, &events(5..=6)).await;
    applied(&sink, &events(1..=6)).await;
    assert_eq!(n(&sink, "a").await, Some(6));
    assert_eq!((n(&sink, "even").await, n(&sink, "odd").await), (Some(3), Some(3)));
}

/// A document is touched first by one partition, then by the other, whose offsets are lower.
pub async fn from_two_partitions_in_turn_applies_both(sink: SharedSink) {
    let high = batch(1, vec![(900, vec![counted("a")]), (901, vec![counted("a")])]);
    let low = batch(2, vec![(1, vec![counted("a")]), (2, vec![counted("a")])]);
    for batch in [&high, &low, &high, &low] {
        applied(&sink, batch).await;
    }
    assert_eq!(n(&sink, "a").await, Some(4));
}

/// A snapshot reads events again that the stream brought.
pub async fn known_elsewhere_is_not_applied_again(sink: SharedSink) {
    applied(&sink, &one(0, 7, counted("a"))).await;
    let at = |offset| Position { partition: given::partition(0), offset: Offset::at(offset) };
    let mut again = Batch::default();
    for (offset, stood) in [(1, 7), (2, 8)] {
        let event = given::event(5, offset, "Told", "{}");
        let arrival = Arrival { known_at: [at(stood)].into(), ..event.into() };
        again.add(arrival, vec![("h".into(), counted("a")), ("h".into(), counted("new"))]);
    }
    applied(&sink, &again).await;
    applied(&sink, &again).await;
    // 7 was there; 8 was recorded, but never applied.
    assert_eq!((n(&sink, "a").await, n(&sink, "new").await), (Some(2), Some(2)));
}

/// An update before its create.
pub async fn waits_for_the_insert(sink: SharedSink) {
    let early = batch(1, vec![(1, vec![on("a").increment("n", 5)]), (2, vec![on("a").set("name", "Ada")])]);
    applied(&sink, &early).await;
    applied(&sink, &early).await;
    assert_eq!(streamer_events::apply::waiting(&stored(&sink, "a").await), 2);
    applied(&sink, &one(2, 1, made("a"))).await;
    assert_eq!(json(&sink, "a").await, json!({ "_id": "a", "n": 5, "name": "Ada" }));
    applied(&sink, &early).await;
    assert_eq!(n(&sink, "a").await, Some(5));
}

/// A removed document does not come back with what is older.
pub async fn leaves_a_tombstone(sink: SharedSink) {
    let first = one(0, 1, made("a"));
    applied(&sink, &first).await;
    applied(&sink, &one(0, 2, on("a").delete())).await;
    applied(&sink, &first).await;
    applied(&sink, &one(1, 1, on("a").set("late", true))).await;
    assert_eq!(json(&sink, "a").await, json!({ "_id": "a", "_deleted": true }));
    applied(&sink, &one(0, 3, made("a"))).await;
    assert_eq!(json(&sink, "a").await, json!({ "_id": "a", "n": 0 }));
}

/// A refusal leaves its document alone, and not the others.
pub async fn refuses_a_group_as_a_whole(sink: SharedSink) {
    applied(&sink, &one(0, 1, made("a"))).await;
    let batch = batch(
        0,
        vec![
            (2, vec![on("a").increment("n", 1), counted("b")]),
            (3, vec![made("a")]),
            (4, vec![made("c")]),
            (5, vec![made("c")]),
        ],
    );
    let mut refused = sink.apply(&batch).await.expect("answers");
    refused.sort_by(|a, b| a.id.cmp(&b.id));
    let told: Vec<_> = refused.iter().map(|r| (&*r.id, r.author.event.as_str(), &r.refusal)).collect();
    assert_eq!(told, [("a", "e0-3", &Refusal::Exists), ("c", "e0-5", &Refusal::Exists)]);
    assert_eq!(n(&sink, "a").await, Some(0), "nothing of the group is done");
    assert_eq!(reached(&stored(&sink, "a").await, &given::partition(0)), Some(Offset::at(1)));
    assert!(sink.document("things", "c").await.is_none(), "nothing of the group is done");
    assert_eq!(n(&sink, "b").await, Some(1));
}

/// Once the refusals are left out, the rest of the group is applied and its position passes them.
pub async fn passes_what_is_left_out(sink: SharedSink) {
    applied(&sink, &one(0, 1, made("a"))).await;
    let batch =
        batch(0, vec![(2, vec![counted("a"), counted("b")]), (3, vec![made("a")]), (4, vec![counted("a")])]);
    let refused = sink.apply(&batch).await.expect("answers");
    let rest = batch.without(&refused).expect("was not left out before");
    applied(&sink, &rest).await;
    assert_eq!((n(&sink, "a").await, n(&sink, "b").await), (Some(2), Some(1)));
    assert_eq!(reached(&stored(&sink, "a").await, &given::partition(0)), Some(Offset::at(4)));
    applied(&sink, &batch).await;
    assert_eq!((n(&sink, "a").await, n(&sink, "b").await), (Some(2), Some(1)));
}

/// The insert is not to blame for what waited.
pub async fn refuses_what_waited_in_its_own_name(sink: SharedSink) {
    applied(&sink, &one(1, 1, on("a").increment("name", 1))).await;
    let insert = one(2, 1, on("a").insert(Document::new().with("name", "Ada")));
    let refused = sink.apply(&insert).await.expect("answers");
    assert_eq!(refused.iter().map(|r| r.author.event.as_str()).collect::<Vec<_>>(), ["e1-1"]);
    applied(&sink, &insert.without(&refused).expect("was not left out before")).await;
    assert_eq!(json(&sink, "a").await, json!({ "_id": "a", "name": "Ada" }));
}

/// More documents than one command takes.
pub async fn takes_many_documents_at_once(sink: SharedSink) {
    const MANY: u64 = 2500;
    let events = |range: std::ops::RangeInclusive<u64>| {
        batch(0, range.map(|at| (at, vec![counted(&format!("d{at}")), counted("all")])).collect())
    };
    applied(&sink, &events(1..=MANY)).await;
    applied(&sink, &events(2..=MANY + 1)).await;
    assert_eq!(n(&sink, "all").await, Some(MANY as i64 + 1));
    for at in [1, 2, MANY / 2, MANY, MANY + 1] {
        assert_eq!(n(&sink, &format!("d{at}")).await, Some(1), "{at}");
    }
}

/// MongoDB's messages have 48 MB, its documents 16 MiB.
pub async fn takes_more_bytes_than_one_message_holds(sink: SharedSink) {
    let large = "x".repeat(1024 * 1024);
    let made = |at: u64| on(&format!("d{at}")).insert(Document::new().with("large", large.as_str()));
    applied(&sink, &batch(0, (1..=50).map(|at| (at, vec![made(at)])).collect())).await;
    for at in [1, 25, 50] {
        let document = stored(&sink, &format!("d{at}")).await;
        assert_eq!(document.get("large").and_then(Value::as_text).map(str::len), Some(large.len()));
    }
}

/// A document beyond 16 MiB is refused for the write that would make it so; a sink that takes it has no such bound.
pub async fn refuses_a_document_that_is_too_large(sink: SharedSink) {
    let large = "x".repeat(9 * 1024 * 1024);
    let batch = batch(
        0,
        vec![
            (1, vec![made("a")]),
            (2, vec![on("a").set("one", large.as_str())]),
            (3, vec![on("a").set("two", large.as_str()), counted("b")]),
            (4, vec![on("a").set("three", "small")]),
        ],
    );
    let refused = sink.apply(&batch).await.expect("answers");
    if !refused.is_empty() {
        let told: Vec<_> = refused.iter().map(|r| (&*r.id, r.author.event.as_str(), &r.refusal)).collect();
        assert_eq!(told, [("a", "e0-3", &Refusal::TooLarge)]);
        applied(&sink, &batch.without(&refused).expect("was not left out before")).await;
        assert!(stored(&sink, "a").await.get("two").is_none());
    }
    let document = stored(&sink, "a").await;
    assert!(document.contains("one") && document.contains("three"));
    assert_eq!(n(&sink, "b").await, Some(1));
}

/// Two processes, two partitions, one document.
pub async fn from_two_partitions_at_once_loses_nothing(sink: SharedSink) {
    const EACH: u64 = 40;
    let run = |partition: u32| {
        let sink = sink.clone();
        async move {
            for at in 1..=EACH {
                let mut batch = Batch::default();
                let event = given::event(partition, at, "Told", "{}");
                add(&mut batch, event, vec![counted("all"), made(&format!("{partition}-{at}"))]);
                applied(&sink, &batch).await;
            }
        }
    };
    tokio::join!(run(0), run(1), run(2));
    assert_eq!(n(&sink, "all").await, Some(3 * EACH as i64));
}
