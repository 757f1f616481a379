//! The public door: WebSocket upgrades and HTTP, on one address.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
    routing::get,
};
use streamer_auth::{Identity, LiveVerifier, Presented, Rejected};
use streamer_engine::Engine;
use streamer_protocol::ErrorCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Gate, Hub, Management, Settings, Tls,
    addresses::Addresses,
    answer,
    gate::Remembered,
    http::{self, Allowances},
    listen::{self, Listening, Sockets},
    refusals::Refusals,
    tls::Handshakes,
    upgrade,
};

/// How often the addresses of those who came long ago are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What every handler of the door shares.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) hub: Hub,
    pub(crate) verifier: LiveVerifier,
    pub(crate) gate: Option<Gate>,
    /// What the gatekeeper said of calls over HTTP a moment ago.
    pub(crate) remembered: Remembered,
    pub(crate) settings: Arc<Settings>,
    pub(crate) addresses: Addresses,
    /// The addresses whose calls came with tokens that were refused.
    pub(crate) refusals: Refusals,
    /// How often each user may call, and what it may have worked on at once, over HTTP.
    pub(crate) calls: Allowances,
    /// How many streams of events each user may have at once.
    pub(crate) streams: Allowances,
    /// Fired when no new connections are taken.
    pub(crate) draining: CancellationToken,
}

/// The public door.
pub struct Door {
    shared: Arc<Shared>,
    listening: Arc<Listening>,
    management: Option<Management>,
}

impl Door {
    /// A door to `engine`, whose connections go to `hub`.
    #[must_use]
    pub fn new(engine: Engine, hub: Hub, verifier: impl Into<LiveVerifier>, settings: Settings) -> Self {
        let (verifier, settings) = (verifier.into(), Arc::new(settings));
        let addresses = Addresses::new(settings.address_connections_per_minute, settings.addresses_max);
        let refusals = Refusals::new(settings.address_refusals_per_minute, settings.addresses_max);
        let calls = Allowances::new(settings.http.user_calls_max, settings.messages_per_minute);
        let streams = Allowances::new(settings.http.user_streams_max, 0);
        let draining = CancellationToken::new();
        let listening = Listening {
            head_timeout: settings.head_timeout,
            stall_timeout: settings.stall_timeout,
            sockets: Sockets::new(settings.sockets_max),
            handshakes: None,
        };
        let shared = Arc::new(Shared {
            engine,
            hub,
            verifier,
            gate: None,
            remembered: Remembered::new(Duration::ZERO, 0),
            settings,
            addresses,
            refusals,
            calls,
            streams,
            draining,
        });
        Self { shared, listening: Arc::new(listening), management: None }
    }

    /// Serves the connection management API too, to those who sign.
    #[must_use]
    pub fn with_management(self, management: Management) -> Self {
        Self { management: Some(management), ..self }
    }

    /// Speaks TLS, and nothing in the clear.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let settings = &self.shared.settings;
        let (patience, max) = (settings.tls_handshake_timeout, settings.tls_handshakes_max);
        let listening = Listening {
            head_timeout: settings.head_timeout,
            stall_timeout: settings.stall_timeout,
            sockets: self.listening.sockets.clone(),
            handshakes: Some(Handshakes::new(tls, patience, max)),
        };
        Self { listening: Arc::new(listening), ..self }
    }

    /// With a gatekeeper, who says who comes without a token. Asked for before
    /// [`readiness`](Self::readiness).
    ///
    /// # Panics
    /// When somebody asks for the readiness already.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("nobody else has the door yet");
        shared.remembered = Remembered::new(gate.calls_remembered_for, gate.calls_remembered_max);
        shared.gate = Some(gate);
        self
    }

    /// Whether new connections are taken. Asked for after [`with_tls`](Self::with_tls).
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness { shared: Arc::clone(&self.shared), listening: Arc::clone(&self.listening) }
    }

    /// Accepts connections until `stop`. Then refuses new ones with 503 and tells every client to reconnect
    /// elsewhere; returns once `linger` is over, so that a balancer has seen the refusal.
    pub async fn accept(self, listener: TcpListener, stop: CancellationToken, linger: Duration) {
        let routes = routes(&self.shared, self.management.as_ref());
        let closing = CancellationToken::new();
        let told = async {
            stop.cancelled().await;
            self.shared.draining.cancel();
            self.shared.hub.tell_draining(&self.shared.engine, self.shared.settings.drain_spread);
            tokio::time::sleep(linger).await;
            closing.cancel();
        };
        let sweeping = async {
            let mut every = tokio::time::interval(SWEEP_INTERVAL);
            while closing.run_until_cancelled(every.tick()).await.is_some() {
                self.shared.addresses.sweep();
                self.shared.refusals.sweep();
            }
        };
        tokio::join!(listen::serve(listener, routes, self.listening, &closing), told, sweeping);
    }
}

/// Tells whether the door takes new connections, and how many are at it.
#[derive(Clone)]
pub struct Readiness {
    shared: Arc<Shared>,
    listening: Arc<Listening>,
}

impl Readiness {
    /// Whether it does.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shared.draining.is_cancelled()
    }

    /// Shows in the metrics what the door holds in memory just now.
    pub(crate) fn measure(&self) {
        let handshakes = self.listening.handshakes.as_ref().map_or(0, |handshakes| handshakes.len());
        metrics::gauge!("streamer_sockets_open").set(self.listening.sockets.open() as f64);
        metrics::gauge!("streamer_tls_handshakes_open").set(handshakes as f64);
        let addresses = self.shared.addresses.len() + self.shared.refusals.len();
        metrics::gauge!("streamer_addresses_counted").set(addresses as f64);
        metrics::gauge!("streamer_hook_calls_remembered").set(self.shared.remembered.len() as f64);
        let (calls, users) = self.shared.calls.measure();
        metrics::gauge!("streamer_http_calls_open").set(calls as f64);
        metrics::gauge!("streamer_http_users_counted").set(users as f64);
        metrics::gauge!("streamer_event_streams_active").set(self.shared.streams.measure().0 as f64);
    }
}

/// Where the doors are found: under each prefix, and without one.
pub(crate) fn prefixes(configured: &[String]) -> BTreeSet<&str> {
    configured.iter().map(|prefix| prefix.trim_end_matches('/')).chain([""]).collect()
}

fn routes(shared: &Arc<Shared>, management: Option<&Management>) -> Router {
    let mut routes = http::elsewhere(shared);
    if let Some(management) = management {
        routes = routes.merge(management.routes(None));
    }
    let prefixes = prefixes(&shared.settings.path_prefixes);
    for prefix in &prefixes {
        routes =
            routes.route(&format!("{prefix}/"), get(connect)).route(&format!("{prefix}/ws"), get(connect));
        if !prefix.is_empty() {
            routes = routes.route(prefix, get(connect));
        }
    }
    // Holds for the routes that are there by now.
    routes = routes.method_not_allowed_fallback(answer::method_not_allowed);
    for prefix in &prefixes {
        routes = routes.merge(http::routes(shared, prefix));
    }
    routes.with_state(Arc::clone(shared))
}

async fn connect(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    upgrade::upgrade(shared, peer, request).await
}

impl Shared {
    /// Who is asking, by the token that the request presents.
    pub(crate) async fn authenticate(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(Identity, Option<&'static str>), Rejected> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let protocols: Vec<_> = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let Presented { token, subprotocol } =
            streamer_auth::presented(uri.query(), authorization, Some(&protocols.join(",")))?;
        let identity = self.verifier.verify(token.as_str(), self.engine.clock().now()).await?;
        Ok((identity, subprotocol))
    }

    pub(crate) fn draining(&self) -> Option<Response> {
        const AGAIN: Duration = Duration::from_secs(1);
        self.draining.is_cancelled().then(|| {
            answer::later(ErrorCode::Overloaded, "the server is going away: connect elsewhere", AGAIN)
        })
    }

    /// Counts a new connection of this address. The answer, if there were too many of late.
    pub(crate) fn over_rate(&self, address: IpAddr) -> Option<Response> {
        let wait = self.addresses.admit(address).err()?;
        metrics::counter!("streamer_rate_limited_total", "what" => "address").increment(1);
        let message = "too many new connections from this address: wait";
        let mut response = answer::later(ErrorCode::RateLimited, message, wait);
        // Whoever does not wait has to come all the way again.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(response)
    }
}
