//! A step: so many events, from the outbox to the read models, verified.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use streamer_events::{NewEpoch, Pipeline, Registry, State};
use streamer_events_tools::{
    load::{self, Loaded, NewEvent, Plan, load},
    report::Report,
};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    display::{Display, Until},
    outcome::Step,
};
use crate::{
    config::Events,
    events::{
        figures,
        load::{self as loading, SHOWN_MAX, new_seed},
        processor::{self, Wanted},
        verify::verify_within,
    },
};

/// A slot that is not free by then is somebody else's.
const OPENING_TIMEOUT: Duration = Duration::from_secs(60);
/// Events that have not moved for so long do not arrive.
const STALLED: Duration = Duration::from_secs(30);
/// How often it is looked whether all have arrived.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Others' events may be on their way, where others write too.
const VERIFY_WAIT: Duration = Duration::from_secs(10);

/// What every step needs.
pub(super) struct Stage<'a> {
    pub(super) events: &'a Events,
    pub(super) registry: Registry,
    pub(super) display: Display,
}

/// Why nothing more is shown.
pub(super) fn interrupted() -> anyhow::Error {
    anyhow::anyhow!("interrupted")
}

impl Stage<'_> {
    /// One step, with a pipeline of its own, so that its figures are its own. On `stop`, and when somebody leaves the
    /// dashboard, everything that it started has ended when this returns.
    pub(super) async fn run(&self, name: &str, plan: Plan, stop: &CancellationToken) -> anyhow::Result<Step> {
        let wanted =
            Wanted { registry: self.registry.clone(), sinks: Vec::new(), on_new_epoch: NewEpoch::Stop };
        let pipeline = processor::pipeline(self.events, wanted, stop).await?.ok_or_else(interrupted)?;
        let pipeline = Arc::new(pipeline);
        // Why the step is over before its time: told to, left, or without a pipeline.
        let over = stop.child_token();
        let done = CancellationToken::new();
        let running = async {
            let _over = over.drop_guard_ref();
            figures::run(&pipeline, self.events, &done).await
        };
        let stepping = async {
            let _done = done.drop_guard_ref();
            self.step(name, plan, &pipeline, &over).await
        };
        let (ran, stepped) = tokio::join!(running, stepping);
        // What stopped the pipeline is why the step was over.
        ran?;
        stepped
    }

    async fn step(
        &self,
        name: &str,
        plan: Plan,
        pipeline: &Pipeline,
        over: &CancellationToken,
    ) -> anyhow::Result<Step> {
        over.run_until_cancelled(streaming(pipeline)).await.ok_or_else(interrupted)??;
        println!("\n{}", title(name, plan));
        let arrived = CancellationToken::new();
        let loading = async {
            let loaded = over.run_until_cancelled(self.load(plan, pipeline)).await;
            let loaded = loaded.unwrap_or_else(|| Err(interrupted())).inspect_err(|_| over.cancel())?;
            arrived.cancel();
            anyhow::Ok(loaded)
        };
        let showing = async {
            // A few are shown one by one as they are written.
            if plan.count <= SHOWN_MAX {
                return Ok(());
            }
            let until = Until { arrived: &arrived, over };
            let shown = self.display.show(title(name, plan), plan.count, pipeline, until).await;
            if !matches!(shown, Ok(false)) {
                over.cancel();
            }
            shown.map(drop)
        };
        // The display first: it counts from what it sees first.
        let (shown, loaded) = tokio::join!(showing, loading);
        shown.context("what happens cannot be shown")?;
        let loaded = loaded?;
        let verifying = verify_within(VERIFY_WAIT, None, self.events, self.registry.clone());
        let verified = over.run_until_cancelled(verifying).await.ok_or_else(interrupted)??;
        Ok(Step { loaded, verified, report: Report::of(pipeline.figures()) })
    }

    /// Writes the events, and waits until they have arrived.
    async fn load(&self, plan: Plan, pipeline: &Pipeline) -> anyhow::Result<Loaded> {
        let source = self.events.source_settings()?;
        let settings =
            load::Settings { outbox: source.outbox, ..load::Settings::of(source.server, plan, new_seed()) };
        let before = pipeline.tally().events();
        let loaded = if plan.count <= SHOWN_MAX {
            load(&settings, &mut loading::Display::new(&settings, true)).await?
        } else {
            load(&settings, &mut |_: &[NewEvent], _: u64| {}).await?
        };
        arrival(pipeline, before + plan.count).await?;
        Ok(loaded)
    }
}

fn title(name: &str, plan: Plan) -> String {
    let pace =
        plan.rate().map_or("as fast as PostgreSQL takes them".to_owned(), |rate| format!("{rate:.1}/s"));
    format!("{name}: {} events at {pace}", plan.count)
}

async fn streaming(pipeline: &Pipeline) -> anyhow::Result<()> {
    let mut state = pipeline.state();
    let reached = timeout(OPENING_TIMEOUT, state.wait_for(|state| *state == State::Streaming)).await;
    // The pipeline's own end says why it never will.
    reached
        .context("the slot cannot be read: is streamer events run, or a server, reading it?")?
        .map(drop)?;
    Ok(())
}

async fn arrival(pipeline: &Pipeline, wanted: u64) -> anyhow::Result<()> {
    let mut looks = interval(LOOK_EVERY);
    let mut moved = (pipeline.tally().events(), Instant::now());
    loop {
        looks.tick().await;
        let events = pipeline.tally().events();
        if events >= wanted {
            return Ok(());
        }
        if events > moved.0 {
            moved = (events, Instant::now());
        } else if moved.1.elapsed() > STALLED {
            bail!("{} events have not arrived, and nothing has moved for {STALLED:?}", wanted - events);
        }
    }
}
