//! Which handlers an event has.

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{batch::HandlerName, event::Event, rejection::Rejection, write::Write};

/// Says what an event means for the read models: a pure function of it, without I/O, time or chance.
pub trait Handler: Send + Sync {
    /// The writes that it wants, in their order.
    fn project(&self, event: &Event) -> Result<Vec<Write>, Rejection>;
}

impl<F> Handler for F
where
    F: Fn(&Event) -> Result<Vec<Write>, Rejection> + Send + Sync,
{
    fn project(&self, event: &Event) -> Result<Vec<Write>, Rejection> {
        self(event)
    }
}

/// Event types and their handlers.
///
/// ```
/// use streamer_events::{Event, Registry, Rejection, Write};
///
/// fn count(event: &Event) -> Result<Vec<Write>, Rejection> {
///     Ok(vec![Write::on("orders", &*event.aggregate_id).increment("changes", 1).creating()])
/// }
///
/// let registry = Registry::new().on("OrderChanged", "count", count);
/// assert!(registry.knows("OrderChanged"));
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    handlers: HashMap<Arc<str>, Vec<Named>>,
}

#[derive(Clone)]
struct Named {
    name: HandlerName,
    handler: Arc<dyn Handler>,
}

/// What an event's handlers made of it.
#[derive(Debug, Default)]
pub struct Projected {
    /// What those want that took it.
    pub writes: Vec<(HandlerName, Write)>,
    /// Who did not take it.
    pub rejected: Vec<(HandlerName, Rejection)>,
}

impl Registry {
    /// Without handlers: every event passes, and nothing is written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives events of a type to a handler, after those that it is given to already. The name stands in the dead
    /// letters; a second handler of one name replaces the first.
    #[must_use]
    pub fn on(mut self, event_type: &str, name: &str, handler: impl Handler + 'static) -> Self {
        let handlers = self.handlers.entry(event_type.into()).or_default();
        handlers.retain(|known| &*known.name != name);
        handlers.push(Named { name: name.into(), handler: Arc::new(handler) });
        self
    }

    /// Whether events of this type have a handler.
    #[must_use]
    pub fn knows(&self, event_type: &str) -> bool {
        self.handlers.contains_key(event_type)
    }

    /// Whether events of this type have a handler of this name.
    #[must_use]
    pub fn has(&self, event_type: &str, handler: &str) -> bool {
        self.handlers.get(event_type).into_iter().flatten().any(|named| &*named.name == handler)
    }

    /// The types that have handlers, in order.
    #[must_use]
    pub fn event_types(&self) -> Vec<&str> {
        let mut types: Vec<_> = self.handlers.keys().map(|event_type| &**event_type).collect();
        types.sort_unstable();
        types
    }

    /// Asks each handler. One that rejects the event, or panics, does not keep it from the others.
    #[must_use]
    pub fn project(&self, event: &Event) -> Projected {
        let mut projected = Projected::default();
        for named in self.handlers.get(&event.event_type).into_iter().flatten() {
            let name = || Arc::clone(&named.name);
            // Handlers are pure: one that panicked has left nothing half done.
            match catch_unwind(AssertUnwindSafe(|| named.handler.project(event))) {
                Ok(Ok(writes)) => projected.writes.extend(writes.into_iter().map(|write| (name(), write))),
                Ok(Err(rejection)) => projected.rejected.push((name(), rejection)),
                Err(panic) => projected.rejected.push((name(), panicked(&*panic))),
            }
        }
        projected
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Rejection {
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Rejection::new(format!("the handler panicked: {}", said.unwrap_or("without a word")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    fn increments(_: &Event) -> Result<Vec<Write>, Rejection> {
        Ok(vec![Write::on("c", "d").increment("n", 1)])
    }

    #[test]
    fn a_handler_that_fails_leaves_its_siblings_alone() {
        let registry = Registry::new()
            .on("Told", "rejects", |_: &Event| Err(Rejection::new("no").at("x")))
            .on("Told", "panics", |_: &Event| panic!("planted"))
            .on("Told", "takes", increments);
        let projected = registry.project(&given::event(0, 1, "Told", "{}"));
        assert_eq!(projected.writes.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["takes"]);
        let rejected: Vec<_> =
            projected.rejected.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert_eq!(rejected, ["rejects: x: no", "panics: the handler panicked: planted"]);
    }

    #[test]
    fn an_unknown_type_has_no_handlers() {
        let projected =
            Registry::new().on("Told", "takes", increments).project(&given::event(0, 1, "Else", "{}"));
        assert!(projected.writes.is_empty() && projected.rejected.is_empty());
    }

    #[test]
    fn a_second_handler_of_a_name_replaces_the_first() {
        let registry = Registry::new()
            .on("Told", "h", |_: &Event| Err(Rejection::new("the first")))
            .on("Told", "h", increments);
        assert_eq!(registry.project(&given::event(0, 1, "Told", "{}")).writes.len(), 1);
        assert_eq!(registry.event_types(), ["Told"]);
    }
}
