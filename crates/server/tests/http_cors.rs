//! Calls from pages of other origins.

use serde_json::json;

use crate::harness::{Answer, Http, Server, Setup, Token};

async fn start(origins: &[&str], credentials: bool) -> Server {
    let mut setup = Setup::default();
    setup.settings.http.allowed_origins = origins.iter().map(ToString::to_string).collect();
    setup.settings.http.allow_credentials = credentials;
    setup.start().await
}

async fn preflight(server: &Server, origin: &str) -> Answer {
    Http::new("OPTIONS", server.addr, "/v1/requests")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type, prefer")
        .send()
        .await
}

async fn call(server: &Server, origin: &str) -> Answer {
    Http::submit(server.addr, "a", "echo", json!(1)).header("origin", origin).send().await
}

/// The headers that are about origins, but for those that only a preflight has.
fn granted(answer: &Answer) -> [Option<&str>; 3] {
    ["access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"]
        .map(|name| answer.header(name))
}

#[tokio::test]
async fn without_allowed_origins_nothing_is_said() {
    let server = start(&[], false).await;
    let answer = preflight(&server, "https://app.example").await;
    assert_eq!((answer.status, answer.head.contains("access-control")), (405, false));
    let answer = call(&server, "https://app.example").await;
    assert_eq!((answer.status, answer.head.contains("access-control")), (200, false));
    server.finish().await;
}

#[tokio::test]
async fn an_allowed_origin_may_call_and_read() {
    let server = start(&["https://app.example", "http://localhost:5173"], false).await;
    for origin in ["https://app.example", "http://localhost:5173"] {
        let answer = preflight(&server, origin).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(granted(&answer), [Some(origin), None, None]);
        assert_eq!(answer.header("access-control-allow-methods"), Some("get, head, post, delete"));
        let headers = answer.header("access-control-allow-headers").expect("some");
        for name in ["authorization", "content-type", "idempotency-key", "prefer", "last-event-id"] {
            assert!(headers.contains(name), "{name}: {headers}");
        }
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        let answer = call(&server, origin).await;
        assert_eq!(granted(&answer), [Some(origin), None, Some("location, retry-after, preference-applied")]);
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    // What went wrong can be read too.
    let refused = Http::get(server.addr, "/v1/usage").header("origin", "https://app.example").send().await;
    assert_eq!((refused.status, granted(&refused)[0]), (401, Some("https://app.example")));
    let nowhere = Http::get(server.addr, "/v2/usage").header("origin", "https://app.example").send().await;
    assert_eq!((nowhere.status, granted(&nowhere)[0]), (404, Some("https://app.example")));
    assert_eq!(nowhere.header("vary"), Some("origin"));
    let plain = Http::submit(server.addr, "a", "echo", json!(1)).send().await;
    assert_eq!((granted(&plain), plain.header("vary")), ([None; 3], Some("origin")));
    server.finish().await;
}

#[tokio::test]
async fn another_origin_is_answered_and_not_let_read() {
    let server = start(&["https://app.example"], true).await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://app.example:8443",
        "null",
        "*",
    ] {
        let answer = preflight(&server, origin).await;
        assert_eq!((answer.status, granted(&answer)), (204, [None; 3]), "{origin}");
        assert_eq!(answer.header("access-control-allow-methods"), None);
        assert_eq!(granted(&call(&server, origin).await), [None; 3], "{origin}");
    }
    let mine = call(&server, "https://app.example").await;
    assert_eq!(granted(&mine)[..2], [Some("https://app.example"), Some("true")]);
    server.finish().await;
}

#[tokio::test]
async fn any_origin_is_never_given_credentials() {
    let server = start(&["*"], false).await;
    assert_eq!(granted(&call(&server, "https://any.example").await)[..2], [Some("*"), None]);
    server.finish().await;
    let server = start(&["*"], true).await;
    assert_eq!(granted(&call(&server, "https://any.example").await), [None; 3]);
    // A link to a file is bound by the same rules.
    let file = Http::get(server.addr, "/v1/artifacts/a").bearer(&Token::ada()).send().await;
    assert_eq!((file.status, file.header("vary")), (404, Some("origin")));
    server.finish().await;
}
