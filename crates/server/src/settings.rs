//! The server's limits. Every one of them can be set.

use std::time::Duration;

use ipnet::IpNet;

use crate::HttpSettings;

/// How the doors and the hub behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's address as connection records have it, such as `10.0.0.7:8080`.
    pub endpoint: String,
    /// Path prefixes under which the doors are found too, such as `/prod`: clients of API Gateway use a stage.
    pub path_prefixes: Vec<String>,
    /// Proxies whose forwarding headers name the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// How many connections one client address (of IPv6: one /64 network) may ask for in a minute, and at once
    /// after a quiet minute. 0: any number.
    pub address_connections_per_minute: u32,
    /// How many calls over HTTP of one client address may be refused for their tokens in a minute, and at once after a
    /// quiet minute; more are told to wait. 0: any number.
    pub address_refusals_per_minute: u32,
    /// For how many addresses each of these is counted at once.
    pub addresses_max: usize,
    /// How many connections there are at once.
    pub connections_max: usize,
    /// How many connections one tenant has at once.
    pub tenant_connections_max: usize,
    /// How many messages one connection may send in a minute, and at once after a quiet minute. More are refused;
    /// a peer that goes on to ten times as many is closed. Over HTTP, one user's calls. 0: any number.
    pub messages_per_minute: u32,
    /// How long a client may take for one message, from its first byte to its last.
    pub message_timeout: Duration,
    /// The largest message a client may send, in bytes.
    pub message_bytes_max: usize,
    /// How much may wait for one connection's peer, in bytes. A single larger message passes when nothing waits.
    pub outbound_bytes_max: usize,
    /// How many messages may wait for one connection's peer.
    pub outbound_messages_max: usize,
    /// How long a peer may take nothing while something waits for it.
    pub stall_timeout: Duration,
    /// Between two pings. A connection that was silent for two of them is closed.
    pub heartbeat: Duration,
    /// How long a connection outlives its token.
    pub token_grace: Duration,
    /// How long a client may take for the head of a request.
    pub head_timeout: Duration,
    /// How long a client may take for its TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// How many TLS handshakes are under way at once; more wait, and slow ones make room for them.
    pub tls_handshakes_max: usize,
    /// How long a close may take, the peer's answer included.
    pub close_timeout: Duration,
    /// How many sockets are open at once; more wait to be accepted.
    pub sockets_max: usize,
    /// Within how long clients are told to reconnect when the server is going away.
    pub drain_spread: Duration,
    /// The HTTP door.
    pub http: HttpSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: "localhost".to_owned(),
            path_prefixes: Vec::new(),
            trusted_proxies: Vec::new(),
            address_connections_per_minute: 10,
            address_refusals_per_minute: 60,
            addresses_max: 65_536,
            connections_max: 16_384,
            tenant_connections_max: 10_000,
            messages_per_minute: 100,
            message_timeout: Duration::from_secs(60),
            message_bytes_max: streamer_protocol::MESSAGE_BYTES_MAX,
            outbound_bytes_max: 1024 * 1024,
            outbound_messages_max: 4096,
            stall_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(30),
            token_grace: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(10),
            tls_handshakes_max: 1024,
            close_timeout: Duration::from_secs(2),
            sockets_max: 20_000,
            drain_spread: Duration::from_secs(5),
            http: HttpSettings::default(),
        }
    }
}
