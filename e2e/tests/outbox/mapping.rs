//! Handlers of one's own: by configuration alone, and in a file of their own.

use serde_json::json;
use streamer_e2e::patience::until;

use super::{
    bed::{Place, Told, id},
    work::MAPPINGS,
};
use crate::ORDERS;

#[tokio::test]
async fn a_mapping_makes_changes_and_removes_documents() {
    let Some(place) = Place::open().await else { return };
    std::fs::write(place.folder.path().join("streamer.toml"), MAPPINGS).expect("written");
    let processor = place.streaming().await;
    place
        .commit(&[
            // Before it is made: it waits.
            Told("OrderPaid", 1, json!({ "amount": 9 })),
            Told("OrderPlaced", 1, json!({ "total": 9, "by": { "name": "Ada" }, "secret": true })),
            Told("OrderPlaced", 2, json!({ "total": 3 })),
            Told("OrderRemoved", 2, json!({})),
            Told("UserCreated", 3, json!({ "email": "a@example.com" })),
        ])
        .await;
    let paid = async || {
        let order = place.document("orders", &id(1)).await?;
        (order["paid"] == 9).then_some(order)
    };
    let order = until("the order", paid).await;
    assert_eq!((&order["total"], &order["customer"]), (&json!(9), &json!({ "name": "Ada" })));
    assert_eq!(order.get("secret"), None);
    let removed = async || (place.document("orders", &id(2)).await?["_deleted"] == true).then_some(());
    until("the removal", removed).await;
    place.await_users(1).await;
    let _ = processor.stop().await;
}

#[tokio::test]
async fn an_applications_own_handlers_stand_beside_those_that_ship() {
    let Some(mut place) = Place::open().await else { return };
    place.shell = place.shell.running(ORDERS);
    let processor = place.streaming().await;
    let order = |total: u64| json!({ "customer_id": "c1", "total": total });
    place
        .commit(&[
            Told("OrderPlaced", 1, order(9)),
            Told("OrderPlaced", 2, order(3)),
            Told("OrderPlaced", 3, json!({ "customer_id": "c1", "total": "much" })),
            Told("UserCreated", 4, json!({ "email": "a@example.com" })),
        ])
        .await;
    place.await_users(1).await;
    let counted = async || (place.document("customers", "c1").await?["orders"] == 2).then_some(());
    until("the customer", counted).await;
    assert_eq!(place.document("orders", &id(1)).await.expect("is there")["total"], 9);
    let listed = place.shell.run(["events", "replay", "--list"]).await.succeeded();
    assert!(listed.lines().count() == 1 && listed.contains("total: expected i64"), "{listed}");
    let _ = processor.stop().await;
}
