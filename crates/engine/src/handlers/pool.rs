//! The threads that handlers are polled on.
//!
//! One queue, first come, first served, and a limit of how many threads take from it at once: as many as the machine
//! has cores, and one more for each that a handler keeps. A thread that has nothing to do but may be woken has its
//! price, so there are no more of them than that; and whatever waits, waits where every thread finds it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use async_task::{Runnable, Task};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::runtime::Handle;
use tracing::error;

/// From when on a handler that does not give its thread back keeps it.
const KEPT: Duration = Duration::from_millis(3);

/// How often a thread without work lets others run before it waits to be called.
const GIVE_WAY_MAX: u32 = 2;

/// So many looks in a row must have needed fewer threads, before there is one less.
const CALM_LOOKS: u32 = 100;

/// How often to [look](Pool::look), while there is anything on the threads.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Threads, and what they have to do. Its end ends them, each as soon as it is given back.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    called: Condvar,
    /// What handlers find around them: its timers, its sockets, and where their `tokio::spawn` goes.
    around: Handle,
    threads_max: usize,
    cores: usize,
    started: Instant,
    /// For each thread, since when a handler has had it, in microseconds from `started`; 0: it has none.
    had_since: Box<[AtomicU64]>,
    /// How long handlers kept threads that they have given back since the last look, in microseconds.
    was_kept: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Runnable>,
    /// Threads that there are.
    threads: usize,
    /// Of these, those that are at work, or are called to it.
    at_work: usize,
    /// Those that are called and have not come yet.
    called: usize,
    limit: usize,
    /// How many looks in a row needed fewer.
    calm: u32,
    is_closed: bool,
}

impl Pool {
    /// At most so many threads, each begun when it is first needed.
    pub(crate) fn new(around: Handle, threads_max: usize) -> Self {
        let cores = available_parallelism().map_or(1, usize::from).min(threads_max);
        let shared = Shared {
            queue: Mutex::new(Queue { limit: cores, ..Queue::default() }),
            called: Condvar::new(),
            around,
            threads_max,
            cores,
            started: Instant::now(),
            had_since: (0..threads_max).map(|_| AtomicU64::new(0)).collect(),
            was_kept: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn threads_max(&self) -> usize {
        self.shared.threads_max
    }

    /// Has it polled on the threads. Dropping the task ends it, once it has given its thread back. It must not panic,
    /// nor must what it holds when that is dropped.
    pub(crate) fn spawn<F>(&self, work: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let (runnable, task) = async_task::spawn(work, move |runnable| shared.schedule(runnable));
        runnable.schedule();
        task
    }

    /// Has as many threads at work as are needed now, by how many of them are kept. Gives how many there are.
    pub(crate) fn look(&self) -> usize {
        let needed = (self.shared.cores + self.shared.kept()).min(self.shared.threads_max);
        let mut queue = self.shared.queue.lock();
        if needed >= queue.limit {
            queue.limit = needed;
            queue.calm = 0;
        } else {
            queue.calm += 1;
            if queue.calm == CALM_LOOKS {
                queue.limit -= 1;
                queue.calm = 0;
            }
        }
        let limit = queue.limit;
        let waiting = queue.ready.len();
        drop(queue);
        for _ in 0..waiting {
            self.shared.call_one(self.shared.queue.lock());
        }
        limit
    }

    /// Whether there are no more threads at work than the machine has cores.
    pub(crate) fn is_calm(&self) -> bool {
        self.shared.queue.lock().limit == self.shared.cores
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.is_closed = true;
        // Their ends may schedule others.
        let ready = std::mem::take(&mut queue.ready);
        drop(queue);
        drop(ready);
        self.shared.called.notify_all();
    }
}

impl Shared {
    fn schedule(self: &Arc<Self>, runnable: Runnable) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            // Its end may schedule another.
            drop(queue);
            drop(runnable);
            return;
        }
        queue.ready.push_back(runnable);
        self.call_one(queue);
    }

    /// Calls a thread to work, if one more may be.
    fn call_one(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if queue.at_work >= queue.limit {
            return;
        }
        queue.at_work += 1;
        if queue.at_work <= queue.threads {
            queue.called += 1;
            // Were the lock still held, the thread would be woken to wait for it.
            drop(queue);
            self.called.notify_one();
            return;
        }
        let (shared, number) = (Arc::clone(self), queue.threads);
        let begun = thread::Builder::new().name("handler".into()).spawn(move || shared.work(number));
        match begun {
            Ok(_) => queue.threads += 1,
            // Those that there are take what waits, one after the other.
            Err(e) => {
                queue.at_work -= 1;
                error!(error = %e, threads = queue.threads, "no further thread for handlers can be started");
            }
        }
    }

    /// One thread, for all its life.
    fn work(self: Arc<Self>, number: usize) {
        let _around = self.around.enter();
        let had_since = &self.had_since[number];
        let mut gave_way = 0;
        let mut queue = self.queue.lock();
        while !queue.is_closed {
            // It may be one of those that are not needed any more.
            let next = if queue.at_work <= queue.limit { queue.ready.pop_front() } else { None };
            if let Some(runnable) = next {
                drop(queue);
                let since = self.micros().max(1);
                had_since.store(since, Ordering::Relaxed);
                runnable.run();
                had_since.store(0, Ordering::Relaxed);
                let kept = self.micros().saturating_sub(since);
                if kept >= KEPT_MICROS {
                    self.was_kept.fetch_add(kept, Ordering::Relaxed);
                }
                gave_way = 0;
                queue = self.queue.lock();
                continue;
            }
            // Whoever has just given it work may be about to give it more: to be woken for each costs both.
            if gave_way < GIVE_WAY_MAX && queue.at_work <= queue.limit {
                gave_way += 1;
                drop(queue);
                thread::yield_now();
                queue = self.queue.lock();
                continue;
            }
            gave_way = 0;
            queue.at_work -= 1;
            while queue.called == 0 && !queue.is_closed {
                self.called.wait(&mut queue);
            }
            queue.called = queue.called.saturating_sub(1);
        }
    }

    /// How many threads handlers keep, those counted that they kept since the last look by the time that it took.
    fn kept(&self) -> usize {
        let now = self.micros();
        let keeps = |since: u64| since != 0 && now.saturating_sub(since) >= KEPT_MICROS;
        let keeping = self.had_since.iter().filter(|since| keeps(since.load(Ordering::Relaxed))).count();
        let was_kept = self.was_kept.swap(0, Ordering::Relaxed).div_ceil(LOOK_EVERY_MICROS);
        keeping + usize::try_from(was_kept).unwrap_or(usize::MAX)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

const KEPT_MICROS: u64 = KEPT.as_micros() as u64;
const LOOK_EVERY_MICROS: u64 = LOOK_EVERY.as_micros() as u64;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A task that keeps its thread until the other end is dropped.
    fn keep(pool: &Pool) -> (mpsc::Receiver<()>, mpsc::SyncSender<()>) {
        let (began, has_begun) = mpsc::sync_channel(1);
        let (end, ends) = mpsc::sync_channel::<()>(1);
        let keeping = async move {
            began.send(()).expect("waited for");
            let _ = ends.recv();
        };
        pool.spawn(keeping).detach();
        (has_begun, end)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_thread_that_is_kept_is_replaced_for_as_long_as_it_is() {
        let cores = available_parallelism().map_or(1, usize::from);
        let pool = Pool::new(Handle::current(), cores + 2);
        let kept: Vec<_> = (0..cores).map(|_| keep(&pool)).collect();
        for (has_begun, _) in &kept {
            has_begun.recv_timeout(PATIENCE).expect("a thread for it");
        }
        let (has_begun, end) = keep(&pool);
        assert!(has_begun.recv_timeout(2 * KEPT).is_err(), "there is one thread for each core");
        assert_eq!(pool.look(), cores + 2);
        has_begun.recv_timeout(PATIENCE).expect("a thread for it");
        drop((kept, end));
        let begun = Instant::now();
        while !pool.is_calm() {
            assert!(begun.elapsed() < PATIENCE, "{} may be at work", pool.look());
            pool.look();
        }
        keep(&pool).0.recv_timeout(PATIENCE).expect("a thread for it");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_woken_goes_on_and_what_is_dropped_ends() {
        let pool = Pool::new(Handle::current(), 3);
        let sum: u32 = futures_util::future::join_all((0..1000_u32).map(|n| {
            pool.spawn(async move {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(u64::from(n % 3))).await;
                n
            })
        }))
        .await
        .into_iter()
        .sum();
        assert_eq!(sum, 499_500);
        let (guard, dropped) = tokio::sync::oneshot::channel::<()>();
        drop(pool.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }));
        assert!(dropped.await.is_err(), "it is dropped");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_end_drops_what_waits() {
        let pool = Pool::new(Handle::current(), 1);
        let (has_begun, end) = keep(&pool);
        has_begun.recv_timeout(PATIENCE).expect("a thread for it");
        let (guard, dropped) = tokio::sync::oneshot::channel::<()>();
        let waiting = pool.spawn(async move { drop(guard) });
        drop(pool);
        assert!(dropped.await.is_err(), "it is dropped");
        drop((waiting, end));
    }
}
