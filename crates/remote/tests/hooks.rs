//! Who connects, and who has left.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use streamer_engine::protocol::Timestamp;
use streamer_remote::{Admitted, Disconnected, Hook, Knock, Refused};

use crate::harness::{Script, Step, ok, raw, remote};

fn knock() -> Knock {
    Knock {
        connection_id: Some("c-1".to_owned()),
        method: None,
        path: "/ws".to_owned(),
        query: BTreeMap::from([("room".to_owned(), "7".to_owned())]),
        headers: BTreeMap::from([("cookie".to_owned(), "session=1".to_owned())]),
        ip_address: "192.0.2.7".to_owned(),
    }
}

async fn asked(steps: Vec<Step>) -> Result<Admitted, Refused> {
    let script = Script::always(steps).await;
    Hook::new(remote().target(script.address("/connect")), Duration::from_millis(300)).connect(&knock()).await
}

#[tokio::test]
async fn the_application_says_who_it_is() {
    let script = Script::always(vec![ok(
        r#"{"user_id": "ada", "tenant_id": "acme", "permissions": ["read"], "expires_at": "2026-11-21T09:41:43.000Z"}"#,
    )])
    .await;
    let hook = Hook::new(remote().target(script.address("/connect")), Duration::from_secs(5));
    let admitted = hook.connect(&knock()).await.expect("is let in");
    assert_eq!((admitted.user_id.as_str(), admitted.tenant_id.as_str()), ("ada", "acme"));
    assert_eq!((admitted.permissions, admitted.topics), (vec!["read".to_owned()], Vec::new()));
    assert_eq!(admitted.expires_at, Some(Timestamp::parse("2026-11-21T09:41:43.000Z").expect("a time")));
    let question = script.asked().await.remove(0);
    assert!(question.header("signature-input").contains("k1="));
    let expected = json!({
        "type": "connect", "connection_id": "c-1", "path": "/ws", "query": { "room": "7" },
        "headers": { "cookie": "session=1" }, "ip_address": "192.0.2.7",
    });
    assert_eq!(question.json(), expected);
    assert_eq!(
        (question.header("streamer-event"), question.header("streamer-connection-id")),
        ("connect", "c-1")
    );

    let call = Knock {
        connection_id: None,
        method: Some("POST".to_owned()),
        path: "/v1/requests".to_owned(),
        ..knock()
    };
    hook.connect(&call).await.expect("is let in");
    let question = script.asked().await.remove(1);
    let expected = json!({
        "type": "call", "method": "POST", "path": "/v1/requests", "query": { "room": "7" },
        "headers": { "cookie": "session=1" }, "ip_address": "192.0.2.7",
    });
    assert_eq!(question.json(), expected);
    assert_eq!(question.header("streamer-event"), "call");
}

#[tokio::test]
async fn whatever_is_no_clear_answer_lets_nobody_in() {
    let json = "content-type: application/json\r\n";
    for (steps, expected) in [
        (vec![raw("401 Unauthorized", "", "")], Refused::Unauthorized),
        (vec![raw("403 Forbidden", json, "{}")], Refused::Forbidden),
        (vec![raw("404 Not Found", "", "")], Refused::Unavailable),
        (vec![raw("500 Oops", "", "")], Refused::Unavailable),
        (vec![raw("302 Found", "location: /login\r\n", "")], Refused::Unavailable),
        (vec![raw("200 OK", "content-type: text/html\r\n", "<html>log in</html>")], Refused::Unavailable),
        (vec![raw("204 No Content", "", "")], Refused::Unavailable),
        (vec![ok("{}")], Refused::Unavailable),
        (vec![ok("null")], Refused::Unavailable),
        (vec![ok(r#"{"user_id": "ada"}"#)], Refused::Unavailable),
        (vec![ok(r#"{"user_id": 7, "tenant_id": "acme"}"#)], Refused::Unavailable),
        (vec![ok(r#"{"user_id": "ada", "tenant_id": "acme", "expires_at": "soon"}"#)], Refused::Unavailable),
        (vec![Step::Close], Refused::Unavailable),
        (vec![Step::Hang], Refused::Unavailable),
        (
            vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), Step::Hang],
            Refused::Unavailable,
        ),
    ] {
        let what = format!("{steps:?}");
        assert_eq!(asked(steps).await, Err(expected), "{what}");
    }
}

#[tokio::test]
async fn a_disconnect_is_told_a_few_times_until_it_is_heard() {
    let left = Disconnected {
        connection_id: "c-1".to_owned(),
        user_id: "ada".to_owned(),
        tenant_id: "acme".to_owned(),
        reason: "client_closed".to_owned(),
        connected_at: Timestamp::from_millis(0),
        disconnected_at: Timestamp::from_millis(1000),
    };
    let script = Script::play(|asked| match asked.number {
        0 => vec![raw("500 Oops", "", "")],
        _ => vec![raw("204 No Content", "", "")],
    })
    .await;
    let hook = Hook::new(remote().target(script.address("/left")), Duration::from_secs(5));
    hook.disconnect(&left).await;
    let asked = script.asked().await;
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (&asked[1].json()["type"], &asked[1].json()["reason"]),
        (&json!("disconnect"), &json!("client_closed"))
    );

    let deaf = Script::always(vec![raw("500 Oops", "", "")]).await;
    Hook::new(remote().target(deaf.address("/left")), Duration::from_secs(5)).disconnect(&left).await;
    assert_eq!(deaf.asked().await.len(), 4, "and no more");
}
