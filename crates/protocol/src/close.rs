//! Why a connection was closed, and whether to come back.

/// The codes with which the server closes a WebSocket. 1000–1015 are RFC 6455's (section 7.4.1), 4000–4999 are
/// our own; a client that knows no code reads the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client asked to close.
    Normal = 1000,
    /// The server is going away (draining): reconnect, it may be another.
    GoingAway = 1001,
    /// The client broke the WebSocket protocol.
    ProtocolError = 1002,
    /// A binary frame: messages are text.
    Unsupported = 1003,
    /// A text frame that is not UTF-8.
    InvalidText = 1007,
    /// A frame or message over the bound.
    TooLarge = 1009,
    /// The server failed.
    InternalError = 1011,
    /// The token expired: reconnect with a fresh one.
    TokenExpired = 4401,
    /// An operator or the application ended this connection: do not come back by yourself.
    Disconnected = 4403,
    /// The client read too slowly: reconnect and resume.
    SlowConsumer = 4408,
    /// Nothing was heard from the client for two heartbeats: reconnect and resume.
    Silent = 4410,
    /// A message was begun and not finished in time: reconnect and resume.
    Unfinished = 4411,
    /// Messages kept coming far over the rate: reconnect, and send less.
    RateLimited = 4429,
}

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// Reconnect with backoff, and resume.
    Yes,
    /// Reconnect once there is a fresh token.
    WithFreshToken,
    /// Stay away: the same would happen again.
    No,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// The reason sent beside the number.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::GoingAway => "the server is draining",
            Self::ProtocolError => "protocol error",
            Self::Unsupported => "messages are text frames",
            Self::InvalidText => "a text frame holds UTF-8",
            Self::TooLarge => "message too large",
            Self::InternalError => "internal error",
            Self::TokenExpired => "token expired",
            Self::Disconnected => "disconnected by the server",
            Self::SlowConsumer => "slow consumer",
            Self::Silent => "nothing heard for two heartbeats",
            Self::Unfinished => "a message was not finished in time",
            Self::RateLimited => "too many messages",
        }
    }

    /// What a client does after a close with this number; unknown numbers below 4000 mean come back.
    #[must_use]
    pub const fn reconnect(code: u16) -> Reconnect {
        match code {
            4401 => Reconnect::WithFreshToken,
            1000 | 1002 | 1003 | 1007 | 1009 | 4403 => Reconnect::No,
            _ => Reconnect::Yes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_knows_when_to_come_back() {
        assert_eq!(CloseCode::reconnect(CloseCode::GoingAway.as_u16()), Reconnect::Yes);
        assert_eq!(CloseCode::reconnect(CloseCode::SlowConsumer.as_u16()), Reconnect::Yes);
        assert_eq!(CloseCode::reconnect(CloseCode::TokenExpired.as_u16()), Reconnect::WithFreshToken);
        assert_eq!(CloseCode::reconnect(CloseCode::TooLarge.as_u16()), Reconnect::No);
        assert_eq!(CloseCode::reconnect(CloseCode::RateLimited.as_u16()), Reconnect::Yes);
        assert_eq!(CloseCode::reconnect(1006), Reconnect::Yes);
    }
}
