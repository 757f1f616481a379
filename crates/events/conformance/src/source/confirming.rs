//! What is confirmed is over, and nothing else is.

use super::{Reader, SharedPlace, id, row, rows};

/// At the same positions, in the same order.
pub async fn what_is_not_confirmed_comes_again_where_it_was(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=3)).await;
    place.commit(&rows(4..=5)).await;
    let first = reader.changes(5).await;
    reader.close().await;

    let reader = Reader::begin(&place).await;
    let second = reader.changes(5).await;
    let places = |changes: &[streamer_events::Change]| {
        changes.iter().map(|change| change.position.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((reader.ids(&first), places(&first)), (reader.ids(&second), places(&second)));
    reader.close().await;
}

/// Closing tells the server.
pub async fn what_is_confirmed_does_not_come_again(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=3)).await;
    let changes = reader.changes(3).await;
    reader.confirm(&changes[2]).await;
    reader.close().await;

    let reader = Reader::begin(&place).await;
    assert!(reader.is_quiet().await);
    place.commit(&[row(4)]).await;
    assert_eq!(reader.ids(&reader.changes(1).await), [id(4)]);
    reader.close().await;
}

/// A transaction may come again as a whole, but none that was confirmed does, and nothing is left out.
pub async fn part_of_it_brings_the_rest_again(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=2)).await;
    place.commit(&rows(3..=6)).await;
    let changes = reader.changes(6).await;
    reader.confirm(&changes[1]).await;
    reader.confirm(&changes[3]).await;
    reader.close().await;

    let reader = Reader::begin(&place).await;
    place.commit(&[row(7)]).await;
    let mut again = Vec::new();
    while again.last() != Some(&id(7)) {
        again.extend(reader.ids(&reader.changes(1).await));
    }
    let expected = (3..=7).map(id).collect::<Vec<_>>();
    assert!(expected.ends_with(&again) && again.len() >= 3, "{again:?}");
    reader.close().await;
}

/// A process that reads and dies leaves everything to the next.
pub async fn nothing_is_the_same_as_not_reading(place: SharedPlace) {
    let reader = Reader::begin(&place).await;
    place.commit(&rows(1..=2)).await;
    let changes = reader.changes(2).await;
    reader.confirm(&changes[1]).await;
    place.commit(&rows(3..=4)).await;
    drop(reader.changes(2).await);
    reader.close().await;

    let reader = Reader::begin(&place).await;
    assert_eq!(reader.ids(&reader.changes(2).await), [id(3), id(4)]);
    reader.close().await;
}
