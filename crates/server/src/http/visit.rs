//! The session of a call.

use std::sync::Arc;

use streamer_auth::Identity;
use streamer_engine::{Engine, Session};

use super::{
    caller::{OneToken, caller},
    heard::Heard,
    outlet::Outlet,
};
use crate::{door::Shared, link::Bounds};

/// A session that has no connection. Ends when it is dropped, as it is when the client hangs up: what it
/// follows is forgotten, and what runs goes on.
pub(super) struct Visit {
    pub(super) session: Arc<Session>,
    outlet: Arc<Outlet>,
    engine: Engine,
}

impl Visit {
    pub(super) fn begin(shared: &Shared, identity: &Identity) -> Self {
        let settings = &shared.settings;
        let bounds =
            Bounds { bytes_max: settings.outbound_bytes_max, messages_max: settings.outbound_messages_max };
        let outlet = Arc::new(Outlet::new(bounds));
        let engine = shared.engine.clone();
        let session =
            engine.visit(caller(identity), Arc::clone(&outlet) as _, Arc::new(OneToken::of(identity)));
        Self { session, outlet, engine }
    }

    /// What is told next; `None` once nothing more will be. Nothing is lost if this is dropped.
    pub(super) async fn hear(&self) -> Option<Heard> {
        self.outlet.next().await.map(Heard::of)
    }

    /// What is told already.
    pub(super) fn heard(&self) -> Option<Heard> {
        self.outlet.waiting().map(Heard::of)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.outlet.end();
        self.engine.leave(&self.session);
    }
}
