//! What stands in the database.

use mongodb::bson::{Bson, doc, oid::ObjectId};
use streamer_events::{Document, Write, sink::Sink as _, testing::given};

use crate::bed::{batch, open};

#[tokio::test]
async fn fields_are_of_mongodbs_own_types_and_the_position_beside_them() {
    let Some(sink) = open().await else { return };
    let document = Document::new().with("at", given::moment(5)).with("n", 7).with("large", i64::MAX);
    sink.apply(&batch(vec![(1, vec![Write::on("c", "a").insert(document)])])).await.expect("answers");
    let stored = sink.bson("c", "a").await.expect("is there");
    assert!(matches!(stored.get("at"), Some(Bson::DateTime(_))));
    assert_eq!((stored.get("n"), stored.get("large")), (Some(&Bson::Int32(7)), Some(&Bson::Int64(i64::MAX))));
    let partition = given::partition(0).to_string();
    let position = stored.get_document("pos").expect("is there").get_str(&partition).expect("is there");
    assert_eq!(position, "0000000000000001-00000000");
}

#[tokio::test]
async fn what_others_wrote_into_a_document_stays_as_it_is() {
    let Some(sink) = open().await else { return };
    let (owner, collection) = (ObjectId::new(), sink.0.database().collection("c"));
    collection
        .insert_one(doc! { "_id": "a", "owner": owner, "inside": { "owner": owner }, "n": 1 })
        .await
        .expect("inserts");
    sink.apply(&batch(vec![(1, vec![Write::on("c", "a").increment("n", 1)])])).await.expect("answers");
    let stored = sink.bson("c", "a").await.expect("is there");
    assert_eq!((stored.get_object_id("owner").ok(), stored.get_i32("n").ok()), (Some(owner), Some(2)));
    assert_eq!(stored.get_document("inside").expect("is there").get_object_id("owner").ok(), Some(owner));
}

#[tokio::test]
async fn the_indexes_are_there_and_made_once() {
    let Some(sink) = open().await else { return };
    let names =
        sink.0.database().collection::<mongodb::bson::Document>("activities").list_index_names().await;
    let names = names.expect("answers");
    assert!(names.contains(&"creator_id_1".to_owned()), "{names:?}");
    sink.0.ping().await.expect("answers");
}
