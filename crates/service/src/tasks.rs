//! The tasks of a process: each has a name, all end together, none is forgotten.

use std::{any::Any, error::Error, future::Future, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::signals::Stop;

/// Any error, as a task hands it over.
type AnyError = Box<dyn Error + Send + Sync + 'static>;

/// How long aborted tasks may take to let go: one that never yields must not hold the process up.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// A set of named tasks that are stopped in the order in which they were spawned.
#[must_use = "the tasks are aborted when their set is dropped; `join` runs them to their end"]
#[derive(Debug)]
pub struct Tasks {
    stop: Stop,
    drain_timeout: Duration,
    running: JoinSet<Result<(), AnyError>>,
    tasks: Vec<Task>,
    failure: Option<TaskError>,
}

#[derive(Debug)]
struct Task {
    name: String,
    id: Id,
    stop: CancellationToken,
    ended: bool,
}

/// The task that ended the process.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It returned an error.
    #[error("task {task:?} failed")]
    Failed {
        /// Its name.
        task: String,
        /// What it returned.
        source: AnyError,
    },
    /// It panicked.
    #[error("task {task:?} panicked: {message}")]
    Panicked {
        /// Its name.
        task: String,
        /// What the panic said.
        message: String,
    },
}

impl Tasks {
    /// No task yet. Once `stop` is fired all have `drain_timeout` together to end.
    pub fn new(stop: Stop, drain_timeout: Duration) -> Self {
        Self { stop, drain_timeout, running: JoinSet::new(), tasks: Vec::new(), failure: None }
    }

    /// Starts a task. Its token is cancelled when its turn to stop has come; then it finishes what it must
    /// and returns. A task may return early; an early error or panic stops all the others.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<AnyError> + 'static,
    {
        let stop = CancellationToken::new();
        let future = task(stop.clone());
        let handle = self.running.spawn(async move { future.await.map_err(Into::into) });
        self.tasks.push(Task { name: name.into(), id: handle.id(), stop, ended: false });
    }

    /// Runs until all tasks have ended, or the stop is fired, or a task fails; then stops what still runs, one
    /// after the other: each has its share of the time that is left, and whatever still runs at the end of it
    /// is aborted. The first failure is the answer; further ones are logged.
    pub async fn join(mut self) -> Result<(), TaskError> {
        let stop = self.stop.clone();
        while self.failure.is_none() {
            tokio::select! {
                () = stop.fired() => break,
                ended = self.running.join_next_with_id() => match ended {
                    Some(ended) => self.note(ended),
                    None => break,
                },
            }
        }
        self.drain().await;
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + self.drain_timeout;
        for next in 0..self.tasks.len() {
            let running = self.tasks[next..].iter().filter(|task| !task.ended).count();
            let task = &self.tasks[next];
            if task.ended {
                continue;
            }
            info!(task = task.name, "stopping task");
            task.stop.cancel();
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / u32::try_from(running).unwrap_or(u32::MAX);
            self.wait(now + share, |tasks| tasks[next].ended).await;
            if !self.tasks[next].ended {
                debug!(task = self.tasks[next].name, "task takes longer than its share");
            }
        }
        self.wait(deadline, |tasks| tasks.iter().all(|task| task.ended)).await;
        for task in self.tasks.iter().filter(|task| !task.ended) {
            warn!(task = task.name, "task did not end in time and is aborted");
        }
        self.running.abort_all();
        self.wait(Instant::now() + ABORT_TIMEOUT, |tasks| tasks.iter().all(|task| task.ended)).await;
    }

    /// Takes in tasks that end until `done` or `until`.
    async fn wait(&mut self, until: Instant, done: impl Fn(&[Task]) -> bool) {
        while !done(&self.tasks) {
            match timeout_at(until, self.running.join_next_with_id()).await {
                Ok(Some(ended)) => self.note(ended),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn note(&mut self, ended: Result<(Id, Result<(), AnyError>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let task = self.tasks.iter_mut().find(|task| task.id == id).expect("every task has its entry");
        task.ended = true;
        let task = task.name.clone();
        let failure = match ended {
            Ok((_, Ok(()))) => {
                info!(task, "task ended");
                return;
            }
            Ok((_, Err(source))) => TaskError::Failed { task, source },
            Err(error) => match error.try_into_panic() {
                Ok(panic) => TaskError::Panicked { task, message: message(panic.as_ref()) },
                // Aborted by this set, which has said so.
                Err(_) => return,
            },
        };
        if self.failure.is_none() {
            self.failure = Some(failure);
        } else {
            error!(error = &failure as &dyn Error, "another task failed while stopping");
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
