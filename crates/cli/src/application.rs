//! What an application brings to its own binary.

use std::process::ExitCode;

use streamer_engine::Router;
use streamer_events::{Registry, projections};

/// An application's own binary: everything that `streamer` can do, with its actions and its handlers of events.
///
/// ```no_run
/// use streamer_events::{Event, Rejection, Write};
///
/// fn count(event: &Event) -> Result<Vec<Write>, Rejection> {
///     Ok(vec![Write::on("orders", &*event.aggregate_id).increment("changes", 1).creating()])
/// }
///
/// fn main() -> std::process::ExitCode {
///     streamer_cli::Application::new().events(|registry| registry.on("OrderChanged", "count", count)).run()
/// }
/// ```
#[must_use = "nothing happens before `run`"]
pub struct Application {
    routes: Box<dyn FnOnce() -> Router>,
    registry: Box<dyn FnOnce(Registry) -> Registry>,
}

impl Default for Application {
    fn default() -> Self {
        Self { routes: Box::new(Router::new), registry: Box::new(|shipped| shipped) }
    }
}

impl Application {
    /// With nothing of its own yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its actions, beside those that are always there. Asked for by `serve`, and by `config check`, which looks
    /// whether the actions that the configuration names are there.
    pub fn routes(self, routes: impl FnOnce() -> Router + 'static) -> Self {
        Self { routes: Box::new(routes), ..self }
    }

    /// Its handlers of events: given the registry of those that ship, to add to it or to replace it.
    pub fn events(self, registry: impl FnOnce(Registry) -> Registry + 'static) -> Self {
        Self { registry: Box::new(registry), ..self }
    }

    /// Runs the command that the process was given.
    #[must_use]
    pub fn run(self) -> ExitCode {
        crate::run_application(self)
    }

    /// What it brings to a server.
    pub(crate) fn parts(self) -> (Router, Registry) {
        ((self.routes)(), (self.registry)(projections::registry()))
    }

    /// What it brings to commands of events.
    pub(crate) fn registry(self) -> Registry {
        (self.registry)(projections::registry())
    }
}
