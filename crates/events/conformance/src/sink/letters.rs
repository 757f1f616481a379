//! Dead letters stay until they are discarded.

use streamer_events::{DeadLetter, Why, testing::given};

use super::SharedSink;

fn letter(n: u64, error: &str) -> DeadLetter {
    let why = Why {
        handler: "h".into(),
        document: Some(("things".into(), "a.b$c".into())),
        error: error.into(),
        path: Some("x.y".into()),
    };
    DeadLetter::about(&given::event(0, n, "Told", r#"{"x":{"y":1}}"#), why, given::moment(9), 8)
}

async fn ids(sink: &SharedSink) -> Vec<String> {
    sink.letters(None, 100).await.expect("answers").into_iter().map(|letter| letter.id).collect()
}

/// The same letter again, as after a lost reply, changes nothing.
pub async fn are_buried_once(sink: SharedSink) {
    sink.bury(&[letter(1, "first")]).await.expect("answers");
    sink.bury(&[letter(1, "again"), letter(2, "second")]).await.expect("answers");
    sink.bury(&[]).await.expect("answers");
    assert_eq!(sink.letters(None, 10).await.expect("answers"), [letter(1, "first"), letter(2, "second")]);
    assert_eq!(sink.count_letters().await.expect("answers"), 2);
}

/// In the order of their ids, none twice.
pub async fn come_in_pages(sink: SharedSink) {
    let letters: Vec<_> = (1..=9).map(|n| letter(n, "no")).collect();
    sink.bury(&letters).await.expect("answers");
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = sink.letters(after.as_deref(), 4).await.expect("answers");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        after = Some(last.id.clone());
        seen.extend(page);
    }
    assert_eq!(seen, letters);
}

/// What was replayed is removed; what is not there is no error.
pub async fn are_discarded(sink: SharedSink) {
    sink.bury(&[letter(1, "no"), letter(2, "no"), letter(3, "no")]).await.expect("answers");
    sink.discard(&[letter(2, "").id, "unknown".to_owned()]).await.expect("answers");
    sink.discard(&[]).await.expect("answers");
    assert_eq!(ids(&sink).await, [letter(1, "").id, letter(3, "").id]);
}
