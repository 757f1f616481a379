//! Short requests.

use std::time::Duration;

use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Router, Settings, protocol::ErrorCode};

use crate::support::{Node, World, code, key, pass, types};

#[tokio::test(start_paused = true)]
async fn is_answered_by_what_the_handler_returns() {
    let double = |_: Context, n: u32| async move { Ok::<_, Failure>(n * 2) };
    let client = Node::alone(Router::new().action("double", double)).connect("c", "ada").await;
    let answer = client.answer("a", "double", json!(21)).await;
    assert_eq!((&answer["type"], &answer["data"]), (&json!("response"), &json!(42)));
    assert_eq!(answer["request_id"], "a");
    assert_eq!(code(&client.answer("s", "status", json!({ "request_id": "a" })).await), "NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn failures_are_answered_and_inner_text_stays_inside() {
    let fail = |_: Context, how: String| async move {
        match how.as_str() {
            "reject" => Err::<(), _>(Failure::reject("too old").at("year").code(ErrorCode::Forbidden)),
            "cancel" => Err(Failure::cancel()),
            "retry" => Err(Failure::retry("secret: the password is 1234")),
            _ => panic!("secret: the password is 1234"),
        }
    };
    let client = Node::alone(Router::new().action("fail", fail)).connect("c", "ada").await;
    let rejected = client.answer("1", "fail", json!("reject")).await;
    assert_eq!(code(&rejected), "FORBIDDEN");
    assert_eq!(rejected["error"]["details"]["fields"][0]["path"], "payload.year");
    assert_eq!(code(&client.answer("2", "fail", json!("cancel")).await), "CANCELLED");
    for (id, how) in [("3", "retry"), ("4", "panic")] {
        let answer = client.answer(id, "fail", json!(how)).await;
        assert_eq!(code(&answer), "INTERNAL_ERROR", "{how}");
        assert!(answer["error"]["details"]["correlation_id"].is_string(), "{how}: {answer}");
        assert!(!answer.to_string().contains("secret"), "{how}: {answer}");
    }
    assert_eq!(client.answer("5", "echo", json!(1)).await["type"], "response", "the connection lives on");
}

#[tokio::test(start_paused = true)]
async fn runs_again_when_it_is_sent_again_unless_it_is_durable() {
    let (ran, runs) = std::sync::mpsc::sync_channel(10);
    let count = move |_: Context, _: Value| {
        ran.send(()).expect("the test listens");
        async { Ok::<_, Failure>("done") }
    };
    let routes = Router::new().action("plain", count.clone()).action("kept", count).durable();
    let client = Node::alone(routes).connect("c", "ada").await;
    for _ in 0..2 {
        assert_eq!(client.answer("p", "plain", json!({})).await["type"], "response");
    }
    assert_eq!(runs.try_iter().count(), 2);
    client.ask("k", "kept", json!({})).await;
    assert_eq!(types(&client.until_outcome("k").await), ["acknowledgment", "complete"]);
    client.ask("k", "kept", json!({})).await;
    let again = client.until_outcome("k").await;
    assert_eq!((types(&again), &again[0]["result"]), (vec!["complete"], &json!("done")));
    assert_eq!(runs.try_iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_exceeds_its_own_time_is_dropped_after_the_grace() {
    let stuck = |_: Context, _: Value| std::future::pending::<Result<Value, Failure>>();
    let routes = Router::new().action("stuck", stuck).timeout(Duration::from_secs(2));
    let node = World::new().working("n", routes, Settings::default());
    let client = node.connect("c", "ada").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(code(&client.answer("a", "stuck", json!({})).await), "TIMEOUT");
    assert_eq!(begun.elapsed(), Duration::from_secs(7), "its time, and the grace");
    assert!(node.engine.status(&key("a")).await.is_err(), "never stored");
}

#[tokio::test(start_paused = true)]
async fn can_be_cancelled_by_its_id_before_it_is_stored() {
    let obedient = |cx: Context, _: Value| async move {
        cx.cancelled().await;
        assert!(cx.is_cancelled());
        cx.progress(1.0, "too late").await?;
        Ok(json!("never"))
    };
    let client = Node::alone(Router::new().action("wait", obedient)).connect("c", "ada").await;
    client.ask("a", "wait", json!({})).await;
    client.ask("c", "cancel", json!({ "request_id": "a" })).await;
    let frames = client.until(|frame| frame["request_id"] == "a").await;
    assert_eq!(code(frames.last().expect("one")), "CANCELLED");
    let cancelled = match frames.len() {
        2 => frames[0].clone(),
        _ => client.until_type("response", "c").await.remove(0),
    };
    assert_eq!(cancelled["data"], json!({ "request_id": "a", "status": "CANCELLED" }));
    let gone = client.answer("d", "cancel", json!({ "request_id": "a" })).await;
    assert_eq!(code(&gone), "NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_large_for_a_message_is_kept_as_a_file() {
    let large = |_: Context, bytes: usize| async move { Ok::<_, Failure>("x".repeat(bytes)) };
    let settings = Settings { artifact_bytes_max: 1024 * 1024, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("large", large), settings);
    let client = node.connect("c", "ada").await;
    let fits = client.answer("1", "large", json!(128 * 1024 - 2)).await;
    assert_eq!(fits["data"].as_str().map(str::len), Some(128 * 1024 - 2));
    let kept = client.answer("2", "large", json!(128 * 1024 - 1)).await;
    assert_eq!(kept["data"]["artifact"]["size"], 128 * 1024 + 1);
    let refused = client.answer("3", "large", json!(1024 * 1024)).await;
    assert_eq!(code(&refused), "PAYLOAD_TOO_LARGE");
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_connection_that_has_no_room_and_holds_its_place_meanwhile() {
    let nap = |_: Context, n: u32| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok::<_, Failure>(n)
    };
    let settings = Settings { connection_in_flight_max: 1, ..Settings::default() };
    let node = World::new().working("n", Router::new().action("nap", nap), settings);
    let client = node.connect("c", "ada").await;
    client.fake.hold_up(client.id());
    client.ask("a", "nap", json!(1)).await;
    pass(Duration::from_secs(60)).await;
    assert!(client.session.try_room().is_none(), "its answer is not told yet");
    client.fake.release(client.id());
    assert_eq!(client.until_type("response", "a").await.len(), 1);
    assert_eq!(client.answer("b", "nap", json!(2)).await["data"], 2);
}
