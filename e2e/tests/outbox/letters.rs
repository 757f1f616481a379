//! Dead letters: kept, listed, tried again.

use serde_json::{Value, json};
use streamer_e2e::patience::until;

use super::bed::{Place, Told, id};

fn mapping(with_id: bool) -> String {
    let id = if with_id { "id = \"number\"\n" } else { "" };
    format!("[events.mappings.orders]\nevent_type = \"OrderPlaced\"\ncollection = \"orders\"\n{id}")
}

#[tokio::test]
async fn a_letter_is_listed_stays_while_it_is_refused_and_goes_once_it_is_mended() {
    let Some(place) = Place::open().await else { return };
    let file = place.folder.path().join("streamer.toml");
    std::fs::write(&file, mapping(true)).expect("written");
    let processor = place.streaming().await;
    place
        .commit(&[
            Told("OrderPlaced", 1, json!({ "total": 9 })),
            Told("OrderPlaced", 2, json!({ "total": 3, "number": "n2" })),
            Told("UserCreated", 3, json!("no object")),
        ])
        .await;
    // The other events are not held up.
    until("the other order", async || place.document("orders", "n2").await).await;
    until("the letters", async || (place.count("_streamer_dead_letters").await == 2).then_some(())).await;
    let metrics = processor.get("/metrics").await.text();
    assert!(metrics.contains("streamer_events_dead_letters_total 2"), "{metrics}");

    let listed = place.shell.run(["events", "replay", "--list", "--handler", "orders"]).await.succeeded();
    assert!(listed.lines().count() == 1 && listed.contains("number: is missing"), "{listed}");
    let letter_id = listed.split('\t').next().expect("an id").to_owned();
    let whole = place.shell.run(["events", "replay", "--list", "--json", &letter_id]).await.succeeded();
    let whole: Value = serde_json::from_str(whole.trim()).expect("is JSON");
    assert_eq!((&whole["handler"], &whole["aggregate_id"]), (&json!("orders"), &json!(id(1))));

    let refused = place.shell.run(["events", "replay", &letter_id]).await;
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stdout.contains("refused again: number: is missing"), "{refused}");
    std::fs::write(&file, mapping(false)).expect("written");
    let replayed = place.shell.run(["events", "replay", &letter_id]).await.succeeded();
    assert!(replayed.contains("1 applied, 0 stay"), "{replayed}");
    assert_eq!(place.document("orders", &id(1)).await.expect("is there")["total"], 9);

    let told = place.shell.run(["events", "replay", "--discard"]).await.failed(1);
    assert!(told.contains("say which"), "{told}");
    let _ =
        place.shell.run(["events", "replay", "--discard", "--event-type", "UserCreated"]).await.succeeded();
    assert_eq!(place.count("_streamer_dead_letters").await, 0);
    let _ = processor.stop().await;
}
