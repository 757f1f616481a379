//! What the database does not take is a dead letter, and no more than that.

use streamer_events::{Document, Write, apply::Refusal, sink::Sink as _};
use streamer_sink_mongodb::Index;

use crate::bed::{batch, open_with};

fn person(id: &str, email: &str) -> Write {
    Write::on("people", id).insert(Document::new().with("email", email))
}

#[tokio::test]
async fn a_second_value_of_a_unique_index_is_refused_for_the_event_that_brings_it() {
    let unique = |settings: &mut streamer_sink_mongodb::Settings| {
        settings.indexes = vec![Index::of("people", &["email"]).unique()];
    };
    let Some(sink) = open_with(unique).await else { return };
    sink.apply(&batch(vec![(1, vec![person("a", "a@x")])])).await.expect("answers");
    let batch = batch(vec![
        (2, vec![person("b", "b@x")]),
        (3, vec![Write::on("people", "b").set("email", "a@x")]),
        (4, vec![Write::on("people", "b").set("name", "Bob"), person("c", "a@x"), person("d", "d@x")]),
    ]);
    let mut refused = sink.apply(&batch).await.expect("answers");
    refused.sort_by(|a, b| a.id.cmp(&b.id));
    let told: Vec<_> = refused.iter().map(|r| (&*r.id, r.author.event.as_str(), &r.refusal)).collect();
    let duplicate = Refusal::Duplicate("email_1".into());
    assert_eq!(told, [("b", "e0-3", &duplicate), ("c", "e0-4", &duplicate)]);
    assert_eq!(sink.bson("people", "d").await.expect("is there").get_str("email").ok(), Some("d@x"));
    // Left out, the rest of the group goes on.
    let rest = batch.without(&refused).expect("was not left out before");
    assert_eq!(sink.apply(&rest).await.expect("answers"), []);
    let stored = sink.bson("people", "b").await.expect("is there");
    assert_eq!((stored.get_str("email").ok(), stored.get_str("name").ok()), (Some("b@x"), Some("Bob")));
    assert!(sink.bson("people", "c").await.is_none());
}
