//! What is to be told outside, and that it is.

use std::collections::BTreeSet;

use streamer_engine::store::{
    Announcement, ErrorKind, NewRequest, OutboxDepth, PageQuery, SharedStore, ToAnnounce,
};

use crate::given::*;

/// A request whose end is to be told.
fn announced(id: &str) -> NewRequest {
    NewRequest { announced: true, ..new(key(id)) }
}

/// Such a request, ended at 10.
async fn ended(store: &SharedStore, id: &str) {
    enqueue(store, &announced(id)).await;
    let lease = claim_one(store, 0).await.lease;
    store.finish(&lease, &completed(), at(10), at(900)).await.expect("ends");
}

/// Takes what is due at `now`, until 100 later.
async fn take_all(store: &SharedStore, now: i64) -> ToAnnounce {
    store.take(at(now), at(now + 100), 1000, &BTreeSet::new()).await.expect("takes")
}

async fn take(store: &SharedStore, now: i64) -> Vec<Announcement> {
    take_all(store, now).await.announcements
}

async fn take_one(store: &SharedStore, now: i64) -> Announcement {
    let mut taken = take(store, now).await;
    assert_eq!(taken.len(), 1, "one is due: {taken:?}");
    taken.pop().expect("there is one")
}

async fn depth(store: &SharedStore) -> (u64, u64) {
    let OutboxDepth { waiting, given_up } = store.outbox_depth().await.expect("counts");
    (waiting, given_up)
}

fn first_page() -> PageQuery {
    PageQuery { limit: 100, cursor: None }
}

/// With the step that ends a request, and not before.
pub async fn holds_what_ended(store: SharedStore) {
    enqueue(&store, &announced("a")).await;
    let lease = claim_one(&store, 0).await.lease;
    store.append(&lease, &[chunk(1, 0)], None, &PLENTY).await.expect("appends");
    assert_eq!((take(&store, 5).await, depth(&store).await), (Vec::new(), (0, 0)));
    store.finish(&lease, &failed(), at(10), at(900)).await.expect("ends");
    assert_eq!(depth(&store).await, (1, 0));
    assert_eq!(take(&store, 9).await, []);
    let told = take_one(&store, 10).await;
    assert_eq!((&told.key, &told.action), (&key("a"), &action("report.build")));
    assert_eq!((told.outcome, told.seq, told.attempt, told.failures), (failed(), 2, 1, 0));
    assert_eq!((told.created_at, told.ended_at), (at(0), at(10)));
}

/// Ended before it ran, too.
pub async fn holds_what_was_cancelled(store: SharedStore) {
    enqueue(&store, &announced("a")).await;
    store.cancel(&key("a"), &cancelled(), at(3), at(900)).await.expect("cancels");
    let told = take_one(&store, 3).await;
    assert_eq!((told.outcome, told.attempt), (cancelled(), 0));
}

/// Nor is anything held twice because the end was written twice.
pub async fn holds_only_what_is_announced(store: SharedStore) {
    let lease = running(&store, "silent").await.lease;
    store.finish(&lease, &completed(), at(10), at(900)).await.expect("ends");
    enqueue(&store, &announced("loud")).await;
    let lease = claim_one(&store, 0).await.lease;
    store.finish(&lease, &completed(), at(10), at(900)).await.expect("ends");
    let told = take_one(&store, 10).await;
    store.announced(&told.key, told.fence).await.expect("told");
    store.finish(&lease, &completed(), at(20), at(900)).await.expect("is the same");
    assert_eq!((take(&store, 500).await, depth(&store).await), (Vec::new(), (0, 0)));
}

/// Whoever dies telling it has it told by another.
pub async fn is_taken_again_once_the_lease_ran_out(store: SharedStore) {
    ended(&store, "a").await;
    let first = take_one(&store, 10).await;
    let ToAnnounce { announcements, next_due } = take_all(&store, 109).await;
    assert_eq!((announcements, next_due), (Vec::new(), Some(at(110))));
    let second = take_one(&store, 110).await;
    assert!(second.fence > first.fence);
    assert_eq!(Announcement { fence: 0, ..second }, Announcement { fence: 0, ..first });
}

/// Also when it is said twice.
pub async fn is_forgotten_once_told(store: SharedStore) {
    ended(&store, "a").await;
    ended(&store, "b").await;
    let a = take(&store, 10).await.into_iter().find(|told| told.key == key("a")).expect("is there");
    for _ in 0..2 {
        store.announced(&a.key, a.fence).await.expect("told");
    }
    assert_eq!(depth(&store).await, (1, 0));
    assert_eq!(take_one(&store, 110).await.key, key("b"));
}

/// A failure counts, and a wait does not.
pub async fn is_put_off(store: SharedStore) {
    ended(&store, "a").await;
    let told = take_one(&store, 10).await;
    for _ in 0..2 {
        store.put_off(&told.key, told.fence, at(300), Some("it was busy")).await.expect("waits");
    }
    assert_eq!(take(&store, 299).await, []);
    let told = take_one(&store, 300).await;
    assert_eq!(told.failures, 1, "said twice, failed once");
    store.put_off(&told.key, told.fence, at(310), None).await.expect("waits");
    assert_eq!(take_one(&store, 310).await.failures, 1);
}

/// Whoever was too slow has no say.
pub async fn obeys_the_newest_fence(store: SharedStore) {
    ended(&store, "a").await;
    let old = take_one(&store, 10).await;
    let newest = take_one(&store, 110).await;
    store.announced(&old.key, old.fence).await.expect("changes nothing");
    store.put_off(&old.key, old.fence, at(5000), Some("old")).await.expect("changes nothing");
    store.give_up(&old.key, old.fence, at(120), "old").await.expect("changes nothing");
    assert_eq!(depth(&store).await, (1, 0));
    let again = take_one(&store, 210).await;
    assert_eq!(again.failures, newest.failures);
}

/// And begins anew when an operator says so.
pub async fn keeps_what_was_given_up(store: SharedStore) {
    ended(&store, "a").await;
    let told = take_one(&store, 10).await;
    store.put_off(&told.key, told.fence, at(20), Some("not yet")).await.expect("waits");
    let told = take_one(&store, 20).await;
    for _ in 0..2 {
        store.give_up(&told.key, told.fence, at(30), "nobody is there").await.expect("gives up");
    }
    assert_eq!((take(&store, 90_000).await, depth(&store).await), (Vec::new(), (0, 1)));
    let page = store.given_up(&first_page()).await.expect("lists");
    let [given_up] = page.items.as_slice() else { panic!("one: {page:?}") };
    assert_eq!((&given_up.key, given_up.failures, given_up.why.as_str()), (&key("a"), 2, "nobody is there"));
    assert_eq!((given_up.ended_at, given_up.given_up_at), (at(10), at(30)));

    store.revive(&key("a"), at(40)).await.expect("revives");
    assert_eq!(depth(&store).await, (1, 0));
    assert_eq!(take_one(&store, 40).await.failures, 0);
    assert_eq!(refusal(store.revive(&key("a"), at(50)).await), ErrorKind::NotFound, "it waits");
    assert_eq!(refusal(store.revive(&key("b"), at(50)).await), ErrorKind::NotFound);
}

/// The last that came first.
pub async fn lists_what_was_given_up_in_pages(store: SharedStore) {
    for n in 0..5 {
        ended(&store, &format!("r{n}")).await;
    }
    for told in take(&store, 10).await {
        store.give_up(&told.key, told.fence, at(30), "gone").await.expect("gives up");
    }
    let (mut seen, mut page) = (Vec::new(), PageQuery { limit: 2, cursor: None });
    loop {
        let got = store.given_up(&page).await.expect("lists");
        assert!(got.items.len() <= 2);
        seen.extend(got.items.into_iter().map(|item| item.key.id.to_string()));
        match got.cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(seen, ["r4", "r3", "r2", "r1", "r0"]);
    for wrong in ["outbox:x", "requests:1"] {
        let page = PageQuery { limit: 2, cursor: Some(wrong.to_owned()) };
        assert_eq!(refusal(store.given_up(&page).await), ErrorKind::Invalid, "{wrong}");
    }
    assert_eq!(refusal(store.given_up(&PageQuery::default()).await), ErrorKind::Invalid);
}

/// So that a receiver that is slow holds up nobody else's.
pub async fn passes_over_actions(store: SharedStore) {
    ended(&store, "slow").await;
    let mut other = announced("other");
    other.action = action("other");
    enqueue(&store, &other).await;
    let lease = claim_one(&store, 0).await.lease;
    store.finish(&lease, &completed(), at(11), at(900)).await.expect("ends");
    let except = BTreeSet::from([action("report.build")]);
    let taken = store.take(at(20), at(120), 1, &except).await.expect("takes").announcements;
    assert_eq!(taken.iter().map(|told| &told.key).collect::<Vec<_>>(), [&key("other")]);
    assert_eq!(take_one(&store, 20).await.key, key("slow"));
}

/// The longest due first.
pub async fn takes_at_most_the_limit(store: SharedStore) {
    for id in ["b", "a", "c"] {
        ended(&store, id).await;
    }
    let late = take(&store, 10).await.into_iter().find(|told| told.key == key("b")).expect("is there");
    store.put_off(&late.key, late.fence, at(120), None).await.expect("waits");
    let taken = store.take(at(200), at(300), 2, &BTreeSet::new()).await.expect("takes").announcements;
    assert_eq!(taken.iter().map(|told| &told.key).collect::<Vec<_>>(), [&key("a"), &key("c")]);
    assert_eq!(take_one(&store, 200).await.key, key("b"));
}

/// Its end is no end any more; the next one is told.
pub async fn forgets_what_is_replayed(store: SharedStore) {
    enqueue(&store, &announced("a")).await;
    let lease = claim_one(&store, 0).await.lease;
    store.finish(&lease, &failed(), at(10), at(900)).await.expect("ends");
    let old = take_one(&store, 10).await;
    store.replay(&key("a"), at(20)).await.expect("replays");
    assert_eq!((take(&store, 500).await, depth(&store).await), (Vec::new(), (0, 0)));
    let lease = claim_one(&store, 500).await.lease;
    store.finish(&lease, &completed(), at(510), at(900)).await.expect("ends");
    store.announced(&old.key, old.fence).await.expect("an old one's");
    let told = take_one(&store, 510).await;
    assert_eq!(told.outcome, completed());
    assert!(told.seq > old.seq);
}

/// With its request.
pub async fn is_purged(store: SharedStore) {
    ended(&store, "a").await;
    ended(&store, "b").await;
    let told = take(&store, 10).await;
    store.give_up(&told[0].key, told[0].fence, at(30), "gone").await.expect("gives up");
    assert_eq!(store.purge_requests(at(900), 100).await.expect("purges"), 2);
    assert_eq!((take(&store, 5000).await, depth(&store).await), (Vec::new(), (0, 0)));
}
