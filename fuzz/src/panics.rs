//! Panics on every thread, as a target's own threads do not say how they ended.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, Once, PoisonError},
};

static SEEN: Mutex<Option<String>> = Mutex::new(None);

/// From now on panics are kept. Those of a thread that hunts are shown as ever, but for what a target does on it.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match THREAD.get() {
            Thread::Hunting => shown(panic),
            Thread::Taking | Thread::Other => {
                *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
            }
        }));
    });
    THREAD.set(Thread::Hunting);
}

/// The last panic since this was asked.
pub(crate) fn seen() -> Option<String> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[derive(Clone, Copy)]
enum Thread {
    Hunting,
    Taking,
    /// A target's own.
    Other,
}

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Other) };
}

/// Has a target take an input on this thread.
pub(crate) fn while_taking<T>(take: impl FnOnce() -> T) -> std::thread::Result<T> {
    THREAD.set(Thread::Taking);
    let taken = catch_unwind(AssertUnwindSafe(take));
    THREAD.set(Thread::Hunting);
    taken
}
