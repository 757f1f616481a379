//! What is stored of a connection.

use streamer_protocol::{ConnectionId, TenantId, Timestamp, UserId};

/// A live connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Its name.
    pub id: ConnectionId,
    /// Who connected.
    pub user: UserId,
    /// Whose data it may see.
    pub tenant: TenantId,
    /// Where it ends: `domain/stage` on AWS, the node's address elsewhere.
    pub endpoint: String,
    /// When it was accepted.
    pub connected_at: Timestamp,
    /// When it was last heard from.
    pub last_ping: Timestamp,
    /// The `User-Agent` of its upgrade.
    pub user_agent: Option<String>,
    /// The client's address, as a trusted proxy or the socket gives it.
    pub ip_address: Option<String>,
    /// When the record may be removed, whatever became of the connection.
    pub expires_at: Timestamp,
}

/// Which connections are wanted. Empty: all.
#[derive(Debug, Clone, Default)]
pub struct ConnectionFilter {
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of this user only.
    pub user: Option<UserId>,
}
