//! What handlers do: a script that comes as the payload, so that whoever has the payload knows what must come of it.

use std::{future::pending, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use streamer_engine::{Context, Failure, Router, protocol::Action, store::RequestKey};

use crate::{dice::Dice, ledger::Ledger, node::Life};

/// A handler's script. `salt` makes two of them differ that do the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) owner: String,
    pub(crate) salt: u32,
    /// Goes on although it is asked to stop.
    pub(crate) stubborn: bool,
    #[serde(with = "as_text")]
    pub(crate) steps: Vec<Step>,
}

/// Steps as one text: a payload of many values costs a world half of its time.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};

    use super::Step;

    pub(super) fn serialize<S: Serializer>(steps: &[Step], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(steps).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    Wait {
        ms: u64,
    },
    Report {
        percentage: f64,
    },
    Chunks {
        count: u64,
    },
    ChunksAndCheckpoint {
        count: u64,
    },
    Checkpoint,
    /// Fails, to be tried again, in every attempt up to this one.
    FailsUntil {
        attempt: u32,
    },
    PanicsUntil {
        attempt: u32,
    },
    Rejects,
    Cancels,
}

/// A partial result: which one it must be, and whose.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) owner: String,
    pub(crate) n: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) owner: String,
    pub(crate) rows: u64,
    /// It was asked to stop, and went on: not all of its rows were taken.
    pub(crate) cut: bool,
}

/// A checkpoint.
#[derive(Default, Serialize, Deserialize)]
struct Place {
    step: usize,
    rows: u64,
}

/// What a panic on purpose says.
pub(crate) const ON_PURPOSE: &str = "a panic on purpose";

/// Which actions there are; long ones are asked for twice as often.
pub(crate) const ACTIONS: [&str; 7] = ["short", "repeatable", "durable", "long", "long", "hurried", "narrow"];

/// How many of the action `narrow` run at once, on all nodes.
pub(crate) const NARROW_MAX: u32 = 2;

impl Work {
    pub(crate) fn of(owner: &str, dice: &Dice) -> Self {
        let steps = (0..1 + dice.below(9)).map(|_| Step::of(dice)).collect();
        Self { owner: owner.to_owned(), salt: 0, stubborn: dice.percent(10), steps }
    }

    /// How many rows it has if it comes to its end.
    pub(crate) fn rows(&self) -> u64 {
        let rows = |step: &Step| match step {
            Step::Chunks { count } | Step::ChunksAndCheckpoint { count } => *count,
            _ => 0,
        };
        self.steps.iter().map(rows).sum()
    }
}

impl Step {
    fn of(dice: &Dice) -> Self {
        match dice.below(100) {
            0..30 => Self::Wait { ms: *dice.one_of(&[1, 30, 120, 400, 900, 2_500]) },
            30..52 => Self::Report { percentage: dice.below(101) as f64 },
            52..70 => Self::Chunks { count: 1 + dice.below(4) },
            70..80 => Self::ChunksAndCheckpoint { count: dice.below(4) },
            80..84 => Self::Checkpoint,
            84..92 => Self::FailsUntil { attempt: 1 + dice.below(3) as u32 },
            92..96 => Self::PanicsUntil { attempt: 1 },
            96..98 => Self::Rejects,
            _ => Self::Cancels,
        }
    }
}

/// The action that has a bound.
pub(crate) fn narrow() -> Action {
    Action::parse("narrow").expect("valid")
}

pub(crate) fn routes(ledger: &Arc<Ledger>, life: &Arc<Life>) -> Router {
    let handler = || {
        let (ledger, life) = (Arc::clone(ledger), Arc::clone(life));
        move |cx: Context, work: Work| run(cx, work, Arc::clone(&ledger), Arc::clone(&life))
    };
    let minute = Duration::from_secs(60);
    Router::new()
        .action("short", handler())
        .action("repeatable", handler())
        .repeatable()
        .retries(2)
        .action("durable", handler())
        .durable()
        .retries(1)
        .action("long", handler())
        .takes(minute)
        .retries(3)
        .action("hurried", handler())
        .takes(minute)
        .timeout(Duration::from_secs(2))
        .retries(1)
        .action("narrow", handler())
        .running_max(NARROW_MAX)
        .retries(1)
}

async fn run(cx: Context, work: Work, ledger: Arc<Ledger>, life: Arc<Life>) -> Result<Done, Failure> {
    if life.is_over() {
        return pending().await;
    }
    let key = RequestKey::new(cx.tenant().clone(), cx.user().clone(), cx.request_id().clone());
    ledger.begins(&key, cx.attempt());
    let mut place: Place = cx.restored().unwrap_or_default();
    let mut cut = false;
    while let Some(step) = work.steps.get(place.step) {
        match take(step, &cx, &work, &mut place, &ledger, &key).await {
            Err(_) if work.stubborn && cx.is_cancelled() => cut = true,
            taken => taken?,
        }
        place.step += 1;
    }
    Ok(Done { owner: work.owner, rows: place.rows, cut })
}

async fn take(
    step: &Step,
    cx: &Context,
    work: &Work,
    place: &mut Place,
    ledger: &Ledger,
    key: &RequestKey,
) -> Result<(), Failure> {
    let rows = |place: &mut Place, count: u64| -> Vec<Row> {
        let rows = (place.rows..place.rows + count).map(|n| Row { owner: work.owner.clone(), n });
        place.rows += count;
        rows.collect()
    };
    match *step {
        Step::Wait { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
        Step::Report { percentage } => {
            // Names the run too: a short one that was sent twice has two, and both are the first attempt.
            let run = format!("{}.{}", cx.attempt(), cx.correlation_id());
            cx.progress(percentage, &format!("{run} {}", place.step)).await?;
            ledger.reported(key, run, place.step);
        }
        Step::Chunks { count } => {
            for row in rows(place, count) {
                cx.chunk(&row).await?;
            }
        }
        Step::ChunksAndCheckpoint { count } => {
            let rows = rows(place, count);
            let next = Place { step: place.step + 1, rows: place.rows };
            cx.chunks_with_checkpoint(&rows, &next).await?;
        }
        Step::Checkpoint => {
            cx.checkpoint(&Place { step: place.step + 1, rows: place.rows }).await?;
        }
        Step::FailsUntil { attempt } if cx.attempt() <= attempt => return Err(Failure::retry(ON_PURPOSE)),
        Step::PanicsUntil { attempt } if cx.attempt() <= attempt => panic!("{ON_PURPOSE}"),
        Step::FailsUntil { .. } | Step::PanicsUntil { .. } => {}
        Step::Rejects => return Err(Failure::reject("on purpose")),
        Step::Cancels => return Err(Failure::cancel()),
    }
    Ok(())
}
