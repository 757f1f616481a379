//! The durable histories of topics.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use streamer_engine::{
    random::Random,
    store::{
        Append, AppendId, Appended, ErrorKind, Keep, Message, MessageKey, NewMessage, Placed, SharedStore,
        SourcePosition, TopicHead, TopicKey, TopicQuota, TopicUsage,
    },
    testing::{MemoryStore, SeededRandom},
};
use streamer_protocol::{Epoch, IdempotencyKey, TenantId, Topic, UserId};

use crate::given::{at, json, refusal};

const PLENTY: TopicQuota =
    TopicQuota { tenant_topics_max: 1_000_000, tenant_bytes_max: 1_000_000_000, bytes_max: 1_000_000_000 };
const KEEP: Keep = Keep {
    messages_max: 1000,
    bytes_max: 1_000_000,
    age_max: Duration::from_millis(100),
    forget_after: Duration::from_millis(1000),
};
const ALL: u64 = i64::MAX as u64;

fn key(tenant: &str, topic: &str) -> TopicKey {
    TopicKey::new(TenantId::new(tenant), Topic::parse(topic).expect("a topic"))
}

fn orders() -> TopicKey {
    key("acme", "orders")
}

fn message(data: &str, millis: i64) -> NewMessage {
    NewMessage { data: json(data), at: at(millis), source: None, known_at: Vec::new(), key: None }
}

fn keyed(user: &str, key: &str, data: &str) -> NewMessage {
    let key = MessageKey { user: UserId::new(user), key: IdempotencyKey::parse(key).expect("a key") };
    NewMessage { key: Some(key), ..message(data, 0) }
}

fn from(partition: &str, place: (u64, u64)) -> NewMessage {
    let source = Some(SourcePosition { partition: partition.into(), place });
    NewMessage { source, ..message("1", 0) }
}

/// An append by this number, to a topic that begins with the epoch `e`.
fn append(id: u8, messages: Vec<NewMessage>) -> Append {
    Append { id: AppendId([id; 16]), messages, life: (Epoch::new("e"), 0), keep: KEEP, quota: PLENTY }
}

/// So many messages whose data is their number, at their number.
fn numbered(numbers: std::ops::RangeInclusive<i64>) -> Vec<NewMessage> {
    numbers.map(|n| message(&n.to_string(), n)).collect()
}

async fn appended(store: &SharedStore, key: &TopicKey, append: &Append) -> Appended {
    store.append_messages(key, append).await.expect("appends")
}

/// Where the messages of an append are that were stored by it.
fn new_offsets(appended: &Appended) -> Vec<Option<u64>> {
    appended.placed.iter().map(|placed| placed.new_offset()).collect()
}

async fn head(store: &SharedStore, key: &TopicKey) -> Option<TopicHead> {
    store.topic(key).await.expect("reads")
}

async fn all(store: &SharedStore, key: &TopicKey) -> Vec<Message> {
    store.messages(key, 0, ALL, 10_000).await.expect("reads")
}

async fn offsets(store: &SharedStore, key: &TopicKey) -> Vec<u64> {
    all(store, key).await.iter().map(|message| message.offset).collect()
}

/// The first message is 1, the next is 2; the life is the one that the first append gave.
pub async fn count_their_messages_from_one(store: SharedStore) {
    assert_eq!(head(&store, &orders()).await, None);
    let first = appended(&store, &orders(), &append(1, numbered(1..=2))).await;
    assert_eq!(
        first,
        Appended { epoch: Epoch::new("e"), placed: vec![Placed::New(1), Placed::New(2)], kept_from: 1 }
    );
    let other_life = Append { life: (Epoch::new("f"), 70), ..append(2, numbered(3..=3)) };
    let second = appended(&store, &orders(), &other_life).await;
    assert_eq!(second, Appended { epoch: Epoch::new("e"), placed: vec![Placed::New(3)], kept_from: 1 });
    let expected = TopicHead { epoch: Epoch::new("e"), offset: 3, kept_from: 1 };
    assert_eq!(head(&store, &orders()).await, Some(expected));
    let expected = (1..=3).map(|n| Message { offset: n as u64, at: at(n), data: json(&n.to_string()) });
    assert_eq!(all(&store, &orders()).await, expected.collect::<Vec<_>>());
}

/// A life may go on above an offset, when the store has forgotten it but somebody has not.
pub async fn may_go_on_above_an_offset(store: SharedStore) {
    let going_on = Append { life: (Epoch::new("e"), 41), ..append(1, numbered(1..=1)) };
    let answer = appended(&store, &orders(), &going_on).await;
    assert_eq!((new_offsets(&answer), answer.kept_from), (vec![Some(42)], 42));
    assert_eq!(offsets(&store, &orders()).await, [42]);
}

/// Any data comes back as it was.
pub async fn keep_data_as_it_was(store: SharedStore) {
    let data = ["null", r#"{"é":[1,2.50,"\u0000\n😀"]}"#, "[ 1 , 2 ]", "1e3", "\"\""];
    let messages = data.iter().map(|data| message(data, 0)).collect();
    appended(&store, &orders(), &append(1, messages)).await;
    let kept = all(&store, &orders()).await;
    assert_eq!(kept.iter().map(|message| message.data.as_str()).collect::<Vec<_>>(), data);
}

/// Pages go on where the one before ended, and stop where they are told to.
pub async fn are_read_in_pages(store: SharedStore) {
    appended(&store, &orders(), &append(1, numbered(1..=5))).await;
    let page = async |after, upto, limit| {
        let page = store.messages(&orders(), after, upto, limit).await.expect("reads");
        page.iter().map(|message| message.offset).collect::<Vec<_>>()
    };
    assert_eq!(page(0, ALL, 2).await, [1, 2]);
    assert_eq!(page(2, ALL, 2).await, [3, 4]);
    assert_eq!(page(4, ALL, 2).await, [5]);
    assert_eq!(page(1, 3, 9).await, [2, 3]);
    assert_eq!(page(5, ALL, 9).await, [0; 0]);
    assert_eq!(page(9, ALL, 9).await, [0; 0]);
    let nowhere = store.messages(&key("acme", "nowhere"), 0, ALL, 9).await.expect("reads");
    assert!(nowhere.is_empty());
}

/// Tenants, topics, and whatever looks alike when it is joined.
pub async fn are_told_apart_by_tenant_and_name(store: SharedStore) {
    let keys = [
        key("acme", "orders"),
        key("acme", "Orders"),
        key("acme", "orders.eu"),
        key("acme", "request:orders"),
        key("globex", "orders"),
        key("acme:orders", "eu"),
        key("acme", "orders:eu"),
        key("a\0b", "c"),
        key("a", "b"),
    ];
    for (n, key) in keys.iter().enumerate() {
        let data = vec![message(&n.to_string(), 0)];
        let answer = appended(&store, key, &append(u8::try_from(n).expect("few"), data)).await;
        assert_eq!(answer.placed, [Placed::New(1)], "{key}");
    }
    for (n, key) in keys.iter().enumerate() {
        let kept = all(&store, key).await;
        assert_eq!(kept.len(), 1, "{key}");
        assert_eq!(kept[0].data, json(&n.to_string()), "{key}");
    }
}

/// The same append again is answered as before, even if not all of it was kept, or taken.
pub async fn answer_a_repeated_append_as_before(store: SharedStore) {
    let keep = Keep { messages_max: 2, ..KEEP };
    let messages =
        vec![from("p", (5, 0)), from("p", (5, 0)), from("p", (7, 1)), from("p", (6, 0)), from("q", (1, 0))];
    let first = Append { keep, ..append(1, messages) };
    let answer = appended(&store, &orders(), &first).await;
    let expected = [Placed::New(1), Placed::Dropped, Placed::New(2), Placed::Dropped, Placed::New(3)];
    assert_eq!((&answer.placed[..], answer.kept_from), (&expected[..], 2));
    let before =
        (head(&store, &orders()).await, all(&store, &orders()).await, store.topic_usage().await.ok());
    for _ in 0..2 {
        assert_eq!(appended(&store, &orders(), &first).await, answer);
    }
    let after = (head(&store, &orders()).await, all(&store, &orders()).await, store.topic_usage().await.ok());
    assert_eq!(after, before);
    // Only the newest: an older one is taken for new.
    appended(&store, &orders(), &append(2, numbered(1..=1))).await;
    assert_eq!(appended(&store, &orders(), &append(9, numbered(1..=1))).await.placed, [Placed::New(5)]);
    assert_eq!(appended(&store, &orders(), &append(2, numbered(1..=1))).await.placed, [Placed::New(6)]);
}

/// What a source repeats is dropped, by its place in each partition, in each topic.
pub async fn drop_what_a_source_repeats(store: SharedStore) {
    let offsets_of =
        async |id, key: &TopicKey, messages| new_offsets(&appended(&store, key, &append(id, messages)).await);
    let first = vec![from("p", (10, 0)), from("p", (10, 1)), from("p", (11, 0))];
    assert_eq!(offsets_of(1, &orders(), first.clone()).await, [Some(1), Some(2), Some(3)]);
    // Repeated with other boundaries.
    let again = vec![from("p", (10, 1)), from("p", (11, 0)), from("p", (11, 1))];
    assert_eq!(offsets_of(2, &orders(), again).await, [None, None, Some(4)]);
    assert_eq!(offsets_of(3, &orders(), vec![from("q", (10, 0))]).await, [Some(5)], "another partition");
    let elsewhere = key("acme", "elsewhere");
    assert_eq!(offsets_of(4, &elsewhere, vec![from("p", (10, 0))]).await, [Some(1)], "another topic");
    assert_eq!(offsets_of(5, &orders(), vec![message("1", 0)]).await, [Some(6)], "nobody's");
    assert_eq!(offsets_of(6, &orders(), first).await, [None; 3], "all of it");
    assert_eq!(offsets_of(7, &orders(), vec![from("p", (12, 0))]).await, [Some(7)]);
}

/// A message with the key of one that is kept is that one again, or contradicts it. Keys of other users, topics and
/// tenants have nothing to do with it.
pub async fn know_a_message_by_its_key(store: SharedStore) {
    let placed =
        async |id, key: &TopicKey, messages| appended(&store, key, &append(id, messages)).await.placed;
    let orders = orders();
    let first = vec![
        keyed("ada", "a", r#"{"x":1,"y":2}"#),
        message("0", 0),
        keyed("ada", "b", "2"),
        // Among themselves, too.
        keyed("ada", "b", "2"),
        keyed("ada", "b", "3"),
    ];
    let expected = [Placed::New(1), Placed::New(2), Placed::New(3), Placed::Known(3), Placed::Conflict];
    assert_eq!(placed(1, &orders, first).await, expected);
    let usage = store.topic_usage().await.expect("counts");
    let again = vec![
        keyed("ada", "b", "2"),
        keyed("ada", "a", r#"{ "y": 2, "x": 1.0 }"#),
        keyed("ada", "a", r#"{"x":1,"y":3}"#),
    ];
    let expected = [Placed::Known(3), Placed::Known(1), Placed::Conflict];
    assert_eq!(placed(2, &orders, again.clone()).await, expected);
    assert_eq!(offsets(&store, &orders).await, [1, 2, 3]);
    assert_eq!(store.topic_usage().await.expect("counts"), usage);
    let others =
        vec![keyed("bob", "a", "1"), keyed("ada", "A", "1"), message("1", 0), keyed("ada", "a", "9")];
    let expected = [Placed::New(4), Placed::New(5), Placed::New(6), Placed::Conflict];
    assert_eq!(placed(3, &orders, others).await, expected);
    for elsewhere in [key("acme", "elsewhere"), key("globex", "orders")] {
        let expected = [Placed::New(1), Placed::New(2), Placed::Conflict];
        assert_eq!(placed(4, &elsewhere, again.clone()).await, expected, "{elsewhere}");
    }
    let awkward = vec![keyed("a\0b", "c", "1"), keyed("a", "é'\"😀", "1"), keyed("", "a", "1")];
    assert_eq!(placed(5, &orders, awkward.clone()).await, [7, 8, 9].map(Placed::New));
    assert_eq!(placed(6, &orders, awkward).await, [7, 8, 9].map(Placed::Known));
}

/// What was cut, or has expired, is not known any more; the keys of the rest are.
pub async fn forget_a_key_with_its_message(store: SharedStore) {
    let keep = Keep { messages_max: 3, ..KEEP };
    let placed = async |id, messages| {
        appended(&store, &orders(), &Append { keep, ..append(id, messages) }).await.placed
    };
    let named = |at_millis: i64, key: &str| NewMessage { at: at(at_millis), ..keyed("ada", key, "1") };
    assert_eq!(
        placed(1, ["a", "b", "c", "d"].map(|key| named(0, key)).into()).await,
        [1, 2, 3, 4].map(Placed::New)
    );
    let expected = [Placed::Known(2), Placed::New(5), Placed::Known(4)];
    assert_eq!(placed(2, ["b", "a", "d"].map(|key| named(50, key)).into()).await, expected);
    assert_eq!(offsets(&store, &orders()).await, [3, 4, 5]);
    store.purge_topics(at(100), 100).await.expect("purges");
    let expected = [Placed::Known(5), Placed::New(6), Placed::New(7)];
    assert_eq!(placed(3, ["a", "c", "d"].map(|key| named(100, key)).into()).await, expected);
    store.purge_topics(at(5000), 100).await.expect("purges");
    assert_eq!(placed(4, vec![named(5000, "a")]).await, [Placed::New(1)], "of another life");
}

/// An append that is repeated is answered as before, even if it has itself cut what it was told to be known.
pub async fn answer_repeated_keys_as_before(store: SharedStore) {
    appended(&store, &orders(), &append(1, vec![keyed("ada", "a", "1")])).await;
    let messages = vec![
        keyed("ada", "a", "1"),
        keyed("ada", "a", "2"),
        from("p", (5, 0)),
        from("p", (5, 0)),
        keyed("ada", "b", "1"),
        message("1", 0),
    ];
    let second = Append { keep: Keep { messages_max: 1, ..KEEP }, ..append(2, messages) };
    let answer = appended(&store, &orders(), &second).await;
    let expected =
        [Placed::Known(1), Placed::Conflict, Placed::New(2), Placed::Dropped, Placed::New(3), Placed::New(4)];
    assert_eq!((&answer.placed[..], answer.kept_from), (&expected[..], 4));
    for _ in 0..2 {
        assert_eq!(appended(&store, &orders(), &second).await, answer);
    }
    assert_eq!(offsets(&store, &orders()).await, [4]);
}

/// What is kept is known when nothing more may be: whoever repeats the last message that fitted learns that it did.
pub async fn answer_what_is_known_when_there_is_no_room(store: SharedStore) {
    let quota = TopicQuota { bytes_max: 5, ..PLENTY };
    let append = |id, messages| Append { quota, ..append(id, messages) };
    let last = keyed("ada", "a", "12345");
    assert_eq!(appended(&store, &orders(), &append(1, vec![last.clone()])).await.placed, [Placed::New(1)]);
    let both = vec![message("1", 0), last, keyed("ada", "a", "1"), from("p", (1, 0))];
    let answer = appended(&store, &orders(), &append(2, both)).await;
    assert_eq!(answer.placed, [Placed::Full, Placed::Known(1), Placed::Conflict, Placed::Full]);
    let none = append(3, vec![message("1", 0), keyed("ada", "b", "1")]);
    assert_eq!(refusal(store.append_messages(&orders(), &none).await), ErrorKind::Full);
    assert_eq!(offsets(&store, &orders()).await, [1]);
    let room = Append { quota: PLENTY, ..append(2, vec![from("p", (1, 0))]) };
    assert_eq!(appended(&store, &orders(), &room).await.placed, [Placed::New(2)], "its source was not noted");
}

/// The oldest go first, by number.
pub async fn are_cut_by_their_number(store: SharedStore) {
    let keep = Keep { messages_max: 3, ..KEEP };
    for n in 1..=5 {
        let append = Append { keep, ..append(u8::try_from(n).expect("small"), numbered(n..=n)) };
        let answer = appended(&store, &orders(), &append).await;
        assert_eq!(answer.kept_from, u64::try_from(n - 2).unwrap_or(1).max(1));
    }
    assert_eq!(offsets(&store, &orders()).await, [3, 4, 5]);
    let large = Append { keep, ..append(9, numbered(1..=7)) };
    assert_eq!(appended(&store, &orders(), &large).await.placed.last(), Some(&Placed::New(12)));
    assert_eq!(offsets(&store, &orders()).await, [10, 11, 12]);
    assert_eq!(head(&store, &orders()).await.map(|head| head.kept_from), Some(10));
}

/// The oldest go first, by size; the newest stays, however large it is.
pub async fn are_cut_by_their_bytes(store: SharedStore) {
    let keep = Keep { bytes_max: 10, ..KEEP };
    let put = async |id, data: &str| {
        appended(&store, &orders(), &Append { keep, ..append(id, vec![message(data, 0)]) }).await;
        offsets(&store, &orders()).await
    };
    assert_eq!(put(1, "1234").await, [1]);
    assert_eq!(put(2, "123456").await, [1, 2], "ten bytes");
    assert_eq!(put(3, "1").await, [2, 3]);
    assert_eq!(put(4, "\"éé\"").await, [3, 4], "six bytes");
    assert_eq!(put(5, "12345678901234").await, [5]);
    assert_eq!(put(6, "1").await, [6]);
    assert_eq!(store.topic_usage().await.expect("counts"), TopicUsage { topics: 1, bytes: 1 });
}

/// Old messages are removed, the oldest first; the topic stays until its time has come, too.
pub async fn expire_and_are_forgotten(store: SharedStore) {
    appended(&store, &orders(), &append(1, numbered(0..=4))).await;
    let purge = async |now, limit| store.purge_topics(at(now), limit).await.expect("purges");
    assert_eq!(purge(99, 100).await, 0);
    assert_eq!(purge(102, 2).await, 2, "at most the limit");
    assert_eq!(purge(102, 100).await, 1);
    assert_eq!(offsets(&store, &orders()).await, [4, 5]);
    assert_eq!(purge(104, 100).await, 2);
    let remembered = TopicHead { epoch: Epoch::new("e"), offset: 5, kept_from: 6 };
    assert_eq!(head(&store, &orders()).await, Some(remembered), "nothing is kept, and that is known");
    assert_eq!(store.topic_usage().await.expect("counts"), TopicUsage { topics: 1, bytes: 0 });
    assert_eq!(purge(1103, 100).await, 0);
    let next = appended(&store, &orders(), &append(2, numbered(1000..=1000))).await;
    assert_eq!(next.placed, [Placed::New(6)], "it goes on where it was");
    assert_eq!(purge(1104, 100).await, 1, "the message, and not the topic that it has prolonged");
    assert_eq!(purge(2100, 100).await, 1);
    assert_eq!(head(&store, &orders()).await, None);
    assert_eq!(store.topic_usage().await.expect("counts"), TopicUsage::default());
    let anew = Append { life: (Epoch::new("f"), 0), ..append(3, numbered(1..=1)) };
    assert_eq!(appended(&store, &orders(), &anew).await.epoch, Epoch::new("f"));
}

/// A message whose time comes late holds back none but those after it: no gap opens.
pub async fn expire_without_a_gap(store: SharedStore) {
    let messages = vec![message("1", 50), message("2", 10), message("3", 60)];
    appended(&store, &orders(), &append(1, messages)).await;
    assert_eq!(store.purge_topics(at(110), 100).await.expect("purges"), 0);
    assert_eq!(offsets(&store, &orders()).await, [1, 2, 3]);
    assert_eq!(store.purge_topics(at(150), 100).await.expect("purges"), 2);
    assert_eq!(offsets(&store, &orders()).await, [3]);
}

/// A tenant that has used up its share is refused, others are not; and the known topic goes on where a new one may
/// not begin.
pub async fn are_bounded_by_quotas(store: SharedStore) {
    let quota = TopicQuota { tenant_topics_max: 2, tenant_bytes_max: 6, bytes_max: 10 };
    let put = async |id, key: &TopicKey, data: &str| {
        let append = Append { quota, ..append(id, vec![message(data, 0)]) };
        store.append_messages(key, &append).await.map(|appended| new_offsets(&appended)[0])
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| key("acme", name));
    assert_eq!(put(1, &a, "1").await.expect("room"), Some(1));
    assert_eq!(put(2, &b, "1").await.expect("room"), Some(1));
    assert_eq!(refusal(put(3, &c, "1").await), ErrorKind::Full, "two topics");
    assert_eq!(head(&store, &c).await, None);
    assert_eq!(put(4, &a, "123456").await.expect("room"), Some(2));
    assert_eq!(refusal(put(5, &a, "1").await), ErrorKind::Full, "six bytes and more");
    assert_eq!(put(4, &a, "123456").await.expect("done before"), Some(2));
    assert_eq!(put(6, &key("globex", "a"), "12").await.expect("room"), Some(1));
    assert_eq!(refusal(put(7, &key("globex", "a"), "1").await), ErrorKind::Full, "ten bytes in all");
    assert_eq!(offsets(&store, &a).await, [1, 2]);
    store.purge_topics(at(100), 100).await.expect("purges");
    assert_eq!(put(8, &a, "1").await.expect("room again"), Some(3));
    store.purge_topics(at(5000), 100).await.expect("purges");
    assert_eq!(put(9, &c, "1").await.expect("two others are forgotten"), Some(1));
}

/// An append of nothing is nobody's wish.
pub async fn refuse_an_empty_append(store: SharedStore) {
    assert_eq!(refusal(store.append_messages(&orders(), &append(1, Vec::new())).await), ErrorKind::Invalid);
    assert_eq!(head(&store, &orders()).await, None);
}

/// Each message gets an offset of its own, whoever comes at the same time.
pub async fn at_once_by_many_get_each_offset_once(store: SharedStore) {
    let appending = (0..32_u8).map(|id| {
        let store = Arc::clone(&store);
        tokio::spawn(
            async move { new_offsets(&appended(&store, &orders(), &append(id, numbered(1..=3))).await) },
        )
    });
    let mut given = BTreeSet::new();
    for appending in appending.collect::<Vec<_>>() {
        let offsets = appending.await.expect("no panic");
        let first = offsets[0].expect("kept");
        assert_eq!(offsets, [Some(first), Some(first + 1), Some(first + 2)], "an append is in one piece");
        given.extend(offsets);
    }
    assert_eq!(given.len(), 96);
    assert_eq!(offsets(&store, &orders()).await, (1..=96).collect::<Vec<_>>());
}

/// Random appends and purges, told to the store and to the one in memory, end alike after every step.
pub async fn agree_on_random_histories(store: SharedStore) {
    let model: SharedStore = Arc::new(MemoryStore::new());
    let dice = SeededRandom::new(7);
    let below = |bound: u64| dice.next_u64() % bound;
    let keys = ["acme", "globex"].map(|tenant| ["a", "b", "c"].map(|topic| key(tenant, topic))).concat();
    let quota = TopicQuota { tenant_topics_max: 2, tenant_bytes_max: 60, bytes_max: 90 };
    let keep = Keep {
        messages_max: 6,
        bytes_max: 40,
        age_max: Duration::from_millis(20),
        forget_after: Duration::from_millis(30),
    };
    let mut now = 0;
    let mut earlier: Vec<(TopicKey, Append)> = Vec::new();
    for step in 0_u64..600 {
        now += below(4).cast_signed();
        let key = keys[below(keys.len() as u64) as usize].clone();
        if below(8) == 0 {
            let purged = store.purge_topics(at(now), 1000).await.map_err(|e| e.kind());
            assert_eq!(purged, model.purge_topics(at(now), 1000).await.map_err(|e| e.kind()), "step {step}");
        } else {
            let messages = (0..=below(4)).map(|_| {
                let source = SourcePosition {
                    partition: ["p", "q"][below(2) as usize].into(),
                    place: (below(40), below(3)),
                };
                let data = json(&"1234567890"[..1 + below(9) as usize]);
                let known_at = (0..below(6).saturating_sub(3)).map(|_| SourcePosition {
                    partition: ["p", "q", "r"][below(3) as usize].into(),
                    place: (below(40), below(3)),
                });
                let known_at = known_at.collect();
                let user = UserId::new(["ada", "bob"][below(2) as usize]);
                let key = IdempotencyKey::parse(["k", "l", "m"][below(3) as usize]).expect("a key");
                let key = (below(3) == 0).then_some(MessageKey { user, key });
                NewMessage { data, at: at(now), source: (below(3) > 0).then_some(source), known_at, key }
            });
            let mut id = [0; 16];
            id[..8].copy_from_slice(&step.to_le_bytes());
            let life = (Epoch::new(step.to_string()), below(3));
            let fresh = (key, Append { id: AppendId(id), messages: messages.collect(), life, keep, quota });
            let (key, append) = match earlier.len() {
                n if n > 0 && below(6) == 0 => earlier[n - 1 - below(n.min(3) as u64) as usize].clone(),
                _ => fresh,
            };
            let ours = store.append_messages(&key, &append).await.map_err(|e| e.kind());
            let models = model.append_messages(&key, &append).await.map_err(|e| e.kind());
            assert_eq!(ours, models, "step {step}: {key} {append:?}");
            earlier.push((key, append));
        }
        for key in &keys {
            assert_eq!(head(&store, key).await, head(&model, key).await, "step {step}: {key}");
            assert_eq!(all(&store, key).await, all(&model, key).await, "step {step}: {key}");
        }
        let usage = store.topic_usage().await.expect("counts");
        assert_eq!(usage, model.topic_usage().await.expect("counts"), "step {step}");
    }
}
