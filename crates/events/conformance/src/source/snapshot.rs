//! What is older than the stream comes first, once.

use std::collections::BTreeSet;

use streamer_events::change::Op;

use super::{Reader, SharedPlace, id, rows};

/// As rows that are read, at positions that rise.
pub async fn brings_what_was_there_before(place: SharedPlace) {
    place.lay_under(&rows(1..=5)).await;
    let (reader, opened) = Reader::open(&place).await;
    assert!(opened.has_rows_before);
    reader.source.start(Some(1)).await.expect("begins");
    let changes = reader.snapshot().await;
    let mut ids = reader.ids(&changes);
    ids.sort();
    assert_eq!(ids, (1..=5).map(id).collect::<Vec<_>>());
    assert!(changes.iter().all(|change| change.op == Op::Read));
    assert!(changes.is_sorted_by(|a, b| a.position < b.position), "positions rise");
    reader.close().await;
}

/// Rows that are committed while the snapshot is read come, in it or after it.
pub async fn goes_over_into_the_stream_without_a_gap(place: SharedPlace) {
    place.lay_under(&rows(1..=5)).await;
    let reader = Reader::begin_with(&place, Some(1)).await;
    place.commit(&rows(6..=8)).await;
    let snapshot = reader.snapshot().await;
    place.commit(&rows(9..=10)).await;
    let mut seen: BTreeSet<_> = reader.ids(&snapshot).into_iter().collect();
    let mut streamed = Vec::new();
    while !seen.contains(&id(10)) {
        let change = reader.changes(1).await.remove(0);
        let name = reader.event(&change).id.as_str().to_owned();
        assert!(!seen.contains(&name) || change.may_be_known, "what comes twice says so");
        seen.insert(name.clone());
        streamed.push(change.position);
    }
    assert_eq!(seen, (1..=10).map(id).collect());
    assert!(streamed.is_sorted_by(|a, b| a < b), "positions rise");
    reader.close().await;
}

/// Another pass is another partition: its rows may have come before.
pub async fn interrupted_begins_again_and_says_what_may_be_known(place: SharedPlace) {
    place.lay_under(&rows(1..=5)).await;
    let reader = Reader::begin_with(&place, Some(1)).await;
    let first = reader.changes(3).await;
    reader.confirm(&first[2]).await;
    reader.close().await;
    place.commit(&rows(6..=7)).await;

    let reader = Reader::begin_with(&place, Some(2)).await;
    let second = reader.snapshot().await;
    assert_ne!(first[0].position.partition, second[0].position.partition);
    let mut seen: BTreeSet<_> = reader.ids(&second).into_iter().collect();
    assert!((1..=5).all(|n| seen.contains(&id(n))), "a pass is whole");
    assert!(second.iter().all(|change| change.may_be_known));
    while !(seen.contains(&id(6)) && seen.contains(&id(7))) {
        seen.extend(reader.ids(&reader.changes(1).await));
    }
    reader.close().await;
}

/// An empty table is a snapshot too.
pub async fn of_nothing_ends_at_once(place: SharedPlace) {
    let reader = Reader::begin_with(&place, Some(1)).await;
    assert_eq!(reader.snapshot().await, []);
    place.commit(&rows(1..=1)).await;
    assert_eq!(reader.ids(&reader.changes(1).await), [id(1)]);
    reader.close().await;
}
