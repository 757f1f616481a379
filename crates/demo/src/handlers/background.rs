//! Blocking work beside the runtime, heard and stopped from inside it.

use std::error::Error;

use streamer_engine::{Context, Failure};
use tokio::sync::mpsc;

use crate::{Problem, Progress};

/// How many steps may wait to be told.
const STEPS_MAX: usize = 16;

struct Step {
    percentage: f64,
    message: String,
}

/// The end of the channel that the work speaks into; nobody at the other end means that it is cancelled.
struct Relay(mpsc::Sender<Step>);

impl Progress for Relay {
    fn report(&mut self, percentage: f64, message: &str) -> Result<(), Problem> {
        let step = Step { percentage, message: message.to_owned() };
        self.0.blocking_send(step).map_err(|_| Problem::Cancelled)
    }

    fn still_wanted(&self) -> Result<(), Problem> {
        if self.0.is_closed() { Err(Problem::Cancelled) } else { Ok(()) }
    }
}

/// Runs blocking `work`, passes on its progress, and has it stop when the request is cancelled. Returns once the work
/// has ended, whichever way. If this is dropped, the work stops where it next looks.
pub(super) async fn run<T, W>(cx: &Context, work: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: FnOnce(&mut dyn Progress) -> Result<T, Problem> + Send + 'static,
{
    let (sender, mut steps) = mpsc::channel(STEPS_MAX);
    let work = tokio::task::spawn_blocking(move || work(&mut Relay(sender)));
    let told = pass_on(cx, &mut steps).await;
    drop(steps);
    let done = work.await;
    told?;
    done.map_err(Failure::retry)?.map_err(failure)
}

async fn pass_on(cx: &Context, steps: &mut mpsc::Receiver<Step>) -> Result<(), Failure> {
    loop {
        tokio::select! {
            step = steps.recv() => match step {
                Some(Step { percentage, message }) => cx.progress(percentage, &message).await?,
                None => return Ok(()),
            },
            () = cx.cancelled() => return Err(Failure::cancel()),
        }
    }
}

/// What the engine does about a problem.
pub(super) fn failure(problem: Problem) -> Failure {
    match problem {
        Problem::Invalid { field, message } => {
            Failure::reject(format!("{field}: {message}")).also_at(&field, message)
        }
        Problem::Cancelled => Failure::cancel(),
        Problem::Failed { .. } => Failure::retry(chain(&problem)),
    }
}

/// The problem and all that lies behind it, for the log.
fn chain(problem: &Problem) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_rejected_by_its_field() {
        let failure = failure(Problem::invalid("k", "must be between 2 and 50"));
        assert_eq!(failure.to_string(), "rejected: VALIDATION_ERROR: k: must be between 2 and 50");
    }

    #[test]
    fn a_fault_is_retried_and_its_cause_is_for_the_log() {
        let inner = Problem::failed("opening a data file")("disk on fire");
        let failure = failure(Problem::failed("reading the orders")(inner));
        let expected = "to be retried: reading the orders failed: opening a data file failed: disk on fire";
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn work_learns_that_nobody_listens() {
        let (sender, steps) = mpsc::channel(1);
        let mut relay = Relay(sender);
        assert!(relay.report(1.0, "a").is_ok() && relay.still_wanted().is_ok());
        drop(steps);
        assert!(matches!(relay.report(2.0, "b"), Err(Problem::Cancelled)));
        assert!(matches!(relay.still_wanted(), Err(Problem::Cancelled)));
    }
}
