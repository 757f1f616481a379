//! How long it takes from a commit until whoever follows the thing's topic over a WebSocket has the change; and until a bare
//! replication client has received it.

use std::{collections::HashMap, ops::ControlFlow, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use streamer_events::{
    Moment,
    clock::{Clock as _, SystemClock},
};
use streamer_source_postgres::Client;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Bench, Pair};
use crate::{
    block_on,
    contender::is_message,
    crowd::Crowd,
    frame, issuer, machine,
    outbox::{Outbox, Servers},
    process::Side,
    processor::Processor,
    reading::Reader,
    row::{Aim, Row},
};

const ACTIVITY: &str = "00000000-0000-4000-8000-000000000500";

/// How many changes are committed in a turn, and how often one.
const CHANGES: u64 = 1000;
const EVERY: Duration = Duration::from_millis(10);

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let servers = Servers::start()?;
    let mut p50 = Pair::default();
    for round in 0..=bench.rounds {
        for side in Side::BOTH {
            let outbox = servers.outbox()?;
            let median = match side {
                Side::Product => of_product(bench, &outbox)?,
                Side::Floor => of_floor(&outbox)?,
            };
            // In the first, the stand-in for MongoDB warms up.
            if round > 0 {
                p50.add(side, median);
            }
        }
    }
    Ok(vec![Row::of("browser-latency", "ms, P50", Aim::Below(4.0), &p50.product, &p50.floor)])
}

fn of_product(bench: &Bench, outbox: &Outbox<'_>) -> Result<f64> {
    let folder = bench.subfolder("server")?;
    let server = Processor::serve(outbox, &folder, &bench.folder.join("public.pem"), issuer::TENANT)?;
    let mut subscriber = Crowd::open(server.listen()?, &bench.tokens, 1)?;
    let topic = format!("Activity.{ACTIVITY}");
    let subscribe = json!({ "id": "s", "action": "subscribe", "payload": { "topic": topic } }).to_string();
    subscriber.send(0, &frame::text(&subscribe))?;
    subscriber.await_enough(|_| ControlFlow::Break(()))?;
    let heard = thread::scope(|scope| {
        let hearing = scope.spawn(|| hear(&mut subscriber));
        block_on(commit(outbox))?;
        hearing.join().map_err(|_| anyhow::anyhow!("the subscriber panicked"))?
    })?;
    let committed = committed(outbox)?;
    let mut micros = machine::latencies();
    for (event, heard_at) in &heard {
        let committed_at = committed.get(event).context("an event that nobody committed")?;
        micros.saturating_record(u64::try_from(heard_at.micros_since(*committed_at)).unwrap_or(0));
    }
    server.stop()?;
    Ok(micros.value_at_quantile(0.5) as f64 / 1000.0)
}

fn of_floor(outbox: &Outbox<'_>) -> Result<f64> {
    let mut reader = Reader::start(Side::Floor, outbox, CHANGES)?;
    reader.go()?;
    block_on(commit(outbox))?;
    Ok(reader.finish()?.p50_ms)
}

/// When which event was heard of.
fn hear(subscriber: &mut Crowd) -> Result<HashMap<String, Moment>> {
    #[derive(Deserialize)]
    struct Frame {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        event_id: String,
    }
    let mut heard = HashMap::new();
    let patience = EVERY * u32::try_from(CHANGES)? + Duration::from_secs(30);
    let enough = subscriber.hear(std::time::Instant::now() + patience, |message| {
        let now = SystemClock.now();
        if is_message(message.text)
            && let Ok(Frame { data }) = serde_json::from_slice(message.text)
        {
            heard.entry(data.event_id).or_insert(now);
        }
        if heard.len() as u64 == CHANGES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    ensure!(enough, "{} of {CHANGES} events were heard of", heard.len());
    Ok(heard)
}

/// One activity, changed again and again, each time in a transaction of its own.
async fn commit(outbox: &Outbox<'_>) -> Result<()> {
    let server = outbox.settings().server;
    let mut client = Client::connect(&server, 1024 * 1024, Duration::from_secs(30)).await?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    for number in 0..CHANGES {
        ticks.tick().await;
        let (kind, creator) = match number {
            0 => ("ActivityCreated", r#""creator_user_id": "00000000-0000-4000-8000-000000000001", "#),
            _ => ("ActivityUpdated", ""),
        };
        client
            .query(&format!(
                "INSERT INTO activity.event_outbox (event_id, aggregate_id, aggregate_type, event_type, payload) \
                 VALUES (gen_random_uuid(), '{ACTIVITY}', 'Activity', '{kind}', \
                     '{{{creator}\"title\": \"Walk {number}\"}}')"
            ))
            .await?;
    }
    let wanted = EVERY * u32::try_from(CHANGES)?;
    ensure!(began.elapsed() < wanted * 2, "PostgreSQL takes commits slower than they are to come");
    Ok(client.close().await?)
}

/// When which event was committed, as the log has it.
fn committed(outbox: &Outbox<'_>) -> Result<HashMap<String, Moment>> {
    let lines = outbox.sql(
        "SELECT event_id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint \
         FROM activity.event_outbox",
    )?;
    let read = |line: &str| {
        let (event, micros) = line.split_once('|')?;
        Some((event.to_owned(), Moment::from_micros(micros.parse().ok()?)))
    };
    lines.lines().map(|line| read(line).context("a row is an id and a time")).collect()
}
