//! The golden frames of the protocol, said to a live client.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::fake::{Fake, soon};

fn cases(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/golden").join(folder);
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the golden frames")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_stem().expect("named").to_string_lossy().into_owned();
            (name, serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("JSON"))
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty(), "no golden frames in {}", folder.display());
    cases
}

/// Whatever a server says, now or in a later version, the connection goes on.
#[tokio::test]
async fn every_frame_is_survived() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    for (name, case) in cases("server/valid").into_iter().chain(cases("server/invalid")) {
        let text = case["text"].as_str().expect("a text");
        // Leaving is what this one is for.
        if text.contains("draining") {
            continue;
        }
        peer.say_text(text).await;
        let call = client.request("echo").send().await.unwrap();
        let heard = soon(&name, peer.hear()).await;
        peer.respond(heard["id"].as_str().unwrap(), json!(name)).await;
        assert_eq!(soon(&name, call.outcome()).await.unwrap().get::<String>().unwrap(), name);
    }
}

/// A frame that is about an open request reaches its call, or ends it.
#[tokio::test]
async fn every_frame_about_a_request_reaches_it() {
    let fake = Fake::start().await;
    let (client, mut peer) = fake.client().await;
    for (name, case) in cases("server/valid") {
        let frame = &case["expect"]["frame"];
        let Some(id) = frame["request_id"].as_str() else { continue };
        let repeated = frame["seq"].is_null() && frame["error"]["retry"]["attempt"].is_number();
        let ends = match frame["type"].as_str() {
            Some("response" | "complete") => true,
            Some("error") => !repeated,
            _ => false,
        };
        let skips = frame["type"] == "chunk" && frame["index"] != 0;
        let mut call = client.request("delay").id(id).send().await.unwrap();
        assert_eq!(soon(&name, peer.hear()).await["id"], id);
        peer.say_text(case["text"].as_str().expect("a text")).await;
        if skips {
            assert_eq!(soon(&name, peer.hear_resume()).await.1, id, "{name}");
        } else {
            assert_eq!(soon(&name, call.next()).await.is_none(), ends, "{name}");
        }
        drop(call);
    }
}
