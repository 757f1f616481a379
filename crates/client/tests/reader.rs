//! Readers that are slow, or gone.

use serde_json::json;
use streamer_client::Update;

use crate::fake::{Fake, soon};

#[tokio::test]
async fn a_reader_who_lags_holds_up_nobody_and_misses_nothing() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.meet(fake.settings().updates_max(4)).await;
    let mut slow = client.request("delay").id("slow").send().await.unwrap();
    let quick = client.request("echo").id("quick").send().await.unwrap();
    peer.hear().await;
    peer.hear().await;
    for index in 0..100 {
        peer.chunk("slow", index + 1, index, "x").await;
    }
    peer.complete("slow", 101, json!("end")).await;
    peer.respond("quick", json!(1)).await;
    soon("the other's answer", quick.outcome()).await.unwrap();

    // The reader comes back, and the client fetches what did not fit, as often as it takes.
    let reading = async {
        let mut indexes = Vec::new();
        while let Some(update) = soon("an update", slow.next()).await {
            let Update::Chunk(chunk) = update else { panic!("{update:?}") };
            indexes.push(chunk.index);
        }
        (indexes, slow.outcome().await.unwrap())
    };
    let serving = async {
        for round in 1..25 {
            peer.resumed("slow", round * 4).await;
            for index in round * 4..100 {
                peer.chunk("slow", index + 1, index, "x").await;
            }
            peer.complete("slow", 101, json!("end")).await;
        }
    };
    let ((indexes, end), ()) = tokio::join!(reading, serving);
    assert_eq!(indexes, (0..100).collect::<Vec<_>>());
    assert_eq!(end.as_str(), "\"end\"");
}

#[tokio::test]
async fn progress_that_nobody_reads_collapses_to_the_newest() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.meet(fake.settings().updates_max(3)).await;
    let mut call = client.request("delay").id("r").send().await.unwrap();
    peer.hear().await;
    for seq in 1..=50 {
        peer.progress("r", seq, f64::from(u32::try_from(seq).unwrap())).await;
    }
    peer.chunk("r", 51, 0, "x").await;
    peer.complete("r", 52, json!("end")).await;
    // A later answer tells that all of this has arrived.
    let later = client.request("echo").id("later").send().await.unwrap();
    peer.hear().await;
    peer.respond("later", json!(1)).await;
    soon("the answer", later.outcome()).await.unwrap();

    let mut told = Vec::new();
    while let Some(update) = call.next().await {
        told.push(update.seq().unwrap());
    }
    assert!(told.len() <= 3, "{told:?}");
    assert_eq!(told.last(), Some(&51));
    assert!(told.contains(&50), "the newest progress is kept: {told:?}");
    assert_eq!(call.outcome().await.unwrap().as_str(), "\"end\"");
}
