//! The server dies at each place around a durable step in turn, under the same load: what was acknowledged is done,
//! once, and who comes back misses nothing.
//!
//! `FAILPOINT=commit.after cargo test -p streamer-e2e failpoints` dies at one place only, `FAILPOINT=commit` at both.

use std::{os::unix::process::ExitStatusExt as _, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;
use streamer_e2e::{
    audit,
    client::{Client, Ends, Errand, TENANT},
    http,
    origin::{Asked, Origin, Reply},
    patience::{until, within},
    peer::Peer,
    publisher::Publisher,
    scenario::Place as _,
    server::{ADMIN_TOKEN, Server, Setup},
    subscriber::Subscriber,
};
use streamer_engine::failpoint::Step;
use tokio::{
    sync::watch,
    task::{JoinHandle, LocalSet, spawn_local},
};

/// How many servers live and die at once.
const AT_ONCE: usize = 8;

/// Two hundred hours: longer than anything is kept.
const MUCH_LATER_S: &str = "720000";

/// SIGABRT, by its number on every Unix.
const ABORTED: i32 = 6;

/// What must have happened before a server can come to a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing: there is no file yet.
    Nothing,
    /// The load is on it.
    Load,
    /// The load is on it, and it is asked to stop.
    LoadAndStop,
    /// A former life died under load.
    FormerLife,
    /// A former life had done all of it, long ago.
    LongAgo,
}

/// What it takes to come to a step, and after how many arrivals the server dies: once for each.
const fn way_to(step: Step) -> (Before, &'static [u32]) {
    match step {
        Step::Migrate => (Before::Nothing, &[1]),
        Step::Connect | Step::Promote | Step::Cancel | Step::Replay | Step::Renew => (Before::Load, &[1]),
        Step::Keep | Step::ArtifactBytes | Step::ArtifactName => (Before::Load, &[1]),
        Step::AppendMessages => (Before::Load, &[1, 4]),
        Step::Touch | Step::Disconnect => (Before::Load, &[1]),
        Step::Enqueue | Step::Retry => (Before::Load, &[1, 3]),
        Step::Take | Step::Announced | Step::PutOff | Step::GiveUp | Step::Revive => (Before::Load, &[1]),
        // One claim may take all that is due.
        Step::Claim => (Before::Load, &[1, 2]),
        Step::Finish => (Before::Load, &[2, 5]),
        Step::Append => (Before::Load, &[1, 6, 15]),
        Step::Group | Step::Commit => (Before::Load, &[7, 15, 25, 40]),
        Step::Release | Step::LogCopy => (Before::LoadAndStop, &[1]),
        Step::ForgetEndpoint | Step::Reclaim => (Before::FormerLife, &[1]),
        Step::PurgeRequests | Step::PurgeConnections | Step::PurgeArtifacts => (Before::LongAgo, &[1]),
        Step::PurgeTopics | Step::ArtifactRemoval => (Before::LongAgo, &[1]),
    }
}

/// Something of everything.
fn errands() -> Vec<Errand> {
    let report = json!({ "start_date": "2024-01-01", "end_date": "2024-01-31", "format": "csv" });
    vec![
        Errand::new("echo", json!("short")),
        Errand::new("delay", json!({ "seconds": 1.6, "chunks": 8 })),
        Errand::new("echo_async", json!("queued")),
        Errand::new("flaky", json!({ "failures": 2 })),
        // Short, until it hands out a chunk.
        Errand::new("delay", json!({ "seconds": 0.35, "chunks": 3 })),
        Errand::new("generate_report", report),
        Errand::new("doomed", json!({})).ending(Ends::Badly),
        Errand::new("delay", json!({ "seconds": 600, "chunks": 6000 })).ending(Ends::Cancelled),
        Errand::new("echo_async", json!("later")).delayed(500),
        Errand::new("echo_async", json!("queued again")),
    ]
}

/// Who is told outcomes: hears each of `echo_async` the second time, and is gone for good where those of `doomed` are told.
async fn hearing() -> Origin {
    Origin::answering(|asked: &Asked| match (asked.path(), asked.header("streamer-delivery")) {
        ("/gone", _) => Reply::Json(410, json!({})),
        (_, Some("1")) => Reply::Json(500, json!({})),
        _ => Reply::Json(200, json!({})),
    })
    .await
}

/// Every outcome was told.
async fn hold_told(hearing: &Origin, clients: &[Client]) {
    for sent in
        clients.iter().flat_map(|client| &client.ended).filter(|sent| sent.errand.action == "echo_async")
    {
        until("an outcome to be told", async || {
            let heard = |asked: &Asked| {
                asked.body["request_id"] == sent.heard.id && asked.header("streamer-delivery") != Some("1")
            };
            hearing.asked(0).await.iter().any(heard).then_some(())
        })
        .await;
    }
}

/// An operator has an outcome told again that was given up.
async fn told_again(admin: std::net::SocketAddr) {
    let first = until("an outcome to be given up", async || {
        let listed = http::try_call(admin, "GET", "/v1/webhooks", Some(ADMIN_TOKEN), None).await?.json();
        // Not of a request that is replayed meanwhile: its outcome is no longer there to be told.
        listed["webhooks"].as_array()?.iter().find(|webhook| webhook["user_id"] != "replayed").cloned()
    })
    .await;
    let name = |field: &str| first[field].as_str().expect("a name").to_owned();
    let retry = format!("/v1/webhooks/{TENANT}/{}/{}/retry", name("user_id"), name("request_id"));
    until("it to be told again", async || {
        let answer = http::try_call(admin, "POST", &retry, Some(ADMIN_TOKEN), Some(&json!({}))).await?;
        // It may be under way since an answer that was lost.
        matches!(answer.status, 202 | 404).then_some(())
    })
    .await;
}

fn setup(hearing: &Origin) -> Setup {
    Setup::new(crate::BAD_HANDLERS)
        .set("remote.signing_keys.k1", "a-key-of-the-tests-with-32-characters")
        .set("remote.webhook_timeout_ms", 1000)
        .set("remote.webhook_retry_base_ms", 100)
        .set("remote.breaker_failures_max", 1000)
        .set("actions.echo_async.webhook_url", hearing.url("/told"))
        .set("actions.doomed.webhook_url", hearing.url("/gone"))
        .set("engine.short_limit_ms", 400)
        .set("engine.lease_s", 3)
        .set("engine.retry_base_ms", 100)
        .set("engine.purge_interval_s", 1)
        .set("connections.heartbeat_s", 2)
        .set("drain.timeout_s", 4)
        .set("drain.linger_ms", 0)
        .set("topics.histories", r#"{ "kept." = { kind = "durable" } }"#)
}

/// The topic whose history is held against what was answered.
const TOPIC: &str = "kept.news";

/// How many messages each of its publishers publishes, one after the other.
const MESSAGES: usize = 8;

/// What was published is there, in order, without a gap.
async fn hold_published(server: &Server, publishers: &[Publisher]) {
    let reader = Subscriber::new("reader", server.ws_url(), TOPIC).read();
    within("the topic to be read", reader).await.hold(publishers);
}

/// Comes, is answered and leaves; and comes again, until it is told to stop.
async fn come_and_go(url: String, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let token = streamer_e2e::issuer::Issuer::shared().token("passing", TENANT);
        if let Ok(mut peer) = Peer::try_connect(&url, Some(&token)).await {
            peer.send("hello", "ping", json!({})).await;
            peer.hear().await;
            peer.leave().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A request that fails, and that an operator gives a second chance as often as it takes.
fn replayed(server: &Server) -> impl Future<Output = ()> + use<> {
    let (url, admin) = (server.ws_url(), server.admin());
    async move {
        let live = Client::new("replayed", &url, [Errand::new("doomed", json!({})).ending(Ends::Badly)]);
        let client = live.live(watch::channel(false).1).await;
        let first = &client.ended[0].heard;
        let path = format!("/v1/requests/{TENANT}/replayed/{}", first.id);
        let attempts = async || {
            let view = http::try_call(admin, "GET", &path, Some(ADMIN_TOKEN), None).await?.json();
            (view["status"] == "FAILED").then(|| view["attempt"].as_u64().expect("a number"))
        };
        let before = until("it to be there", attempts).await;
        until("its second chance", async || {
            let replay = format!("{path}/replay");
            let answer = http::try_call(admin, "POST", &replay, Some(ADMIN_TOKEN), Some(&json!({}))).await;
            // Whether an answer that was lost said yes, the attempts tell.
            let again = answer.is_some_and(|answer| answer.status == 200);
            (again || attempts().await.is_some_and(|now| now > before)).then_some(())
        })
        .await;
        until("its second end", async || attempts().await.filter(|now| *now > before)).await;
    }
}

/// The load, until all of it is done; then the clients, and where what was published stands.
struct Load {
    clients: JoinHandle<(Vec<Client>, [Publisher; 2])>,
    stop: watch::Sender<bool>,
}

impl Load {
    fn on(server: &Server) -> Self {
        let (stop, stopped) = watch::channel(false);
        let clients: Vec<_> = ["ada", "bob"]
            .map(|user| Client::new(user, server.ws_url(), errands()).live(watch::channel(false).1))
            .into();
        let passing = come_and_go(server.ws_url(), stopped);
        let replayed = replayed(server);
        let publisher = |user| Publisher::new(user, server.ws_url(), TOPIC, MESSAGES);
        let publishers = [publisher("writer"), publisher("writer with keys").keyed()];
        let publishers = publishers.map(|publisher| publisher.live(watch::channel(false).1));
        let telling = told_again(server.admin());
        let clients = spawn_local(async move {
            let clients = futures_util::future::join_all(clients);
            let publishing = async {
                let [writer, keyed] = publishers;
                let (writer, keyed) = tokio::join!(writer, keyed);
                [writer, keyed]
            };
            let (clients, (), published, ()) = tokio::join!(clients, replayed, publishing, telling);
            (clients, published)
        });
        spawn_local(passing);
        Self { clients, stop }
    }

    async fn done(self) -> (Vec<Client>, [Publisher; 2]) {
        let clients = within("the clients to be done", self.clients).await.expect("all promises hold");
        let _ = self.stop.send(true);
        clients
    }
}

/// Lets a server die at one place, start again, and keep what was promised.
async fn die_at(before: &Before, place: &str) {
    let hearing = hearing().await;
    let mut server = setup(&hearing).prepared();
    let load = match before {
        Before::Nothing => None,
        Before::Load | Before::LoadAndStop => Some(Load::on(&server)),
        Before::FormerLife => {
            server.restart().await;
            let load = Load::on(&server);
            until("work to be under way", async || is_working(&server).await.then_some(())).await;
            server.kill().await;
            Some(load)
        }
        Before::LongAgo => {
            server.restart().await;
            let (clients, published) = Load::on(&server).done().await;
            hold_published(&server, &published).await;
            for client in &clients {
                audit::hold(&server, client).await;
            }
            // Somebody who is connected when it dies.
            let _peer = server.peer("ada", TENANT).await;
            server.kill().await;
            std::fs::write(server.folder().join("clock"), MUCH_LATER_S).expect("written");
            // Its connections are another's, so that they are not forgotten, but expire.
            server.set_variable("STREAMER_LISTEN__ENDPOINT", Some("elsewhere"));
            None
        }
    };
    server.set_variable("STREAMER_CLOCK_FILE", Some("clock"));
    server.set_variable("STREAMER_FAILPOINT", Some(place));
    let status = match server.try_restart().await {
        Err(status) => status,
        Ok(()) => {
            if *before == Before::LoadAndStop {
                until("work to be under way", async || is_working(&server).await.then_some(())).await;
                server.terminate().await;
            }
            server.ended().await
        }
    };
    assert_eq!(status.signal(), Some(ABORTED), "it never came to {place}: {status}");
    server.set_variable("STREAMER_FAILPOINT", None);
    server.restart().await;
    if *before == Before::LongAgo {
        until("all of it to be removed", async || {
            let listed = server.inspect("/v1/requests?tenant=acme").await.json();
            listed["requests"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    } else {
        let load = load.unwrap_or_else(|| Load::on(&server));
        let (clients, published) = load.done().await;
        hold_published(&server, &published).await;
        hold_told(&hearing, &clients).await;
        for client in &clients {
            assert_eq!(client.ended.len(), errands().len(), "{}", client.user);
            audit::hold(&server, client).await;
        }
        audit::nothing_runs_again(&server, &clients).await;
    }
    server.stop().await;
    audit::is_sound(&server).await;
}

/// Whether a request is running that goes on for a while.
async fn is_working(server: &Server) -> bool {
    let path = "/v1/requests?tenant=acme&status=PROCESSING&action=delay";
    let Some(answer) = http::try_call(server.admin(), "GET", path, Some(ADMIN_TOKEN), None).await else {
        return false;
    };
    answer.json()["requests"].as_array().is_some_and(|running| !running.is_empty())
}

#[tokio::test]
async fn a_death_on_either_side_of_every_durable_step_breaks_no_promise() {
    let only = std::env::var("FAILPOINT").unwrap_or_default();
    let places = Step::ALL.iter().flat_map(|step| {
        let (before, counts) = way_to(*step);
        let sides = ["before", "after"].into_iter();
        let at = sides.flat_map(|side| counts.iter().map(move |count| (side, count)));
        at.map(move |(side, count)| (before, format!("{}.{side}:{count}", step.name())))
    });
    let dying = stream::iter(places.filter(|(_, place)| place.starts_with(&only)))
        .map(|(before, place)| async move {
            let died = AssertUnwindSafe(die_at(&before, &place)).catch_unwind().await;
            died.is_err().then_some(place)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect::<Vec<String>>();
    let mut broken = LocalSet::new().run_until(dying).await;
    broken.sort();
    // Why stands above, each with the end of its server's log.
    assert!(broken.is_empty(), "a promise was broken by a death at {}", broken.join(", "));
}
