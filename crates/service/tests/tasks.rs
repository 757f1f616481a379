//! The task set, under paused time.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use streamer_service::{
    signals::Stop,
    tasks::{TaskError, Tasks},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const DRAIN: Duration = Duration::from_secs(30);

/// What happened, and in which second.
#[derive(Clone)]
struct Diary(Arc<Mutex<Vec<(String, u64)>>>, Instant);

impl Diary {
    fn new() -> Self {
        Self(Arc::default(), Instant::now())
    }

    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push((what.into(), self.1.elapsed().as_secs()));
    }

    fn read(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap().clone()
    }

    /// A task that needs so many seconds to end once it is stopped.
    fn task(&self, tasks: &mut Tasks, name: &'static str, seconds: u64) {
        let diary = self.clone();
        tasks.spawn(name, move |stop: CancellationToken| async move {
            stop.cancelled().await;
            diary.note(format!("{name} stops"));
            sleep(Duration::from_secs(seconds)).await;
            diary.note(format!("{name} ended"));
            Ok::<_, std::io::Error>(())
        });
    }
}

fn diary(entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    entries.iter().map(|(what, second)| ((*what).to_owned(), *second)).collect()
}

#[tokio::test(start_paused = true)]
async fn tasks_stop_one_after_the_other_in_the_order_of_their_start() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop.clone(), DRAIN);
    notes.task(&mut tasks, "doors", 1);
    notes.task(&mut tasks, "workers", 5);
    notes.task(&mut tasks, "sockets", 2);
    stop.fire();
    tasks.join().await.unwrap();
    assert_eq!(
        notes.read(),
        diary(&[
            ("doors stops", 0),
            ("doors ended", 1),
            ("workers stops", 1),
            ("workers ended", 6),
            ("sockets stops", 6),
            ("sockets ended", 8),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stopped_before_its_time() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop.clone(), DRAIN);
    notes.task(&mut tasks, "doors", 0);
    tasks.spawn("timer", move |_| async move {
        sleep(Duration::from_secs(100)).await;
        stop.fire();
        Ok::<_, String>(())
    });
    tasks.join().await.unwrap();
    assert_eq!(notes.read(), diary(&[("doors stops", 100), ("doors ended", 100)]));
}

#[tokio::test(start_paused = true)]
async fn each_has_its_share_of_the_deadline_and_the_rest_is_aborted() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop.clone(), DRAIN);
    // Shares: 30 / 3 = 10, then 20 / 2 = 10 (over its share, but within the deadline), then 10.
    notes.task(&mut tasks, "doors", 1000);
    notes.task(&mut tasks, "workers", 15);
    notes.task(&mut tasks, "sockets", 4);
    let began = Instant::now();
    stop.fire();
    tasks.join().await.unwrap();
    assert_eq!(began.elapsed(), DRAIN);
    assert_eq!(
        notes.read(),
        diary(&[
            ("doors stops", 0),
            ("workers stops", 10),
            ("sockets stops", 20),
            ("sockets ended", 24),
            ("workers ended", 25),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_others_and_is_named() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop, DRAIN);
    notes.task(&mut tasks, "doors", 1);
    tasks.spawn("workers", |_| async {
        sleep(Duration::from_secs(3)).await;
        Err(std::io::Error::other("the store is gone"))
    });
    let error = tasks.join().await.unwrap_err();
    assert_eq!(error.to_string(), "task \"workers\" failed");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the store is gone");
    assert_eq!(notes.read(), diary(&[("doors stops", 3), ("doors ended", 4)]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_told_and_the_first_one_counts() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop.clone(), DRAIN);
    for name in ["doors", "workers"] {
        tasks.spawn(name, |stop: CancellationToken| async move {
            stop.cancelled().await;
            Err("not flushed")
        });
    }
    notes.task(&mut tasks, "sockets", 1);
    stop.fire();
    assert_eq!(tasks.join().await.unwrap_err().to_string(), "task \"doors\" failed");
    assert_eq!(notes.read(), diary(&[("sockets stops", 0), ("sockets ended", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_stops_the_others_and_is_named() {
    let (notes, stop) = (Diary::new(), Stop::new());
    let mut tasks = Tasks::new(stop, DRAIN);
    notes.task(&mut tasks, "doors", 1);
    tasks.spawn("workers", |_| async { if true { panic!("row {}", 7) } else { Ok::<_, String>(()) } });
    match tasks.join().await.unwrap_err() {
        TaskError::Panicked { task, message } => {
            assert_eq!((task.as_str(), message.as_str()), ("workers", "row 7"))
        }
        other => panic!("{other}"),
    }
    assert_eq!(notes.read(), diary(&[("doors stops", 0), ("doors ended", 1)]));
}

#[tokio::test(start_paused = true)]
async fn all_may_end_by_themselves() {
    let mut tasks = Tasks::new(Stop::new(), DRAIN);
    tasks.spawn("once", |_| async { Ok::<_, String>(()) });
    tasks.spawn("twice", |_| async { Ok::<_, String>(()) });
    let began = Instant::now();
    tasks.join().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    Tasks::new(Stop::new(), DRAIN).join().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_dropped_leaves_nothing_running() {
    let alive = Arc::new(());
    let mut tasks = Tasks::new(Stop::new(), DRAIN);
    let held = alive.clone();
    tasks.spawn("forever", |_| async move {
        let _held = held;
        pending::<Result<(), String>>().await
    });
    drop(tasks);
    while Arc::strong_count(&alive) > 1 {
        tokio::task::yield_now().await;
    }
}
