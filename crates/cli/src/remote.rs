//! Puts what is behind URLs into the server: handlers, webhooks, hooks.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use streamer_auth::Identity;
use streamer_engine::{
    Router,
    clock::Clock,
    store::{ConnectionRecord, Priority},
};
use streamer_protocol::{Action, Timestamp};
use streamer_remote::{Disconnected, Hook, Refused, Remote, Target, UrlHandler, UrlWebhooks};
use streamer_server::{Entry, Gate, Gatekeeper, Knock, Turned};
use tracing::warn;

use crate::config::{Config, Hooks};

/// What the configuration has behind URLs.
pub(crate) struct Urls<'a> {
    config: &'a Config,
    remote: Remote,
}

impl<'a> Urls<'a> {
    /// Calls nothing yet.
    pub(crate) fn new(config: &'a Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Ok(Self { config, remote: Remote::new(config.remote.settings()?, clock) })
    }

    fn target(&self, url: &str) -> anyhow::Result<Arc<Target>> {
        Ok(self.remote.target(self.config.remote.address(url)?))
    }

    /// With the actions that are done behind a URL.
    pub(crate) fn offer(&self, mut routes: Router) -> anyhow::Result<Router> {
        let attempt_timeout = self.config.engine.attempt_timeout_s.into();
        let mut targets: Vec<(Arc<Target>, Vec<Action>)> = Vec::new();
        for (name, action) in &self.config.actions {
            let Some(url) = &action.url else { continue };
            if let Some(problem) = routes.refuses(name) {
                anyhow::bail!("actions.{name:?}: {problem}");
            }
            let target = self.target(url).with_context(|| format!("actions.{name:?}.url"))?;
            let named = Action::parse(name)?;
            match targets.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &target)) {
                Some((_, sharing)) => sharing.push(named),
                None => targets.push((Arc::clone(&target), vec![named])),
            }
            let handler = UrlHandler::new(target, action.handler(attempt_timeout));
            let priority =
                Priority::new(action.priority).with_context(|| format!("actions.{name:?}.priority"))?;
            routes = routes
                .action(name, handler)
                .takes(action.takes_ms.into())
                .retries(action.retries)
                .priority(priority);
            if let Some(span) = action.timeout_s {
                routes = routes.timeout(span.into());
            }
            if action.durable {
                routes = routes.durable();
            }
            if action.repeatable {
                routes = routes.repeatable();
            }
            if let Some(most) = action.running_max {
                routes = routes.running_max(most);
            }
        }
        let most = self.config.remote.address_running_max();
        Ok(targets.into_iter().fold(routes, |routes, (_, sharing)| routes.running_max_shared(sharing, most)))
    }

    /// Those who are told outcomes, if there are some; what they are told of is noted in the routes.
    pub(crate) fn webhooks(&self, routes: &mut Router) -> anyhow::Result<Option<UrlWebhooks>> {
        let mut targets = HashMap::new();
        for (name, action) in &self.config.actions {
            let Some(url) = &action.webhook_url else { continue };
            anyhow::ensure!(routes.announce(name), "actions.{name:?}.webhook_url: there is no such action");
            let target = self.target(url).with_context(|| format!("actions.{name:?}.webhook_url"))?;
            targets.insert(Action::parse(name)?, target);
        }
        let timeout = self.config.remote.webhook_timeout_ms.into();
        Ok((!targets.is_empty()).then(|| UrlWebhooks::new(targets, timeout)))
    }

    /// Who is asked who connects and calls, and told who has left.
    pub(crate) fn gate(&self, clock: Arc<dyn Clock>) -> anyhow::Result<Option<Gate>> {
        let hooks = &self.config.hooks;
        let hook = |setting, url: &Option<String>| {
            let timeout = hooks.timeout_ms.into();
            let hook = |url: &String| anyhow::Ok(Hook::new(self.target(url)?, timeout));
            url.as_ref().map(hook).transpose().context(setting)
        };
        let connect = hook("hooks.connect_url", &hooks.connect_url)?;
        let disconnect = hook("hooks.disconnect_url", &hooks.disconnect_url)?;
        if connect.is_none() && disconnect.is_none() {
            return Ok(None);
        }
        let Hooks { headers, allowed_origins, instead_of_tokens, session_s, .. } = hooks;
        let Hooks { calls_remembered_ms, calls_remembered_max, .. } = hooks;
        let headers = headers.iter().map(|name| Ok(name.parse()?)).collect::<anyhow::Result<_>>();
        Ok(Some(Gate {
            admits: connect.is_some(),
            // Without keys no token is good: it is the application's to look at.
            instead_of_tokens: *instead_of_tokens || (connect.is_some() && !self.config.auth.names_keys()),
            headers: headers.context("hooks.headers")?,
            allowed_origins: allowed_origins.clone(),
            calls_remembered_for: calls_remembered_ms.duration(),
            calls_remembered_max: *calls_remembered_max,
            keeper: Arc::new(Keeper { connect, disconnect, session: session_s.duration(), clock }),
        }))
    }
}

/// Asks by URL.
struct Keeper {
    connect: Option<Hook>,
    disconnect: Option<Hook>,
    /// How long somebody is admitted for, unless the hook says.
    session: Duration,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Gatekeeper for Keeper {
    async fn admit(&self, knock: Knock) -> Result<Identity, Turned> {
        let Some(hook) = &self.connect else { return Err(Turned::Unauthorized) };
        let Knock { entry, path, query, headers, ip_address } = knock;
        let (connection_id, method) = match entry {
            Entry::Connection(connection) => (Some(connection.to_string()), None),
            Entry::Call(method) => (None, Some(method.to_string())),
        };
        let knock = streamer_remote::Knock { connection_id, method, path, query, headers, ip_address };
        let admitted = hook.connect(&knock).await.map_err(|refused| match refused {
            Refused::Unauthorized => Turned::Unauthorized,
            Refused::Forbidden => Turned::Forbidden,
            Refused::Unavailable => Turned::Unavailable,
        })?;
        let now = self.clock.now();
        let expires_at = admitted.expires_at.unwrap_or(now + self.session);
        let streamer_remote::Admitted { user_id, tenant_id, permissions, topics, .. } = admitted;
        let identity = Identity::of(&user_id, &tenant_id, permissions, topics, expires_at);
        identity.filter(|identity| identity.expires_at > now).ok_or_else(|| {
            warn!("a connect hook admitted somebody with a name that is not usable, or until a time that is past");
            Turned::Unavailable
        })
    }

    async fn left(&self, record: &ConnectionRecord, reason: &'static str, at: Timestamp) {
        let Some(hook) = &self.disconnect else { return };
        let left = Disconnected {
            connection_id: record.id.to_string(),
            user_id: record.user.to_string(),
            tenant_id: record.tenant.to_string(),
            reason: reason.to_owned(),
            connected_at: record.connected_at,
            disconnected_at: at,
        };
        hook.disconnect(&left).await;
    }
}
