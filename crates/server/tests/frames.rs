//! Frames that break the rules: each is answered by the close that fits, which its sender gets to read.

use serde_json::json;
use streamer_protocol::MESSAGE_BYTES_MAX;
use tokio::io::AsyncWriteExt;

use crate::harness::{BINARY, Client, PING, PONG, Raw, SECRET, Server, TEXT, Token, frame, head};

/// Sends the bytes, reads the close, and gives its code and the ending in the log.
async fn close_of(bytes: &[u8]) -> (u16, String) {
    let server = Server::start().await;
    let mut bystander = Client::connect(&server, &Token::of("bob", "globex")).await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(bytes).await;
    let code = raw.closed().await;
    let ending = server.endings(1).await.remove(0);
    assert_eq!(ending["user_id"], "ada");
    bystander.echo("not concerned").await;
    bystander.leave().await;
    server.empty().await;
    server.finish().await;
    (code, ending["disconnect_reason"].as_str().expect("a reason").to_owned())
}

fn ending(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn a_binary_message_is_1003() {
    assert_eq!(close_of(&frame(BINARY, SECRET.as_bytes())).await, ending(1003, "binary_frame"));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    assert_eq!(close_of(&frame(TEXT, b"\xff\xfe")).await, ending(1007, "invalid_text"));
    // A character that its second fragment does not finish, and one that none finishes.
    let split = [frame(0x01, b"\"\xc3"), frame(0x80, b"\x28\"")].concat();
    assert_eq!(close_of(&split).await, ending(1007, "invalid_text"));
    let unfinished = [frame(0x01, b"\"\xe2"), frame(0x80, b"\x82")].concat();
    assert_eq!(close_of(&unfinished).await, ending(1007, "invalid_text"));
    // A surrogate, and a character in more bytes than it needs.
    assert_eq!(close_of(&frame(TEXT, b"\"\xed\xa0\x80\"")).await, ending(1007, "invalid_text"));
    assert_eq!(close_of(&frame(TEXT, b"\"\xc0\xaf\"")).await, ending(1007, "invalid_text"));
}

#[tokio::test]
async fn an_unmasked_frame_is_1002() {
    assert_eq!(close_of(&[TEXT, 2, b'{', b'}']).await, ending(1002, "protocol_error"));
}

#[tokio::test]
async fn reserved_bits_and_unknown_kinds_are_1002() {
    for first in
        [TEXT | 0x40, TEXT | 0x20, TEXT | 0x10, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f]
    {
        assert_eq!(close_of(&frame(first, b"{}")).await, ending(1002, "protocol_error"), "{first:x}");
    }
    assert_eq!(close_of(&frame(0x80, b"continues nothing")).await, ending(1002, "protocol_error"));
    assert_eq!(close_of(&frame(PING, &[0; 126])).await, ending(1002, "protocol_error"));
}

#[tokio::test]
async fn a_control_frame_in_fragments_is_1002() {
    assert_eq!(close_of(&frame(0x09, b"a")).await, ending(1002, "protocol_error"));
    assert_eq!(close_of(&frame(0x08, b"\x03\xe8")).await, ending(1002, "protocol_error"));
}

#[tokio::test]
async fn a_message_amid_another_is_1002() {
    let amid = [frame(0x01, b"\"a"), frame(TEXT, b"{}")].concat();
    assert_eq!(close_of(&amid).await, ending(1002, "protocol_error"));
}

#[tokio::test]
async fn a_broken_close_is_answered_by_1002() {
    // Half a code, codes that nobody may send, a reason that is no text, a reason that is too long.
    let too_long = [&[0x03, 0xe8][..], &[b'x'; 124]].concat();
    for payload in
        [&b"\x03"[..], b"\x00\x07", b"\x03\xed", b"\x03\xee", b"\x0b\xb7", b"\x03\xe8\xff", &too_long]
    {
        let server = Server::start().await;
        let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
        raw.send(&frame(0x88, payload)).await;
        let (first, answer) = raw.frame().await;
        assert_eq!((first, u16::from_be_bytes([answer[0], answer[1]]) / 10), (0x88, 100), "{payload:x?}");
        assert_ne!(answer[..2], 1000_u16.to_be_bytes(), "{payload:x?}");
        raw.ended().await;
        drop(raw);
        server.endings(1).await;
        server.empty().await;
        server.finish().await;
    }
}

#[tokio::test]
async fn fragments_with_pings_between_are_one_message() {
    let server = Server::start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    let message = json!({ "id": "a", "action": "echo", "payload": "é€😀".repeat(10) }).to_string();
    // Cut amid characters.
    let mut bytes = frame(0x01, &[]);
    for byte in message.bytes() {
        bytes.extend(frame(0x00, &[byte]));
        bytes.extend(frame(PING, &[byte]));
    }
    bytes.extend(frame(0x80, &[]));
    raw.send(&bytes).await;
    let mut pongs = Vec::new();
    let answer = loop {
        match raw.frame().await {
            (PONG, payload) => pongs.extend(payload),
            (TEXT, answer) => break answer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        pongs,
        message.as_bytes(),
        "each ping is answered, in order, before the message that they interrupt"
    );
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["data"]["echo"], "é€😀".repeat(10));
    drop(raw);
    server.empty().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_at_the_limit_is_answered_and_one_byte_more_is_1009() {
    let message = |len: usize| {
        let empty = json!({ "id": "a", "action": "echo", "payload": "" }).to_string();
        json!({ "id": "a", "action": "echo", "payload": "x".repeat(len - empty.len()) }).to_string()
    };
    let server = Server::start().await;
    let mut client = Client::ada(&server).await;
    client.send(message(MESSAGE_BYTES_MAX)).await;
    assert_eq!(client.frame().await["type"], "response");
    client.send(message(MESSAGE_BYTES_MAX + 1)).await;
    assert_eq!(client.closed().await, 1009);
    assert_eq!(server.ending().await, "message_too_large");
    server.finish().await;
}

#[tokio::test]
async fn a_huge_length_is_1009_before_anything_is_kept_for_it() {
    let mut bytes = head(TEXT, 1 << 62);
    bytes.extend(b"{}");
    assert_eq!(close_of(&bytes).await, ending(1009, "message_too_large"));
}

#[tokio::test]
async fn a_fragmented_message_over_the_limit_is_1009() {
    let mut bytes = frame(0x01, &vec![b' '; 100_000]);
    bytes.extend(frame(0x80, &vec![b' '; 100_000]));
    assert_eq!(close_of(&bytes).await, ending(1009, "message_too_large"));
}

/// A client that writes all that it has before it reads: closed hard, it would be reset and never know why.
#[tokio::test]
async fn who_is_still_writing_a_large_message_reads_1009_afterwards() {
    let server = Server::start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&frame(TEXT, &vec![b' '; 5 * 1024 * 1024])).await;
    assert_eq!(raw.frame().await, (0x88, [&1009_u16.to_be_bytes()[..], b"message too large"].concat()));
    // It does not have to answer the close.
    raw.stream.shutdown().await.expect("open");
    raw.ended().await;
    assert_eq!(server.ending().await, "message_too_large");
    server.finish().await;
}

#[tokio::test]
async fn who_never_answers_a_close_is_waited_for_only_so_long() {
    let mut setup = crate::harness::Setup::default();
    setup.settings.close_timeout = std::time::Duration::from_millis(100);
    let server = setup.start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&frame(BINARY, b"")).await;
    assert_eq!(server.ending().await, "binary_frame");
    // It has not even looked yet, and still reads why.
    assert_eq!(raw.closed().await, 1003);
    server.finish().await;
}

#[tokio::test]
async fn a_ping_is_answered_and_a_flood_of_them_holds_nobody_up() {
    let server = Server::start().await;
    let mut raw = Raw::websocket(server.addr, &Token::ada()).await;
    raw.send(&frame(PING, b"hello")).await;
    assert_eq!(raw.frame().await, (PONG, b"hello".to_vec()));

    // Pings without end, and no answer is read: the server takes so many, and closes.
    let pings = frame(PING, &[b'p'; 125]).repeat(1000);
    let flood = async {
        for _ in 0..400 {
            if raw.stream.write_all(&pings).await.is_err() {
                return;
            }
        }
    };
    let mut bystander = Client::ada(&server).await;
    let flooding = tokio::time::timeout(std::time::Duration::from_secs(1), flood);
    let (_, ()) = tokio::join!(flooding, bystander.echo("not held up"));
    drop(raw);
    assert_eq!(server.endings(1).await[0]["disconnect_reason"], "rate_limited");
    bystander.leave().await;
    server.finish().await;
}
