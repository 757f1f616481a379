//! Where scenarios are played.

/// A running Streamer, as a scenario sees it.
pub trait Place: Send + Sync {
    /// The name by which scenarios say what it cannot do: `server`, `aws`.
    fn name(&self) -> &str;

    /// Where to upgrade, such as `ws://127.0.0.1:8080/ws`.
    fn ws_url(&self) -> String;

    /// Where HTTP is spoken, without a path, such as `http://127.0.0.1:8080`; `None` if it is not.
    fn http_url(&self) -> Option<String>;

    /// A token that this place takes or, by its kind, must not take.
    fn token(&self, wanted: &Wanted) -> String;
}

/// What a token shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The claim `sub`.
    pub user: String,
    /// The claim `tenant_id`.
    pub tenant: String,
    /// The claim `permissions`.
    pub permissions: Vec<String>,
    /// The claim `topics`.
    pub topics: Vec<String>,
    /// What is wrong with it, if anything.
    pub kind: TokenKind,
}

/// What is wrong with a token, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Nothing, for the next hour.
    Valid,
    /// It expired an hour ago or earlier.
    Expired,
    /// It says the right things, signed by another key.
    Forged,
}
