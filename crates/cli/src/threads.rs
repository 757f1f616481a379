//! The threads of handlers.

use anyhow::Context as _;
use streamer_engine::Handlers;
use tokio::runtime::{Builder, Runtime};

/// A runtime for handlers alone: whatever they do to their threads, the server's go on.
pub(crate) struct HandlerThreads(Option<Runtime>);

impl HandlerThreads {
    /// Starts them.
    pub(crate) fn start(count: usize) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("handler")
            .enable_all()
            .build()
            .with_context(|| format!("engine.handler_threads: {count} threads cannot be started"))?;
        Ok(Self(Some(runtime)))
    }

    /// Where handlers run.
    pub(crate) fn handlers(&self) -> Handlers {
        Handlers::on(self.0.as_ref().expect("they run until this is dropped").handle().clone())
    }
}

impl Drop for HandlerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Not waiting for one that keeps its thread: the process's end ends it.
            runtime.shutdown_background();
        }
    }
}
