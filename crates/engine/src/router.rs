//! Which handler runs which action, and how.

use std::{collections::HashMap, sync::Arc, time::Duration};

use streamer_protocol::Action;

use crate::{
    builtin::Builtin,
    handler::{Handler, IntoHandler},
    store::{Priority, RunningMax},
};

/// The actions that an application offers.
///
/// ```
/// # use std::time::Duration;
/// # use streamer_engine::{Context, Failure, Router};
/// async fn greet(_cx: Context, name: String) -> Result<String, Failure> {
///     Ok(format!("hello {name}"))
/// }
///
/// let routes = Router::new()
///     .action("greet", greet)
///     .action("greet.slowly", greet).takes(Duration::from_secs(60)).retries(3);
/// ```
#[derive(Default)]
pub struct Router {
    routes: HashMap<Action, Arc<Route>>,
    last: Option<Action>,
    /// Actions with a bound for all of them.
    shared: Vec<(Vec<Action>, u32)>,
}

/// An action with its handler.
pub(crate) struct Route {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) takes: Duration,
    pub(crate) retries: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) durable: bool,
    pub(crate) repeatable: bool,
    pub(crate) priority: Priority,
    pub(crate) running_max: Option<u32>,
    pub(crate) announced: bool,
}

impl Route {
    /// Whether its requests are stored before they run, however short: only the queue keeps ids for good, and only
    /// the queue counts what runs, and only its outcomes are kept until they are told.
    pub(crate) fn always_queued(&self) -> bool {
        self.durable || self.running_max.is_some() || self.announced
    }
}

impl Router {
    /// No actions but those that are always there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an action. What follows until the next one describes it.
    ///
    /// # Panics
    /// When `name` is not `[A-Za-z0-9._-]{1,64}`, is taken, or is one of those that are always there: a
    /// mistake in the program.
    #[must_use]
    pub fn action<Shape>(mut self, name: &str, handler: impl IntoHandler<Shape>) -> Self {
        let action = Action::parse(name).unwrap_or_else(|e| panic!("action {name:?}: {e}"));
        assert!(Builtin::named(name).is_none(), "action {name:?} is always there and cannot be replaced");
        let route = Route {
            handler: Arc::new(handler.into_handler()),
            takes: Duration::ZERO,
            retries: 0,
            timeout: None,
            durable: false,
            repeatable: false,
            priority: Priority::default(),
            running_max: None,
            announced: false,
        };
        let earlier = self.routes.insert(action.clone(), Arc::new(route));
        assert!(earlier.is_none(), "action {name:?} is there twice");
        self.last = Some(action);
        self
    }

    /// How long the action is estimated to take: at or above the engine's limit it is queued. Zero unless said.
    #[must_use]
    pub fn takes(self, estimate: Duration) -> Self {
        self.describe(|route| route.takes = estimate)
    }

    /// How often a failed attempt is repeated. Zero unless said.
    #[must_use]
    pub fn retries(self, times: u32) -> Self {
        self.describe(|route| route.retries = times)
    }

    /// How long one attempt may take. The engine's own limit unless said.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        self.describe(|route| route.timeout = Some(limit))
    }

    /// Stores every request of the action before it runs, however short, so that none runs again because it was
    /// sent again.
    #[must_use]
    pub fn durable(self) -> Self {
        self.describe(|route| route.durable = true)
    }

    /// A short run that was promoted may start again after a crash; otherwise such a request fails.
    #[must_use]
    pub fn repeatable(self) -> Self {
        self.describe(|route| route.repeatable = true)
    }

    /// The rank of the action's requests among their tenant's, unless a request has one of its own.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        self.describe(|route| route.priority = priority)
    }

    /// How many requests of the action run at once, of all tenants and on all nodes; the others wait. Its requests are
    /// always queued: only the queue counts them.
    ///
    /// # Panics
    /// When `most` is 0: none would ever run.
    #[must_use]
    pub fn running_max(self, most: u32) -> Self {
        assert!(most > 0, "an action of which none may run");
        self.describe(|route| route.running_max = Some(most))
    }

    /// Bounds an action that is there, as [`running_max`](Self::running_max) does: what a configuration says of it.
    /// False if there is no such action.
    ///
    /// # Panics
    /// When `most` is 0.
    #[must_use]
    pub fn bound(&mut self, action: &str, most: u32) -> bool {
        assert!(most > 0, "an action of which none may run");
        let route = Action::parse(action).ok().and_then(|action| self.routes.get_mut(&action));
        let Some(route) = route else { return false };
        Arc::get_mut(route).expect("nobody else has the router yet").running_max = Some(most);
        true
    }

    /// Bounds several actions together, such as those that one service works for: at most so many of their queued
    /// requests run at once, of all tenants and on all nodes. Unlike [`running_max`](Self::running_max), it makes no
    /// action queued that is not: a short request does not wait for room. Each action may be in one group.
    ///
    /// # Panics
    /// When `most` is 0: none would ever run.
    #[must_use]
    pub fn running_max_shared(mut self, actions: impl IntoIterator<Item = Action>, most: u32) -> Self {
        assert!(most > 0, "actions of which none may run");
        self.shared.push((actions.into_iter().collect(), most));
        self
    }

    /// Why an action of this name cannot be added, if it cannot: for names that come out of a configuration.
    #[must_use]
    pub fn refuses(&self, name: &str) -> Option<&'static str> {
        match Action::parse(name) {
            Err(_) => Some("an action's name is [A-Za-z0-9._-]{1,64}"),
            Ok(_) if Builtin::named(name).is_some() => Some("an action of this name is always there"),
            Ok(action) if self.routes.contains_key(&action) => {
                Some("there is an action of this name already")
            }
            Ok(_) => None,
        }
    }

    /// Has the outcomes of an action that is there told outside: see [`Engine::announce`](crate::Engine::announce). Its
    /// requests are always queued. False if there is no such action.
    #[must_use]
    pub fn announce(&mut self, action: &str) -> bool {
        let route = Action::parse(action).ok().and_then(|action| self.routes.get_mut(&action));
        let Some(route) = route else { return false };
        Arc::get_mut(route).expect("nobody else has the router yet").announced = true;
        true
    }

    /// Adds the actions of another router.
    ///
    /// # Panics
    /// When an action is in both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (action, route) in other.routes {
            let name = action.clone();
            assert!(self.routes.insert(action, route).is_none(), "action {name:?} is there twice");
        }
        self.shared.extend(other.shared);
        self.last = None;
        self
    }

    /// The names of its actions, in no order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.routes.keys()
    }

    pub(crate) fn bounds(&self) -> RunningMax {
        let bound = |(action, route): (&Action, &Arc<Route>)| Some((action.clone(), route.running_max?));
        self.routes.iter().filter_map(bound).collect::<RunningMax>().sharing(self.shared.iter().cloned())
    }

    pub(crate) fn route(&self, action: &Action) -> Option<&Arc<Route>> {
        self.routes.get(action)
    }

    fn describe(mut self, change: impl FnOnce(&mut Route)) -> Self {
        let last = self.last.as_ref().expect("describes the action before it: call `action` first");
        let route = self.routes.get_mut(last).expect("the last action is there");
        change(Arc::get_mut(route).expect("nobody else has the router yet"));
        self
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}
