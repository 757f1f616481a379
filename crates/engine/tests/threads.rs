//! Handlers on threads of their own.

use std::{sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamer_engine::{Context, Failure, Handlers, Router, Settings};
use tokio::runtime::Handle;

use crate::support::{Client, Node, World, code, types};

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

/// Handlers that keep their threads until so many of them have met.
fn meeting(count: usize) -> Router {
    let barrier = Arc::new(std::sync::Barrier::new(count));
    let meet = move |_: Context, _: Value| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait();
            Ok::<_, Failure>(())
        }
    };
    Router::new().action("meet", meet)
}

const MEETING: usize = 12;

/// A node with as many threads as have to meet, and who has asked all of them to.
async fn met() -> (Node, Client) {
    let settings = Settings { short_limit: Duration::from_secs(20), ..Settings::default() };
    let node = world(MEETING).working("n", meeting(MEETING), settings);
    let client = node.connect("c", "ada").await;
    for n in 0..MEETING {
        client.ask(&n.to_string(), "meet", json!({})).await;
    }
    (node, client)
}

async fn hold_met(client: &Client) {
    let answers = answers(client, MEETING).await;
    assert!(types(&answers).iter().all(|answer| *answer == "response"), "{answers:?}");
}

#[tokio::test]
async fn as_many_may_keep_their_threads_as_there_are() {
    let (_node, client) = met().await;
    hold_met(&client).await;
}

#[tokio::test]
async fn those_that_began_before_the_end_get_their_threads_too() {
    let (mut node, client) = met().await;
    node.stop().await;
    hold_met(&client).await;
}

/// Panics when it is dropped.
struct Sore;

impl Drop for Sore {
    fn drop(&mut self) {
        panic!("as planned");
    }
}

#[tokio::test]
async fn one_that_panics_when_it_is_dropped_ends_alone() {
    let sore = |_: Context, _: Value| async {
        let _sore = Sore;
        std::future::pending::<()>().await;
        Ok::<_, Failure>(())
    };
    let routes = Router::new()
        .action("sore", sore)
        .timeout(Duration::from_millis(50))
        .action("quick", |_: Context, n: u8| async move { Ok::<_, Failure>(n) });
    let settings = Settings { cancel_grace: Duration::from_millis(10), ..Settings::default() };
    let node = world(1).working("n", routes, settings);
    let client = node.connect("c", "ada").await;
    assert_eq!(code(&client.answer("a", "sore", json!({})).await), "TIMEOUT");
    assert_eq!(client.answer("b", "quick", json!(7)).await["type"], "response");
}
