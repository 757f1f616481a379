//! Drives an attempt from its start to its end.

use std::{sync::Arc, time::Duration};

use streamer_protocol::{ErrorBody, ErrorCode, ErrorFrame, Json, Response, Retry, ServerFrame};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use crate::{
    Context, Failure, Frame,
    core::{Core, internal},
    failure::Verdict,
    handlers::{self, Panicked, Turn},
    run::{Closed, Interruption, Run},
    session::Session,
    store::{Claim, EntryBody, Lease, LogEntry, Outcome},
};

/// How a handler came to its end.
enum Ended {
    Done(Json),
    Failed(Failure),
    Panicked,
    /// It was asked to stop and did not: it was dropped.
    Dropped,
}

/// Runs a short request, when it is its turn. Gives the answer, unless the run was stored on the way: then its log has
/// it.
pub(crate) async fn short(run: Arc<Run>, payload: Json, turn: Option<Turn>) -> Option<Frame> {
    let ended = work(&run, payload, Some(run.core.settings.short_limit), turn).await;
    match run.close().await? {
        Closed::Recorded(lease) => {
            settle(&run, &lease, ended).await;
            None
        }
        Closed::Unrecorded(session) => answer(&run, &session, ended).await,
    }
}

/// Runs a claimed request to its outcome, its next attempt, or the loss of its lease.
pub(crate) async fn claimed(core: Arc<Core>, claim: Claim) {
    let summary = &claim.record.summary;
    if let Some(restart) = claim.restart.clone() {
        core.publish(&summary.key, vec![restart]).await;
    }
    if core.stopping.is_cancelled() {
        return release(&core, &claim.lease).await;
    }
    let Some(route) = core.router.route(&summary.action).cloned() else {
        let gone =
            ErrorBody::new(ErrorCode::NotFound, format!("no handler runs {:?} any more", summary.action));
        return finish(&core, &claim.lease, Outcome::Failed(gone)).await;
    };
    if summary.cancel_asked {
        return finish(&core, &claim.lease, Outcome::Cancelled(cancelled())).await;
    }
    if summary.takeovers > 0 && !summary.repeatable {
        return finish(&core, &claim.lease, Outcome::Failed(not_repeatable())).await;
    }
    if summary.takeovers > core.settings.takeovers_max {
        let died = format!("its worker stopped {} times", summary.takeovers);
        return finish(&core, &claim.lease, Outcome::Failed(ErrorBody::new(ErrorCode::InternalError, died)))
            .await;
    }

    let run = Run::claimed(&core, &route, &claim);
    let entered = core.running.enter(&run);
    let started = Instant::now();
    let ended = work(&run, claim.record.payload, None, None).await;
    if let Some(Closed::Recorded(lease)) = run.close().await {
        settle(&run, &lease, ended).await;
    }
    drop(entered);
    metrics::histogram!("streamer_attempt_duration_seconds", "action" => run.action.as_str().to_owned())
        .record(started.elapsed().as_secs_f64());
}

/// Writes the end of a request, and tells it. Insists: only a lost lease or a closed store stop it.
async fn finish(core: &Arc<Core>, lease: &Lease, outcome: Outcome) {
    let now = core.clock.now();
    let expires_at = now + core.settings.retention;
    match core.insist(|| core.store.finish(lease, &outcome, now, expires_at)).await {
        Ok(seq) => {
            metrics::counter!("streamer_requests_finished_total", "status" => outcome.status().as_str())
                .increment(1);
            let body = EntryBody::Outcome(outcome);
            core.publish(&lease.key, vec![LogEntry { seq, at: now, body }]).await;
            core.ended.notify_one();
        }
        Err(e) => {
            warn!(request_id = %lease.key.id, error = %e, "an outcome was not stored: the lease was lost")
        }
    }
}

/// Gives a lease up, so that another worker may go on at once.
async fn release(core: &Core, lease: &Lease) {
    let now = core.clock.now();
    if let Err(e) = core.persist(|| core.store.release(lease, now)).await {
        warn!(request_id = %lease.key.id, error = %e, "a lease could not be given up: it will run out");
    }
}

/// Runs the handler and watches over it.
async fn work(run: &Arc<Run>, payload: Json, promote_after: Option<Duration>, turn: Option<Turn>) -> Ended {
    let handler = Arc::clone(&run.route.handler);
    let cx = Context::new(Arc::clone(run));
    let handling = handlers::process(run, turn, async move { handler.process(cx, payload).await });
    tokio::select! {
        biased;
        handled = handling => match handled {
            Ok(Ok(result)) => Ended::Done(result),
            Ok(Err(failure)) => Ended::Failed(failure),
            Err(Panicked) => Ended::Panicked,
        },
        () = watch(run, promote_after) => Ended::Dropped,
    }
}

/// Returns once the handler is to be dropped: it was asked to stop, and had its time for that.
async fn watch(run: &Arc<Run>, promote_after: Option<Duration>) {
    let started = Instant::now();
    let attempt_timeout = run.route.timeout.unwrap_or(run.core.settings.attempt_timeout);
    let times_out = started + attempt_timeout;
    let mut promotes = promote_after.map(|after| started + after);
    let why = loop {
        tokio::select! {
            biased;
            why = run.interrupted() => break why,
            () = sleep_until(times_out) => run.interrupt(Interruption::TimedOut),
            () = sleep_until(promotes.unwrap_or(started)), if promotes.is_some() => {
                promotes = None;
                run.promote();
            }
            () = run.report_due() => tokio::select! {
                biased;
                _ = run.write(Vec::new(), None) => {}
                // The store may be away for long: the write goes on by itself, and so does time.
                _ = run.interrupted() => {}
                () = sleep_until(times_out) => {}
            },
        }
    };
    match why {
        Interruption::LeaseLost => {}
        Interruption::Stopping(within) => sleep(*within).await,
        _ => sleep(run.core.settings.cancel_grace).await,
    }
}

/// What the sender of a short request is answered.
async fn answer(run: &Arc<Run>, session: &Arc<Session>, ended: Ended) -> Option<Frame> {
    let core = &run.core;
    let request_id = run.key.id.clone();
    // An id that turned out to be taken is answered by what it stands for, whatever this run came to.
    if let Some(Interruption::Known(summary)) = run.interruption() {
        match core.live.hold(session, &run.key) {
            Ok(listener) => core.stand(session, &listener, summary).await,
            Err(_) => return Some(core.error(Some(request_id), core.too_many_followed())),
        }
        return None;
    }
    let error = match (ended, run.interruption()) {
        // The id is another's: what this run came to has no place.
        (_, Some(Interruption::Unstorable(error))) if error.code == ErrorCode::Conflict => error.clone(),
        (Ended::Done(data), _) => match refer(run, data).await {
            Ok(data) => {
                let timestamp = core.clock.now();
                let response = Response { request_id, success: true, data, timestamp };
                return Some(ServerFrame::Response(response).into());
            }
            Err(failure) => refused(run, failure),
        },
        (_, Some(Interruption::Unstorable(error))) => error.clone(),
        (_, Some(Interruption::TimedOut)) => timed_out(),
        (_, Some(Interruption::Stopping(_))) => core.overloaded("the server is stopping: send this again"),
        (Ended::Failed(failure), _) => refused(run, failure),
        (Ended::Panicked, _) => panicked(run),
        (Ended::Dropped, _) => cancelled(),
    };
    Some(core.error(Some(request_id), error))
}

/// What the sender of a short request reads of its failure: nobody tries it again but the sender.
fn refused(run: &Run, failure: Failure) -> ErrorBody {
    match failure.into_verdict() {
        Verdict::Reject(error) => rejected(run, error),
        Verdict::Cancel => cancelled(),
        Verdict::Retry { .. } | Verdict::Postpone { .. } if run.interruption().is_some() => cancelled(),
        Verdict::Postpone { cause, after } => {
            info!(parent: &run.span, cause = %cause, "a handler has no room");
            later(passing(run, ErrorCode::Overloaded), after)
        }
        Verdict::Retry { code, cause, after } => {
            error!(parent: &run.span, error = %cause, "a handler failed");
            let error = passing(run, code);
            match after {
                Some(wait) => later(error, wait),
                None => error,
            }
        }
    }
}

/// Tells the sender when to come again.
fn later(error: ErrorBody, wait: Duration) -> ErrorBody {
    let after = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    error.retry(Retry { retryable: true, after, attempt: None, max_tries: None })
}

/// What becomes of a stored request after an attempt.
async fn settle(run: &Arc<Run>, lease: &Lease, ended: Ended) {
    let core = &run.core;
    if let Ended::Done(result) = ended {
        return match refer(run, result).await {
            Ok(result) => finish(core, lease, Outcome::Completed(result)).await,
            Err(failure) => failed(run, lease, failure).await,
        };
    }
    match run.interruption() {
        Some(Interruption::LeaseLost) => {
            info!(parent: &run.span, "the lease was lost: another worker has it")
        }
        Some(Interruption::Cancelled) => finish(core, lease, Outcome::Cancelled(cancelled())).await,
        Some(Interruption::TimedOut) => try_again(run, lease, timed_out(), None).await,
        Some(Interruption::Stopping(_)) if !run.repeatable => {
            finish(core, lease, Outcome::Failed(not_repeatable())).await;
        }
        Some(Interruption::Stopping(_)) => {
            release(core, lease).await;
        }
        Some(Interruption::Known(_) | Interruption::Unstorable(_)) | None => match ended {
            Ended::Failed(failure) => failed(run, lease, failure).await,
            Ended::Panicked => try_again(run, lease, panicked(run), None).await,
            Ended::Done(_) | Ended::Dropped => unreachable!("settled above, or interrupted"),
        },
    }
}

async fn failed(run: &Arc<Run>, lease: &Lease, failure: Failure) {
    let core = &run.core;
    match failure.into_verdict() {
        Verdict::Reject(error) => finish(core, lease, Outcome::Failed(rejected(run, error))).await,
        Verdict::Cancel => finish(core, lease, Outcome::Cancelled(cancelled())).await,
        Verdict::Retry { code, cause, after } => {
            warn!(parent: &run.span, error = %cause, attempt = run.attempt, "an attempt failed");
            try_again(run, lease, passing(run, code), after).await;
        }
        Verdict::Postpone { cause, after } => {
            debug!(parent: &run.span, cause = %cause, attempt = run.attempt, "an attempt could not begin");
            postpone(run, lease, after).await;
        }
    }
}

/// Puts a request back whose attempt did nothing. Insists: a lease that ran out would count as a dead worker's.
async fn postpone(run: &Arc<Run>, lease: &Lease, after: Duration) {
    let core = &run.core;
    let run_at = core.clock.now() + after;
    match core.insist(|| core.store.release(lease, run_at)).await {
        Ok(()) => {
            metrics::counter!("streamer_attempts_postponed_total", "action" => run.action.as_str().to_owned())
                .increment(1);
            core.wake.notify_one();
        }
        Err(e) => {
            warn!(parent: &run.span, error = %e, "a request could not be put back: the lease will run out");
        }
    }
}

/// Schedules the next attempt, or ends the request if there were enough.
async fn try_again(run: &Arc<Run>, lease: &Lease, error: ErrorBody, after: Option<Duration>) {
    let core = &run.core;
    let failures = run.retry_count + 1;
    let max_tries = run.max_retries + 1;
    let told = Retry { retryable: false, after: None, attempt: Some(failures), max_tries: Some(max_tries) };
    if failures >= max_tries {
        return finish(core, lease, Outcome::Failed(error.retry(told))).await;
    }
    let wait = after.unwrap_or_else(|| core.settings.retry_backoff.after(failures, core.random.as_ref()));
    let now = core.clock.now();
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let error = error.retry(Retry { retryable: true, after: Some(wait_ms), ..told });
    match core.insist(|| core.store.retry(lease, now + wait, &error)).await {
        Ok(()) => {
            metrics::counter!("streamer_attempts_failed_total", "action" => run.action.as_str().to_owned())
                .increment(1);
            let request_id = Some(run.key.id.clone());
            let frame = ServerFrame::Error(ErrorFrame { request_id, seq: None, error, timestamp: now });
            core.live.mention(&run.key, frame.into()).await;
            core.wake.notify_one();
        }
        Err(e) => warn!(parent: &run.span, error = %e, "a retry could not be stored: the lease will run out"),
    }
}

/// A result too large for a message is kept as a file and referred to.
async fn refer(run: &Arc<Run>, result: Json) -> Result<Json, Failure> {
    if result.as_str().len() <= run.core.settings.result_bytes_max {
        return Ok(result);
    }
    let bytes = result.as_str().as_bytes().to_vec();
    let artifact = run.keep("result.json", "application/json", bytes.into()).await?;
    Ok(serde_json::json!({ "artifact": artifact }).into())
}

fn cancelled() -> ErrorBody {
    ErrorBody::new(ErrorCode::Cancelled, "the request was cancelled")
}

fn not_repeatable() -> ErrorBody {
    let died = "its server stopped, and the action is not declared repeatable";
    ErrorBody::new(ErrorCode::InternalError, died)
}

fn timed_out() -> ErrorBody {
    ErrorBody::new(ErrorCode::Timeout, "the action's time was up")
}

/// What a client reads of a rejection: of one that is an internal error, not what it is.
fn rejected(run: &Run, error: ErrorBody) -> ErrorBody {
    if error.code != ErrorCode::InternalError {
        return error;
    }
    error!(parent: &run.span, error = %error.message, "a handler failed, and wants no other try");
    internal(&run.correlation_id)
}

/// What a client reads of a failure that may pass.
fn passing(run: &Run, code: ErrorCode) -> ErrorBody {
    match code {
        ErrorCode::Timeout => timed_out(),
        ErrorCode::Overloaded => ErrorBody::new(code, "what runs this action takes nothing more just now")
            .correlated(&run.correlation_id),
        _ => internal(&run.correlation_id),
    }
}

fn panicked(run: &Run) -> ErrorBody {
    error!(parent: &run.span, "a handler panicked");
    internal(&run.correlation_id)
}
