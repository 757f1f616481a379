//! How fast events become documents, what is behind is made good, and how much memory that takes.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use mongodb::{
    Client,
    bson::{Bson, Document, doc},
};
use streamer_events_tools::load::{Pace, Plan};

use super::{Bench, Pair, latency::warm_up};
use crate::{
    block_on,
    outbox::{Outbox, Servers, until},
    process::{Side, Times},
    processor::Processor,
    reading::Reader,
    row::{Aim, Row, Sample},
};

/// Events of the application's kind, in transactions of a hundred.
const EVENTS: u64 = 60_000;
const TRANSACTION_EVENTS: usize = 100;

/// Rows of the one large transaction.
const LARGE: usize = 1_000_000;

const MIB: f64 = (1 << 20) as f64;

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let servers = Servers::start()?;
    warm_up(bench, &servers)?;
    raw_batches(&servers, "warm", EVENTS)?;
    let (mut models, mut backlog, mut memory) = (Pair::default(), Pair::default(), Memory::default());
    for round in 0..bench.rounds {
        let outbox = servers.outbox()?;
        measure(bench, &outbox, &mut models, &mut backlog, &mut memory)?;
        models.add(Side::Floor, raw_batches(&servers, &format!("raw{round}"), EVENTS)?);
        forget(&servers, outbox.database())?;
    }
    large(bench, &servers.outbox()?, &mut memory)?;
    let memory = memory.pair();
    Ok(vec![
        Row::of("mongodb", "events/s", Aim::ValueAtLeast(15_000.0), &models.product, &models.floor),
        Row::of("backlog", "events/s", Aim::None, &backlog.product, &backlog.floor),
        Row::of("memory", "MiB at most", Aim::Below(150.0), &memory.product, &memory.floor),
    ])
}

/// The most that any of them had resident.
#[derive(Default)]
struct Memory {
    product: u64,
    floor: u64,
}

impl Memory {
    fn pair(&self) -> Pair {
        let mut pair = Pair::default();
        pair.add(Side::Product, self.product as f64 / MIB);
        pair.add(Side::Floor, self.floor as f64 / MIB);
        pair
    }
}

/// Events are committed while nobody is there; then a processor comes, and after it a bare replication client.
fn measure(
    bench: &Bench,
    outbox: &Outbox<'_>,
    models: &mut Pair,
    backlog: &mut Pair,
    memory: &mut Memory,
) -> Result<()> {
    let folder = bench.subfolder("processor")?;
    Processor::start(outbox, &folder)?.stop()?;
    let floor = Reader::start(Side::Floor, outbox, EVENTS)?;
    let plan = Plan { count: EVENTS, pace: Pace::Unpaced };
    block_on(outbox.load(plan, TRANSACTION_EVENTS))?;

    let (sustained, all) = work_off(outbox, &folder, EVENTS, memory)?;
    models.add(Side::Product, sustained);
    backlog.add(Side::Product, EVENTS as f64 / all.as_secs_f64());
    let (reading, all) = floor.read_all()?;
    backlog.add(Side::Floor, EVENTS as f64 / all.as_secs_f64());
    memory.floor = memory.floor.max(reading.resident_max);
    Ok(())
}

/// The rate at which a processor works off what waits, once it does, and how long all of it takes from its start.
fn work_off(
    outbox: &Outbox<'_>,
    folder: &Path,
    events: u64,
    memory: &mut Memory,
) -> Result<(Sample, Duration)> {
    let began = std::time::Instant::now();
    let processor = Processor::begin(outbox, folder)?;
    // While the models are looked for, nobody answers there.
    let first =
        until("the first event", || Ok(processor.figures().ok().filter(|figures| figures.events > 0)))?;
    let cpu = processor.cpu_time()?;
    let last = processor.await_events(events)?;
    let cpu = processor.cpu_time()?.saturating_sub(cpu);
    // To the microsecond, however seldom it is asked.
    let done_at = last.recent.first().context("the last events are told")?.done_at;
    let micros = |span: i64| Duration::from_micros(u64::try_from(span).unwrap_or(0));
    let wall = micros(done_at.micros_since(first.at));
    ensure!(first.events < events / 2, "the processor was faster than it could be asked");
    let all = began.elapsed().saturating_sub(micros(last.at.micros_since(done_at)));
    memory.product = memory.product.max(processor.resident_max()?);
    processor.stop()?;
    Ok((super::rate(events - first.events, Times { wall, cpu }), all))
}

/// One transaction that is larger than anybody's memory should be.
fn large(bench: &Bench, outbox: &Outbox<'_>, memory: &mut Memory) -> Result<()> {
    let folder = bench.subfolder("processor")?;
    Processor::start(outbox, &folder)?.stop()?;
    let floor = Reader::start(Side::Floor, outbox, LARGE as u64)?;
    outbox.commit_changes(LARGE)?;
    work_off(outbox, &folder, LARGE as u64, memory)?;
    let (reading, _) = floor.read_all()?;
    memory.floor = memory.floor.max(reading.resident_max);
    Ok(())
}

/// How many documents a second the server takes at best: batches that lie ready, one after the other.
fn raw_batches(servers: &Servers, database: &str, documents: u64) -> Result<f64> {
    const BATCH: u64 = 500;
    let commands: Vec<Document> = (0..documents / BATCH)
        .map(|batch| {
            let updates: Vec<Bson> = (0..BATCH)
                .map(|n| {
                    let user = user(batch * BATCH + n);
                    doc! { "q": { "_id": user.get("_id").cloned() }, "u": user, "upsert": true }.into()
                })
                .collect();
            doc! {
                "update": "users", "updates": updates, "ordered": false, "writeConcern": { "w": "majority" },
            }
        })
        .collect();
    let uri = servers.models_uri();
    let took = block_on(async {
        let database = Client::with_uri_str(uri).await?.database(database);
        let began = std::time::Instant::now();
        for command in commands {
            let reply = database.run_command(command).await?;
            ensure!(!reply.contains_key("writeErrors"), "a batch was refused");
        }
        Ok(began.elapsed())
    })?;
    forget(servers, database)?;
    Ok(documents as f64 / took.as_secs_f64())
}

/// A document as the handlers that ship make it.
fn user(n: u64) -> Document {
    let (id, at) = (format!("{n:032x}"), mongodb::bson::DateTime::from_millis(1_795_254_103_007));
    doc! {
        "_id": &id,
        "user_id": &id,
        "email": format!("ada.{n}@example.com"),
        "username": format!("ada_{n}"),
        "name": "Ada Lovelace",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "profile": { "bio": "Likes engines and poetry.", "avatar_url": format!("https://images.example/{n}.jpg") },
        "metadata": { "created_at": at, "updated_at": at, "source_event_id": &id },
        "allowed_users": [&id],
        "created_at": at,
        "pos": { "0123456789_0": "0000000001A2B3C4-00000001" },
    }
}

fn forget(servers: &Servers, database: &str) -> Result<()> {
    let uri = servers.models_uri();
    block_on(async { Ok(Client::with_uri_str(uri).await?.database(database).drop().await?) })
}
