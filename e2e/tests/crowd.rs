//! Crowds that never say a word, of ten thousand: whoever does is served as if they were not there, each of them costs
//! little, and nothing of them remains.

use std::{fs, io::Write as _, time::Duration};

use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use streamer_e2e::{
    issuer::Issuer,
    patience::{until, within},
    peer::{Peer, Refused},
    promises::Heard,
    scenario::Place as _,
    server::{Server, Setup},
};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use crate::{memory, server};

/// How many there are, where this process may have that many sockets open.
const CROWD: usize = 10_000;

/// Fewer would prove nothing that smaller tests do not.
const CROWD_MIN: usize = 1000;

/// Kept from the crowd: for the tests that run beside this one in this process. One of them has a thousand sockets.
const OTHERS: usize = 1500;

/// So many at a time, so that each comes for itself and none has to wait for the system's queue.
const AT_ONCE: usize = 200;

/// What the server starts with, as many systems have it: too few for any of these crowds.
const OPEN_FILES_AT_FIRST: u32 = 256;

/// What whoever speaks waits at most, from the connection to the last answer. Far less than the crowds stay.
const PROMPTLY: Duration = Duration::from_secs(10);

/// Longer than any test takes.
const FOREVER_S: u32 = 600;

/// One crowd at a time: there are files for one.
static PLACE: Mutex<()> = Mutex::const_new(());

/// The place for a crowd, and how large it may be.
async fn place() -> (MutexGuard<'static, ()>, usize) {
    let place = PLACE.lock().await;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum anybody may");
    let room =
        limit.maximum.map_or(CROWD, |max| usize::try_from(max).unwrap_or(CROWD).saturating_sub(OTHERS));
    assert!(room >= CROWD_MIN, "{limit:?}: too few open files for a crowd");
    if room < CROWD {
        let told = writeln!(
            std::io::stderr(),
            "a crowd of {room} instead of {CROWD}, and not weighed: {limit:?} of open files"
        );
        told.expect("standard error is open");
    }
    (place, room.min(CROWD))
}

fn setup() -> Setup {
    server().open_files_at_first(OPEN_FILES_AT_FIRST)
}

/// So many of what comes one by one, `AT_ONCE` at a time.
async fn gather<T>(count: usize, come: impl AsyncFn() -> T) -> Vec<T> {
    let mut crowd = Vec::with_capacity(count);
    while crowd.len() < count {
        let more = join_all((0..AT_ONCE.min(count - crowd.len())).map(|_| come()));
        crowd.extend(within("more of the crowd", more).await);
    }
    crowd
}

/// Comes, and says nothing.
async fn silent(server: &Server) -> TcpStream {
    TcpStream::connect(server.listen()).await.expect("the address is served")
}

/// Somebody comes, and is answered at once and out of the queue.
async fn is_served(server: &Server, user: &str, tenant: &str) -> Peer {
    let served = async {
        let mut peer = server.peer(user, tenant).await;
        assert_eq!(peer.ask("echo", "echo", json!(user)).await["data"]["echo"], user);
        let mut heard = Heard::nothing_of("queued");
        peer.send("queued", "echo_async", json!(user)).await;
        while heard.end.is_none() {
            heard.take(&peer.frame().await);
        }
        assert_eq!(heard.result()["echo"], user);
        peer
    };
    let served = timeout(PROMPTLY, served).await;
    served.unwrap_or_else(|_| panic!("{user} of {tenant} was not served promptly"))
}

/// How many sockets a server has while nobody is there.
struct Empty(usize);

impl Empty {
    /// Of a server that has served somebody.
    async fn measure(server: &Server) -> Self {
        is_served(server, "first", "acme").await.leave().await;
        nothing_is_left(server).await;
        Self(sockets(server))
    }

    /// Waits until it is so again.
    async fn again(&self, server: &Server) {
        nothing_is_left(server).await;
        until("its sockets to be closed", async || (sockets(server) <= self.0).then_some(())).await;
    }
}

/// A crowd that is in, and what each of it takes, in KiB. Those who come first do not count for that: what they need,
/// in larger pieces, is there for all.
async fn weigh<T>(server: &Server, gauge: &str, crowd: usize, come: impl AsyncFn() -> T) -> (Vec<T>, f64) {
    let are_in = async |count: usize| {
        let look = async || (server.metric(gauge, &[]).await == count as f64).then_some(());
        until("all to be in", look).await;
        resident(server).await
    };
    let first = crowd / 4;
    let mut there = gather(first, &come).await;
    let before = are_in(first).await;
    there.extend(gather(crowd - first, &come).await);
    let taken = are_in(crowd).await - before;
    (there, taken / (crowd - first) as f64 / 1024.0)
}

async fn resident(server: &Server) -> f64 {
    server.metric("process_resident_memory_bytes", &[]).await
}

/// The process's sockets, as the system sees them.
fn sockets(server: &Server) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", server.pid().expect("it runs"))).expect("it runs");
    let targets = files.filter_map(|file| fs::read_link(file.expect("listed").path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Waits until the metrics say so.
async fn nothing_is_left(server: &Server) {
    for gauge in [
        "streamer_sockets_open",
        "streamer_connections_active",
        "streamer_tenants_connected",
        "streamer_requests_open",
        "streamer_engine_tasks",
        "streamer_outbound_waiting_bytes",
        "streamer_outbound_waiting_messages",
    ] {
        let none = format!("{gauge} 0");
        until(&none, async || {
            let metrics = server.inspect("/metrics").await.text();
            metrics.lines().any(|line| line == none).then_some(())
        })
        .await;
    }
}

/// Each takes no more than the book says. A smaller crowd does not show that: beside all of theirs, the pieces are large
/// in which the allocator takes memory.
#[track_caller]
fn is_light(kib_each: f64, gauge: &str, crowd: usize) {
    let max = memory::kib_each_max(gauge);
    assert!(kib_each < max || crowd < CROWD, "{kib_each} KiB each, and {max} are allowed");
}

#[tokio::test]
async fn sockets_that_never_speak_fill_the_door_and_make_room() {
    let (_place, crowd) = place().await;
    let mut server =
        setup().set("listen.head_timeout_s", FOREVER_S).set("listen.sockets_max", crowd).start().await;
    let empty = Empty::measure(&server).await;
    let gauge = "streamer_sockets_open";
    let (mute, each) = weigh(&server, gauge, crowd, async || silent(&server).await).await;
    is_light(each, gauge, crowd);

    let (ada, bob) = (is_served(&server, "ada", "acme").await, is_served(&server, "bob", "globex").await);
    assert_eq!(server.metric(gauge, &[]).await, crowd as f64, "there are no more than may be");
    let displaced = server.metric("streamer_sockets_displaced_total", &[]).await;
    assert!((2.0..=crowd as f64 / 10.0).contains(&displaced), "{displaced} made room for two");
    let closed = |mute: &[TcpStream]| {
        let ends = mute.iter().filter(|socket| socket.try_read(&mut [0]).is_ok_and(|count| count == 0));
        ends.count() as f64
    };
    let (first, last) = mute.split_at(crowd / 2);
    until("the end of who made room", async || (closed(first) == displaced).then_some(())).await;
    assert_eq!(closed(last), 0.0, "who came late stays");

    ada.leave().await;
    bob.leave().await;
    drop(mute);
    empty.again(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn sockets_that_never_speak_are_closed_when_their_time_is_over() {
    const HEAD_TIMEOUT: Duration = Duration::from_secs(4);
    let (_place, crowd) = place().await;
    let mut server = setup().set("listen.head_timeout_s", HEAD_TIMEOUT.as_secs()).start().await;
    let empty = Empty::measure(&server).await;
    let mute = gather(crowd, async || (Instant::now(), silent(&server).await)).await;
    let closing = join_all(mute.into_iter().map(async |(since, mut socket)| {
        let heard = socket.read(&mut [0]).await;
        assert_eq!(heard.expect("it is told"), 0);
        assert!(since.elapsed() >= HEAD_TIMEOUT, "closed after {:?}", since.elapsed());
    }));
    let mut served = 0;
    let serving = async {
        loop {
            is_served(&server, &format!("user-{served}"), "globex").await.leave().await;
            served += 1;
        }
    };
    tokio::select! {
        _ = within("all to be closed", closing) => {}
        () = serving => {}
    }
    assert!(served > 0, "nobody was served meanwhile");
    assert_eq!(server.metric("streamer_sockets_displaced_total", &[]).await, 0.0, "there was room for all");
    empty.again(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_that_never_speak_fill_their_tenant_and_no_other() {
    let (_place, crowd) = place().await;
    let mut server = setup().set("connections.tenant_connections_max", crowd).start().await;
    let empty = Empty::measure(&server).await;
    let (url, token) = (server.ws_url(), Issuer::shared().token("ada", "acme"));
    let gauge = "streamer_connections_active";
    let (mute, each) = weigh(&server, gauge, crowd, async || Peer::connect(&url, &token).await).await;
    is_light(each, gauge, crowd);

    let late = Peer::try_connect(&url, Some(&token)).await;
    assert!(matches!(late, Err(Refused::Answered { status: 429, .. })), "{late:?}");
    let bob = is_served(&server, "bob", "globex").await;
    assert_eq!(server.metric("streamer_tenant_connections", &["acme"]).await, crowd as f64);

    bob.leave().await;
    drop(mute);
    empty.again(&server).await;
    server.stop().await;
}
