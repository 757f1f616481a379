//! The threads of handlers.

use anyhow::Context as _;
use streamer_engine::Handlers;
use tokio::runtime::{Builder, Runtime};

/// Threads for handlers alone, and a runtime of their own around them, where the tasks are that they spawn: whatever
/// they do to their threads, the server's go on.
pub(crate) struct HandlerThreads {
    count: usize,
    around: Option<Runtime>,
}

impl HandlerThreads {
    /// Starts them.
    pub(crate) fn start(count: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("handler-task")
            .enable_all()
            .build()
            .with_context(|| format!("engine.handler_threads: {count} threads cannot be started"))?;
        Ok(Self { count, around: Some(runtime) })
    }

    /// Where handlers run.
    pub(crate) fn handlers(&self) -> Handlers {
        let around = self.around.as_ref().expect("it runs until this is dropped");
        Handlers::on(self.count, around.handle().clone())
    }
}

impl Drop for HandlerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.around.take() {
            // Not waiting for one that keeps its thread: the process's end ends it.
            runtime.shutdown_background();
        }
    }
}
