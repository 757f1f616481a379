//! Events are handed on once, in their order.

use streamer_events::{Batch, Offset, Position, batch::Arrival, testing::given};

use super::{SharedOutlet, applied, batch, event, id};

fn ids(partition: u32, offsets: impl IntoIterator<Item = u64>) -> Vec<String> {
    offsets.into_iter().map(|offset| id(partition, offset)).collect()
}

/// In one batch and in the next.
pub async fn every_event_in_its_order(sink: SharedOutlet) {
    applied(&sink, &batch(0, 1..=3)).await;
    applied(&sink, &batch(0, 4..=5)).await;
    assert_eq!(sink.handed_on().await, ids(0, 1..=5));
}

/// A reply was lost: the batch comes again.
pub async fn repeated_changes_nothing(sink: SharedOutlet) {
    let batch = batch(0, 1..=3);
    for _ in 0..3 {
        applied(&sink, &batch).await;
    }
    assert_eq!(sink.handed_on().await, ids(0, 1..=3));
}

/// What was handed on comes again in other batches.
pub async fn with_other_boundaries_hands_on_the_rest(sink: SharedOutlet) {
    for (first, last) in [(1, 3), (2, 5), (1, 1), (5, 6), (1, 6)] {
        applied(&sink, &batch(0, first..=last)).await;
    }
    assert_eq!(sink.handed_on().await, ids(0, 1..=6));
}

/// The offsets of two partitions say nothing of each other.
pub async fn from_two_partitions_hands_on_both(sink: SharedOutlet) {
    let (high, low) = (batch(1, 900..=901), batch(2, 1..=2));
    for batch in [&high, &low, &high, &low] {
        applied(&sink, batch).await;
    }
    assert_eq!(sink.handed_on().await, [ids(1, 900..=901), ids(2, 1..=2)].concat());
}

/// A snapshot reads events again that the stream brought, and one that was recorded but never handed on.
pub async fn known_elsewhere_is_not_handed_on_again(sink: SharedOutlet) {
    applied(&sink, &batch(0, 6..=7)).await;
    let mut again = Batch::default();
    for (offset, stood) in [(1, 7), (2, 8)] {
        let known_at = [Position { partition: given::partition(0), offset: Offset::at(stood) }].into();
        again.add(Arrival { known_at, ..event(5, offset).into() }, Vec::new());
    }
    applied(&sink, &again).await;
    applied(&sink, &again).await;
    assert_eq!(sink.handed_on().await, [ids(0, 6..=7), ids(5, [2])].concat());
}

/// It names no document, and does not hold up what is beside it.
pub async fn refuses_in_the_events_name_and_hands_on_the_others(sink: SharedOutlet) {
    let mut mixed = Batch::default();
    for offset in 1..=3 {
        let event = if offset == 2 { sink.refused(event(0, offset)) } else { event(0, offset) };
        mixed.add(event.into(), Vec::new());
    }
    let refused = sink.apply(&mixed).await.expect("answers");
    let told: Vec<_> = refused.iter().map(|r| (r.author.event.as_str(), &*r.collection, &*r.id)).collect();
    assert_eq!(told, [(&*id(0, 2), "", "")]);
    assert_eq!(sink.handed_on().await, ids(0, [1, 3]));
}

/// Once it is in the dead letters, nothing more is said of it.
pub async fn passes_what_is_left_out(sink: SharedOutlet) {
    let mut mixed = Batch::default();
    mixed.add(event(0, 1).into(), Vec::new());
    mixed.add(sink.refused(event(0, 2)).into(), Vec::new());
    let refused = sink.apply(&mixed).await.expect("answers");
    applied(&sink, &mixed.without(&refused).expect("was not left out before")).await;
    applied(&sink, &batch(0, [3])).await;
    assert_eq!(sink.handed_on().await, ids(0, [1, 3]));
}

/// As many as a batch holds, and more than anything takes at once.
pub async fn takes_many_events_at_once(sink: SharedOutlet) {
    applied(&sink, &batch(0, 1..=3000)).await;
    assert_eq!(sink.handed_on().await, ids(0, 1..=3000));
}
