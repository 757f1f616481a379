//! Whoever pushes to many writes to their sockets itself, beside the connections' own tasks: in order, and no frame
//! within another.

use std::time::Duration;

use futures_util::{SinkExt as _, future::join_all};
use serde_json::json;
use streamer_engine::{Frame, push::Push as _};
use streamer_protocol::{CloseCode, ConnectionId};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, SECRET, Server, Setup, Token, in_time};

fn setup() -> Setup {
    let mut setup = Setup::default();
    // Nobody is closed for being slow: what is looked at is the order.
    setup.settings.outbound_bytes_max = 1024 * 1024 * 1024;
    setup.settings.outbound_messages_max = 1_000_000;
    setup.settings.messages_per_minute = 0;
    setup.settings.close_timeout = Duration::from_secs(10);
    setup
}

async fn ids(server: &Server) -> Vec<ConnectionId> {
    server.stored().await.into_iter().map(|record| record.id).collect()
}

const PUSHERS: usize = 3;
const MESSAGES: u64 = 500;

/// How often each client asks and pings: fewer times than it may.
const ASKS: u64 = 80;

/// A message of a pusher; long ones fill the sockets, so that frames go out in parts.
fn message(pusher: usize, number: u64) -> Frame {
    let length = [10, 300, 20_000][usize::try_from(number % 3).expect("small")];
    Frame::message(
        &json!({ "pusher": pusher, "number": number, "secret": SECRET, "text": "x".repeat(length) }),
    )
    .expect("a message")
}

/// Pushes to all, alone or several together, at once or by the queue.
async fn push(server: &Server, to: &[ConnectionId], pusher: usize) {
    let (mut number, mut turn) = (0, 0);
    while number < MESSAGES {
        turn += 1;
        match turn % 2 {
            0 => {
                for id in to {
                    server.hub.push(id, message(pusher, number)).await.expect("room");
                }
                number += 1;
            }
            _ => {
                let count = (1 + turn % 3).min(MESSAGES - number);
                let frames: Vec<_> = (0..count).map(|more| message(pusher, number + more)).collect();
                let pushed = server.hub.push_many(to, &frames).await;
                assert!(pushed.iter().all(Result::is_ok), "{pushed:?}");
                number += count;
            }
        }
        if turn % 5 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads all of it, while it asks and pings itself.
async fn read(mut client: Client, pause: Duration) -> Client {
    let (mut next, mut asked, mut answered) = ([0; PUSHERS], 0, 0);
    let all = MESSAGES * PUSHERS as u64;
    while next.iter().any(|next| *next < MESSAGES) || answered < asked {
        // Now and then, one at a time.
        if asked == answered && asked < ASKS * next.iter().sum::<u64>() / all {
            asked += 1;
            client.socket.send(Message::Ping(vec![0; 100].into())).await.expect("sent");
            client.ask(&asked.to_string(), "echo", json!(SECRET)).await;
        }
        let message = client.frame().await;
        if let Some(pusher) = message["pusher"].as_u64() {
            let next = &mut next[usize::try_from(pusher).expect("small")];
            assert_eq!(message["number"], *next, "in the order in which it was pushed");
            *next += 1;
            if next.is_multiple_of(100) {
                tokio::time::sleep(pause).await;
            }
        } else {
            answered += 1;
            assert_eq!(message["request_id"], answered.to_string());
        }
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_push_arrives_in_order_and_whole() {
    let server = setup().start().await;
    let mut clients = Vec::new();
    for user in 0..6 {
        let token = Token::of(&format!("user-{user}"), "acme");
        clients.push(match user % 2 {
            0 => Client::connect(&server, &token).await,
            _ => Client::narrow(&server, &token).await,
        });
    }
    let to = ids(&server).await;
    assert_eq!(to.len(), 6);
    let reading = clients.into_iter().enumerate().map(|(client, socket)| {
        // Some read without a pause, some are always behind.
        let pause = Duration::from_millis(if client < 3 { 0 } else { 10 });
        tokio::spawn(read(socket, pause))
    });
    let reading: Vec<_> = reading.collect();
    join_all((0..PUSHERS).map(|pusher| push(&server, &to, pusher))).await;
    for reading in reading {
        in_time("all of it is read", reading).await.expect("in order").leave().await;
    }
    server.finish().await;
}

/// What does not fit into the socket is ended before the close, and nothing comes after that.
#[tokio::test]
async fn a_frame_that_was_begun_is_ended_before_the_close() {
    let server = setup().start().await;
    let mut client = Client::narrow(&server, &Token::ada()).await;
    let to = ids(&server).await;
    let frame = Frame::message(&format!("{SECRET}{}", "x".repeat(8 * 1024 * 1024))).expect("a text");
    assert_eq!(server.hub.push_many(&to, std::slice::from_ref(&frame)).await, [Ok(())]);
    server.hub.disconnect(&to[0], CloseCode::Disconnected).await.expect("open");
    assert!(server.hub.push_many(&to, std::slice::from_ref(&frame)).await[0].is_err());
    assert_eq!(client.text().await.as_bytes(), &**frame.bytes());
    assert_eq!(client.closed().await, CloseCode::Disconnected.as_u16());
    server.finish().await;
}
