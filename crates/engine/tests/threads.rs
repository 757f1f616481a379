//! Handlers on threads of their own.

use std::{sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Handlers, Router, Settings};
use tokio::runtime::Handle;

use crate::support::{Client, World, code, types};

/// A world in which handlers have so many threads.
fn world(threads: usize) -> World {
    let mut world = World::new();
    world.handlers = Handlers::on(threads, Handle::current());
    world
}

async fn answers(client: &Client, count: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    while answers.len() < count {
        answers.extend(client.until(|_| true).await);
    }
    answers
}

#[tokio::test]
async fn messages_start_in_the_order_in_which_they_came() {
    const MESSAGES: usize = 300;
    let started = Arc::new(Mutex::new(Vec::new()));
    let note = {
        let started = Arc::clone(&started);
        move |_: Context, n: usize| {
            started.lock().push(n);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, Failure>(n)
            }
        }
    };
    let routes = Router::new().action("note", note);
    let node = world(8).working("n", routes, Settings::default());
    let client = node.connect("c", "ada").await;
    for n in 0..MESSAGES {
        client.ask(&n.to_string(), "note", json!(n)).await;
    }
    answers(&client, MESSAGES).await;
    assert_eq!(*started.lock(), (0..MESSAGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_keeps_its_thread_is_timed_out_and_holds_up_no_message() {
    let keep = |_: Context, _: Value| async {
        thread::sleep(Duration::from_secs(2));
        Ok::<_, Failure>(())
    };
    let panic =
        |_: Context, _: Value| async { if true { panic!("as planned") } else { Ok::<_, Failure>(()) } };
    let routes = Router::new()
        .action("keep", keep)
        .timeout(Duration::from_millis(100))
        .action("quick", |_: Context, n: u8| async move { Ok::<_, Failure>(n) })
        .action("panic", panic);
    let settings = Settings { cancel_grace: Duration::from_millis(10), ..Settings::default() };
    let node = world(2).working("n", routes, settings);
    let client = node.connect("c", "ada").await;
    client.ask("a", "keep", json!({})).await;
    client.ask("b", "quick", json!(7)).await;
    let answers = answers(&client, 2).await;
    assert_eq!(types(&answers), ["response", "error"], "{answers:?}");
    assert_eq!(code(&answers[1]), "TIMEOUT");
    assert_eq!(code(&client.answer("c", "panic", json!({})).await), "INTERNAL_ERROR");
}

#[tokio::test]
async fn as_many_may_keep_their_threads_as_there_are() {
    const THREADS: usize = 12;
    let barrier = Arc::new(std::sync::Barrier::new(THREADS));
    // None goes on before all are there.
    let meet = {
        let barrier = Arc::clone(&barrier);
        move |_: Context, _: Value| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait();
                Ok::<_, Failure>(())
            }
        }
    };
    let routes = Router::new().action("meet", meet);
    let settings = Settings { short_limit: Duration::from_secs(20), ..Settings::default() };
    let node = world(THREADS).working("n", routes, settings);
    let client = node.connect("c", "ada").await;
    for n in 0..THREADS {
        client.ask(&n.to_string(), "meet", json!({})).await;
    }
    let answers = answers(&client, THREADS).await;
    assert!(types(&answers).iter().all(|answer| *answer == "response"), "{answers:?}");
}
