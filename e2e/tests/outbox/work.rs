//! Something of everything that events do to documents, a transaction at a time.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::json;

use super::bed::{Place, Told, id};

/// Handlers by configuration beside those that ship: documents that are made, changed before that, and removed.
pub(crate) const MAPPINGS: &str = r#"
[events.mappings.orders]
event_type = "OrderPlaced"
collection = "orders"
fields = { total = "total", "customer.name" = "by.name" }

[events.mappings.paid]
event_type = "OrderPaid"
collection = "orders"
action = "set"
fields = { paid = "amount" }

[events.mappings.gone]
event_type = "OrderRemoved"
collection = "orders"
action = "delete"
"#;

/// Numbers that one transaction uses.
const NUMBERS: u64 = 10;

/// What is committed to a place, and how much it was.
pub(crate) struct Work<'a> {
    place: &'a Place,
    next: AtomicU64,
}

impl<'a> Work<'a> {
    /// Events of documents, orders among them by [`MAPPINGS`].
    pub(crate) fn at(place: &'a Place) -> Self {
        std::fs::write(place.folder.path().join("streamer.toml"), MAPPINGS).expect("the folder is ours");
        Self { place, next: AtomicU64::new(1) }
    }

    /// Commits two transactions. First a change of a user who is not there yet, and another user. Then users, that one
    /// among them; an activity that one joins twice; orders, one of them removed; and a user whom the handlers reject.
    pub(crate) async fn transaction(&self) {
        let first = self.next.fetch_add(NUMBERS, Ordering::Relaxed);
        let user = |n: u64| json!({ "email": format!("u{n}@example.com"), "username": format!("u{n}") });
        let order = |total: u64| json!({ "total": total, "by": { "name": "Ada" } });
        let (joined, activity) = (json!({ "user_id": id(first + 1) }), first + 3);
        let early = json!({ "updates": { "profile.bio": "plays" } });
        let early = [Told("UserUpdated", first + 1, early), Told("UserCreated", first + 6, user(first + 6))];
        self.place.commit(&early).await;
        let events = [
            Told("UserCreated", first, user(first)),
            Told("UserCreated", first + 1, user(first + 1)),
            Told("UserCreated", first + 2, json!("nobody")),
            Told("ActivityCreated", activity, json!({ "title": "Chess", "creator_id": id(first) })),
            Told("ParticipantJoined", activity, joined.clone()),
            Told("ParticipantJoined", activity, joined),
            Told("OrderPaid", first + 4, json!({ "amount": 9 })),
            Told("OrderPlaced", first + 4, order(9)),
            Told("OrderPlaced", first + 5, order(3)),
            Told("OrderRemoved", first + 5, json!({})),
        ];
        self.place.commit(&events).await;
    }

    /// Commits one transaction after the other until `ending` has ended.
    pub(crate) async fn until<T>(&self, ending: impl Future<Output = T>) -> T {
        let has_ended = Cell::new(false);
        let working = async {
            while !has_ended.get() {
                self.transaction().await;
            }
        };
        let ending = async {
            let ended = ending.await;
            has_ended.set(true);
            ended
        };
        tokio::join!(ending, working).0
    }
}
