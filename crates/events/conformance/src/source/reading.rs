//! Changes come in commit order, as many as are wanted.

use std::time::Duration;

use futures_util::FutureExt as _;
use streamer_events::{change::Op, source::Limit};

use super::{LIMIT, Reader, SharedPlace, id, row, rows};

/// Each with a position above the last, and with what the row holds.
pub async fn gives_changes_in_commit_order(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=3)).await;
    place.commit(&[row(5)]).await;
    place.commit(&[row(4)]).await;
    let changes = reader.changes(5).await;
    assert_eq!(reader.ids(&changes), [1, 2, 3, 5, 4].map(id));
    assert!(changes.is_sorted_by(|a, b| a.position < b.position), "positions rise");
    assert!(changes.iter().all(|change| change.op == Op::Create));
    let event = reader.event(&changes[1]);
    assert_eq!(
        (&*event.event_type, &*event.aggregate_id, &*event.aggregate_type),
        ("Told", &*id(2), "Thing")
    );
    assert_eq!(event.payload::<serde_json::Value>(), Ok(serde_json::json!({ "n": 2 })));
    reader.close().await;
}

/// A call that is made first is answered when something comes.
pub async fn waits_for_a_change(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    let commit = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        place.commit(&[row(1)]).await;
    };
    let (changes, ()) = tokio::join!(reader.changes(1), commit);
    assert_eq!(reader.ids(&changes), [id(1)]);
    reader.close().await;
}

/// At most what was asked for, by count and by bytes, and at least one.
pub async fn keeps_to_the_limit(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=7)).await;
    let mut seen = 0;
    while seen < 7 {
        let limit = if seen < 4 { Limit { changes: 3, ..LIMIT } } else { Limit { bytes: 1, ..LIMIT } };
        let reads = reader.read(limit).await;
        assert!(!reads.is_empty() && reads.len() <= if seen < 4 { 3 } else { 1 }, "{}", reads.len());
        seen += reads.len();
    }
    reader.close().await;
}

/// A call may be dropped at any time: the pipeline does so all the while. What it has begun goes on with the next.
pub async fn dropped_loses_nothing(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    let reading = async {
        let mut ids = Vec::new();
        while ids.len() < 60 {
            // Each is dropped the first time that it waits for anything.
            let Some(reads) = reader.source.read(Limit { changes: 4, ..LIMIT }).now_or_never() else {
                tokio::time::sleep(Duration::from_micros(300)).await;
                continue;
            };
            for read in reads.expect("reads") {
                let streamer_events::source::Read::Change(change) = read else { panic!("no snapshot") };
                ids.push(reader.event(&change).id.as_str().to_owned());
            }
        }
        ids
    };
    let committing = async {
        for n in 0..20 {
            place.commit(&rows(3 * n + 1..=3 * n + 3)).await;
        }
    };
    let (ids, ()) = super::within(async { tokio::join!(reading, committing) }).await;
    assert_eq!(ids, (1..=60).map(id).collect::<Vec<_>>());
    reader.close().await;
}
