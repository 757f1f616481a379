//! From an HTTP request to a WebSocket, by RFC 6455 section 4.2.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use streamer_auth::{Identity, Rejected};
use streamer_engine::store::{ConnectionRecord, ErrorKind};
use streamer_protocol::{ConnectionId, ErrorBody, ErrorCode, Timestamp};
use tokio::{sync::oneshot, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::{error, info};

use crate::{
    answer,
    connection::{Connection, Ending, Socket},
    credentials::TokenState,
    door::Shared,
    gate::{self, Entry},
    hub::tell_draining,
    listen::SocketPermit,
    patience::Patient,
    places::{Full, Place},
    proxy,
    wire::Wire,
};

/// How long the socket may take to change hands.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Small buffers: most connections are idle, and each has its own.
const READ_BUFFER_BYTES: usize = 3072;
const WRITE_BUFFER_BYTES: usize = 8192;

/// The longest `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

/// Checks the token, stores the connection, and only then answers 101.
pub(crate) async fn upgrade(shared: Arc<Shared>, peer: SocketAddr, mut request: Request) -> Response {
    if let Some(refused) = shared.draining() {
        return refused;
    }
    let address = proxy::client_address(peer.ip(), request.headers(), &shared.settings.trusted_proxies);
    // Before the token is looked at: that costs more than this.
    if let Some(refused) = shared.over_rate(address) {
        return refused;
    }
    // Sorts by time: the records of those who come together are stored together.
    let now = shared.engine.clock().now();
    let connection = ConnectionId::new(shared.engine.random().uuid(now).simple().to_string());
    let identified = identify(&shared, &connection, address, request.uri(), request.headers()).await;
    let (identity, subprotocol) = match identified {
        Ok(identified) => identified,
        Err(refused) => return *refused,
    };
    if !request.body().is_end_stream() {
        // What is body to whoever stands before us would be frames to us.
        return answer::error(ErrorBody::new(ErrorCode::ValidationError, "an upgrade has no body"));
    }
    let accept_key = match accept_key(request.headers()) {
        Ok(accept_key) => accept_key,
        Err(refused) => return *refused,
    };
    let permit = request.extensions_mut().remove::<SocketPermit>();
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return upgrade_required("the connection cannot be upgraded");
    };

    let place = match shared.hub.place(&identity.tenant) {
        Ok(place) => place,
        Err(full) => return no_place(full),
    };

    let engine = &shared.engine;
    let now = engine.clock().now();
    let record = record(&shared, connection, address, request.headers(), &identity, now);
    let token = Arc::new(TokenState::new(identity, shared.verifier.clone(), Arc::clone(engine.clock())));
    let (stored, storing) = oneshot::channel();
    let held = Held { _place: place, _permit: permit };
    shared.hub.tasks.spawn(live(Arc::clone(&shared), record, token, on_upgrade, held, stored));
    match storing.await {
        Ok(Ok(())) => {}
        Ok(Err(failed)) => return answer::error(failed),
        Err(_) => return answer::error(ErrorBody::new(ErrorCode::InternalError, "the connection failed")),
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

/// What a connection holds as long as it lives.
struct Held {
    _place: Place,
    _permit: Option<SocketPermit>,
}

/// Who connects: by the token, or by the application's word; and the subprotocol to answer with.
async fn identify(
    shared: &Shared,
    connection: &ConnectionId,
    address: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Identity, Option<&'static str>), Box<Response>> {
    let by_token = match &shared.gate {
        Some(gate) if gate.asks(true) => Err(Rejected::Missing),
        _ => shared.authenticate(uri, headers).await,
    };
    match (by_token, &shared.gate) {
        (Ok(identified), _) => Ok(identified),
        (Err(Rejected::Missing), Some(gate)) if gate.asks(false) => {
            // Nobody is asked about what could not become a connection.
            accept_key(headers)?;
            let entry = Entry::Connection(connection.clone());
            let knock = gate.knock(entry, uri, headers, address.to_string());
            let identity =
                gate.keeper.admit(knock).await.map_err(|turned| Box::new(gate::turned_away(turned)))?;
            Ok((identity, gate::offered(headers)))
        }
        (Err(rejected), _) => Err(Box::new(answer::rejected(rejected))),
    }
}

/// A connection's life, from its record to its log line. A task of its own from the start: the HTTP library drops
/// the answering of a request whose client leaves, but what was stored must be forgotten again.
async fn live(
    shared: Arc<Shared>,
    record: ConnectionRecord,
    token: Arc<TokenState>,
    on_upgrade: OnUpgrade,
    held: Held,
    stored: oneshot::Sender<Result<(), ErrorBody>>,
) {
    let engine = &shared.engine;
    // Boxed, so that a connection does not hold the room for this all its life.
    let session = match Box::pin(engine.connect(&record, Arc::clone(&token) as _)).await {
        Ok(session) => session,
        Err(e) => {
            let correlation_id = engine.random().uuid(engine.clock().now()).to_string();
            error!(correlation_id, operation = "connect", error = %e, "a connection could not be stored");
            // It may have been stored all the same. What cannot be removed now expires.
            let _ = engine.store().disconnect(&record.id).await;
            let failed = match e.kind() {
                ErrorKind::NoSpace => engine.refused_for_space(),
                _ => ErrorBody::new(ErrorCode::InternalError, "the connection could not be stored"),
            };
            let _ = stored.send(Err(failed.correlated(correlation_id)));
            return;
        }
    };
    metrics::counter!("streamer_connections_established_total").increment(1);
    let link = shared.hub.add(record.id.clone());
    if shared.draining.is_cancelled() {
        tell_draining(&link, engine, shared.settings.drain_spread);
    }
    // If nobody waits for this the client has left, and the upgrade fails.
    let _ = stored.send(Ok(()));
    let ending = match timeout(UPGRADE_TIMEOUT, on_upgrade).await {
        Ok(Ok(upgraded)) => {
            let socket = socket(upgraded, shared.settings.message_bytes_max).await;
            let (link, session) = (Arc::clone(&link), Arc::clone(&session));
            let settings = Arc::clone(&shared.settings);
            Connection::new(socket, link, session, token, engine.clone(), settings).serve().await
        }
        Ok(Err(_)) | Err(_) => Ending::Lost,
    };
    shared.hub.remove(&link);
    Box::pin(engine.disconnect(&session)).await;
    let now = engine.clock().now();
    let duration = now.since(record.connected_at).as_secs_f64();
    let (messages_sent, messages_received) = link.counts();
    metrics::counter!("streamer_connections_ended_total", "reason" => ending.as_str()).increment(1);
    metrics::histogram!("streamer_connection_duration_seconds").record(duration);
    info!(
        event_type = "connection_disconnected",
        operation = "disconnect",
        correlation_id = %record.id,
        connection_id = %record.id,
        user_id = %record.user,
        tenant_id = %record.tenant,
        duration_seconds = duration,
        messages_sent,
        messages_received,
        disconnect_reason = ending.as_str(),
        disconnect_time = %now,
        "disconnected"
    );
    drop(held);
    if let Some(gate) = &shared.gate {
        Box::pin(gate.keeper.left(&record, ending.as_str(), now)).await;
    }
}

/// The socket itself again, without the HTTP library around it.
async fn socket(upgraded: Upgraded, message_bytes_max: usize) -> Socket {
    let parts = upgraded.downcast::<TokioIo<Patient>>().expect("what `listen` serves");
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    // Copied: it is little or nothing, and must not keep the HTTP library's larger buffer for good.
    let read = parts.read_buf.to_vec();
    let wire = Wire::new(parts.io.into_inner().into_inner(), &read);
    WebSocketStream::from_partially_read(wire, read, Role::Server, Some(config)).await
}

fn record(
    shared: &Shared,
    id: ConnectionId,
    address: IpAddr,
    headers: &HeaderMap,
    identity: &Identity,
    now: Timestamp,
) -> ConnectionRecord {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    ConnectionRecord {
        id,
        user: identity.user.clone(),
        tenant: identity.tenant.clone(),
        endpoint: shared.settings.endpoint.clone(),
        connected_at: now,
        last_ping: now,
        user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        ip_address: Some(address.to_string()),
        expires_at: now + shared.engine.settings().connection_ttl,
    }
}

/// The answer to a connection for which there is no place now.
fn no_place(full: Full) -> Response {
    const AGAIN: Duration = Duration::from_secs(5);
    metrics::counter!("streamer_rate_limited_total", "what" => full.as_str()).increment(1);
    answer::later(ErrorCode::RateLimited, full.message(), AGAIN)
}

/// The answer to the client's key, if the request asks for a WebSocket in a way that we speak.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Box<Response>> {
    let has = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(Box::new(upgrade_required("connect with a WebSocket client")));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(Box::new(upgrade_required("the WebSocket version is 13")));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        let missing = ErrorBody::new(ErrorCode::ValidationError, "the Sec-WebSocket-Key header is missing");
        return Err(Box::new(answer::error(missing)));
    };
    if !is_nonce(key.as_bytes()) {
        let wrong =
            ErrorBody::new(ErrorCode::ValidationError, "the Sec-WebSocket-Key is not 16 bytes in base64");
        return Err(Box::new(answer::error(wrong)));
    }
    Ok(HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 is a header value"))
}

/// Sixteen bytes in base64: 22 digits and the padding.
fn is_nonce(key: &[u8]) -> bool {
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(digit) && key.ends_with(b"==")
}

fn upgrade_required(message: &str) -> Response {
    let error = ErrorBody::new(ErrorCode::ValidationError, message);
    let mut response = answer::with_status(StatusCode::UPGRADE_REQUIRED, error);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}
