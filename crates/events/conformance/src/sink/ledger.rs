//! The ledger knows every event, and the life of the source.

use streamer_events::{EventId, Offset, Position, sink::Adopted, testing::given};

use super::SharedSink;

fn event(n: u64) -> EventId {
    EventId::new(format!("e{n}"))
}

fn at(partition: u32, n: u64) -> Position {
    Position { partition: given::partition(partition), offset: Offset::at(n) }
}

async fn recalled(sink: &SharedSink, events: &[EventId]) -> Vec<(EventId, String)> {
    let recalled = sink.recall(events).await.expect("answers");
    let mut recalled: Vec<_> = recalled.into_iter().map(|(id, at)| (id, at.to_string())).collect();
    recalled.sort();
    recalled
}

/// None at first, then the last one.
pub async fn keeps_the_adopted_life(sink: SharedSink) {
    assert_eq!(sink.adopted().await.expect("answers"), None);
    for snapshot in [None, Some(1), Some(2), None] {
        let adopted = Adopted { epoch: given::epoch(), snapshot };
        sink.adopt(&adopted).await.expect("answers");
        assert_eq!(sink.adopted().await.expect("answers"), Some(adopted));
    }
}

/// An event may stand in several places: the stream's, a snapshot's.
pub async fn recalls_every_position(sink: SharedSink) {
    let first = [(event(1), at(0, 1)), (event(2), at(0, 2)), (event(3), at(0, 3))];
    sink.record(&first).await.expect("answers");
    sink.record(&first).await.expect("is safe to repeat");
    // Other boundaries, and another place.
    sink.record(&first[1..2]).await.expect("answers");
    sink.record(&[(event(3), at(1, 9)), (event(4), at(1, 10))]).await.expect("answers");
    sink.record(&[]).await.expect("answers");
    let expected = [
        (event(2), at(0, 2).to_string()),
        (event(3), at(0, 3).to_string()),
        (event(3), at(1, 9).to_string()),
        (event(4), at(1, 10).to_string()),
    ];
    let mut expected = expected.to_vec();
    expected.sort();
    let mut recalled = recalled(&sink, &[event(2), event(3), event(4), event(5)]).await;
    recalled.dedup();
    assert_eq!(recalled, expected);
    assert_eq!(sink.recall(&[]).await.expect("answers"), []);
}

/// A page of a snapshot is asked for at once.
pub async fn recalls_many_at_once(sink: SharedSink) {
    let events: Vec<_> = (1..=3000).map(|n| (event(n), at(0, n))).collect();
    for part in events.chunks(700) {
        sink.record(part).await.expect("answers");
    }
    let ids: Vec<_> = (1001..=4000).map(event).collect();
    assert_eq!(recalled(&sink, &ids).await.len(), 2000);
}
