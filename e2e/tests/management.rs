//! The connection management API, called by boto3 and the AWS command line as anybody installs them.

use serde_json::{Value, json};
use streamer_e2e::{
    aws::{Called, Key},
    peer::{Peer, Said},
    scenario::Place as _,
    server::{Server, Setup},
};

use crate::{aws_clients, server};

const ACME: Key = Key { id: "AKACME", secret: "the-secret-access-key-of-acme-0000000001" };
const ALL: Key = Key { id: "AKALL", secret: "the-secret-access-key-for-everybody-0002" };
const TEMPORARY: Key = Key { id: "AKTEMPORARY", secret: "the-secret-access-key-with-a-token-00003" };
const SESSION_TOKEN: &str = "a-session-token-of-the-tests";

/// A server with these keys, under a stage.
fn keyed() -> Setup {
    let key = |setup: Setup, name: &str, key: Key, whose: (&str, &str)| {
        let setting = |setting: &str| format!("management.credentials.{name}.{setting}");
        setup
            .set(&setting("access_key_id"), key.id)
            .set(&setting("secret_access_key"), key.secret)
            .set(&setting(whose.0), whose.1)
    };
    let setup = server().set("listen.path_prefixes", "/prod").set("connections.message_bytes_max", 2000);
    let setup = key(setup, "acme", ACME, ("tenant", "acme"));
    let setup = key(setup, "all", ALL, ("all_tenants", "true"));
    let setup = key(setup, "temporary", TEMPORARY, ("tenant", "acme"));
    setup.set("management.credentials.temporary.session_token", SESSION_TOKEN)
}

/// The ids of the connections of a tenant.
async fn connected(server: &Server, tenant: &str) -> String {
    let listed = server.inspect(&format!("/v1/connections?tenant={tenant}")).await.json();
    listed["connections"][0]["connection_id"].as_str().expect("one connection").to_owned()
}

fn call(server: &Server, name: &str, key: Key, id: &str) -> Value {
    let endpoint = format!("{}/prod", server.http_url().expect("it has one"));
    json!({ "call": name, "endpoint": endpoint, "id": id, "key_id": key.id, "secret": key.secret })
}

fn post(server: &Server, key: Key, id: &str, more: Value) -> Value {
    let mut call = call(server, "post_to_connection", key, id);
    call["data"] = "{\"hello\": 1}".into();
    let more = more.as_object().expect("an object").clone();
    call.as_object_mut().expect("an object").extend(more);
    call
}

fn outcome(called: &Called) -> (u16, Option<&str>) {
    (called.status, called.raised.as_deref())
}

/// Nothing has come: the next message is the answer to this.
async fn heard_nothing(peer: &mut Peer) {
    peer.send("nothing-before", "ping", json!({})).await;
    assert_eq!(peer.frame().await["request_id"], "nothing-before");
}

#[tokio::test]
async fn boto3_sends_shows_and_closes() {
    let server = keyed().start().await;
    let Some(clients) = aws_clients(server.folder()) else { return };
    let mut ada = server.peer("ada", "acme").await;
    let mut eve = server.peer("eve", "globex").await;
    let (id, hers) = (connected(&server, "acme").await, connected(&server, "globex").await);
    let filled = |bytes: usize| json!({ "bytes": bytes });
    let plain = format!("{}/", server.http_url().expect("it has one"));

    let forbidden = (403, Some("ForbiddenException"));
    let gone = (410, Some("GoneException"));
    let too_large = (413, Some("PayloadTooLargeException"));
    let wrong = Key { secret: ALL.secret, ..ACME };
    let nobody = Key { id: "AKNOBODY", ..ACME };
    let cases = [
        (post(&server, ACME, &id, json!({})), (200, None)),
        (post(&server, ALL, &id, filled(2000)), (200, None)),
        (post(&server, ACME, &id, json!({ "endpoint": plain })), (200, None)),
        (post(&server, TEMPORARY, &id, json!({ "session_token": SESSION_TOKEN })), (200, None)),
        (post(&server, ACME, &id, json!({ "skew_s": -240 })), (200, None)),
        (call(&server, "get_connection", ACME, &id), (200, None)),
        (post(&server, ACME, &id, filled(2001)), too_large),
        (post(&server, ACME, &id, filled(1_000_000)), too_large),
        // No text: 0xe9 is é in Latin 1, and nothing in UTF-8.
        (post(&server, ACME, &id, json!({ "data": "é" })), (400, Some("ClientError"))),
        (post(&server, ACME, "L0SM9cOFvHcCIhw=", json!({})), gone),
        (post(&server, ACME, &hers, json!({})), gone),
        (call(&server, "get_connection", ACME, &hers), gone),
        (call(&server, "delete_connection", ACME, &hers), gone),
        (post(&server, wrong, &id, json!({})), forbidden),
        (post(&server, nobody, &id, json!({})), forbidden),
        (post(&server, ACME, &id, json!({ "skew_s": -400 })), forbidden),
        (post(&server, ACME, &id, json!({ "skew_s": 400 })), forbidden),
        (post(&server, ACME, &id, json!({ "region": "eu-central-1" })), forbidden),
        (post(&server, ACME, &id, json!({ "payload": "UNSIGNED-PAYLOAD" })), forbidden),
        (post(&server, ACME, &id, json!({ "session_token": SESSION_TOKEN })), forbidden),
        (post(&server, TEMPORARY, &id, json!({})), forbidden),
    ];
    let calls: Vec<Value> = cases.iter().map(|(call, _)| call.clone()).collect();
    let called = clients.boto3(&calls).await;
    assert_eq!(called.len(), cases.len());
    for ((call, expected), called) in cases.iter().zip(&called) {
        assert_eq!(outcome(called), *expected, "{call:.300}: {called:?}");
        assert!(called.request_id.as_ref().is_some_and(|id| id.len() == 36), "{called:?}");
    }
    let shown = &called[5].answer;
    assert_eq!(shown["Identity"]["SourceIp"], "127.0.0.1", "{shown}");
    for moment in ["ConnectedAt", "LastActiveAt"] {
        assert!(shown[moment].as_str().is_some_and(|text| text.starts_with("20")), "{shown}");
    }

    for _ in 0..5 {
        assert_eq!(ada.frame().await, json!({ "hello": 1 }));
    }
    heard_nothing(&mut ada).await;
    heard_nothing(&mut eve).await;

    let closing = [
        call(&server, "delete_connection", ACME, &id),
        call(&server, "get_connection", ACME, &id),
        post(&server, ACME, &id, json!({})),
        call(&server, "delete_connection", ACME, &id),
    ];
    let called = clients.boto3(&closing).await;
    let outcomes: Vec<_> = called.iter().map(outcome).collect();
    assert_eq!(outcomes, [(204, None), gone, gone, gone]);
    assert_eq!(ada.hear().await, Said::Closed(4403));
}

const DOCUMENTATION: &str = include_str!("../../docs/connections-api.md");

/// The one block of the documentation in this language, for this server.
fn documented(language: &str, server: &Server) -> String {
    let (_, block) = DOCUMENTATION.split_once(&format!("```{language}\n")).expect("there is a block");
    let (block, _) = block.split_once("```").expect("it ends");
    assert!(language == "toml" || block.contains("127.0.0.1:8080/prod"), "{block}");
    block.replace("127.0.0.1:8080", &server.listen().to_string())
}

#[tokio::test]
async fn the_documentation_works_as_it_is_written() {
    let server = keyed().start().await;
    let configuration = documented("toml", &server);
    std::fs::write(server.folder().join("streamer.toml"), configuration).expect("written");
    let variable = "STREAMER_MANAGEMENT__CREDENTIALS__BACKEND__SECRET_ACCESS_KEY";
    assert!(DOCUMENTATION.contains(variable));
    let check = ["config", "check", "--set", "auth.public_key_file=public.pem"];
    let shell = server.shell();
    assert!(shell.run(check).await.failed(1).contains("management.credentials.backend.secret_access_key"));
    let told = shell.variable(variable, ACME.secret).run(check).await.succeeded();
    assert!(told.contains("valid"), "{told}");

    let Some(clients) = aws_clients(server.folder()) else { return };
    let mut ada = server.peer("ada", "acme").await;
    let id = connected(&server, "acme").await;
    assert_eq!(clients.sh(ACME, &id, &documented("sh", &server)).await.succeeded(), "");
    assert_eq!(ada.frame().await, json!({ "hello": "world" }));
    let python = documented("python", &server);
    assert_eq!(clients.python(ACME, &id, &python).await.succeeded(), "");
    assert_eq!(ada.frame().await, json!({ "hello": "again" }));
    // Who left is passed over.
    assert_eq!(clients.python(ACME, "L0SM9cOFvHcCIhw=", &python).await.succeeded(), "");
}

#[tokio::test]
async fn the_aws_command_line_sends_shows_and_closes() {
    let server = keyed().start().await;
    let Some(clients) = aws_clients(server.folder()) else { return };
    let mut ada = server.peer("ada", "acme").await;
    let id = connected(&server, "acme").await;
    let endpoint = format!("{}/prod", server.http_url().expect("it has one"));
    let aws = async |key: Key, verb: &str, more: &[&str]| {
        let named = ["apigatewaymanagementapi", verb, "--endpoint-url", &endpoint, "--connection-id", &id];
        clients.aws(key, &[&named, more].concat()).await
    };
    let data = ["--data", "{\"hello\": \"from the command line\"}"];
    assert_eq!(aws(ACME, "post-to-connection", &data).await.succeeded(), "");
    assert_eq!(ada.frame().await["hello"], "from the command line");
    let shown = aws(ACME, "get-connection", &["--output", "json"]).await.succeeded();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["Identity"]["SourceIp"], "127.0.0.1", "{shown}");

    let wrong = Key { secret: ALL.secret, ..ACME };
    let refused = aws(wrong, "post-to-connection", &data).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("ForbiddenException"), "{refused}");

    assert_eq!(aws(ACME, "delete-connection", &[]).await.succeeded(), "");
    assert_eq!(ada.hear().await, Said::Closed(4403));
    let gone = aws(ACME, "post-to-connection", &data).await;
    assert!(gone.code != Some(0) && gone.stderr.contains("GoneException"), "{gone}");
}
