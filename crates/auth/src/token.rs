//! A token as text, kept out of logs.

use std::fmt;

/// The longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A JSON Web Token as it travels. Whoever holds it is its user, so `Debug` shows nothing of it and there is
/// no `Display`; [`as_str`](Self::as_str) is the one way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the text as it is; a [`Verifier`](crate::Verifier) says whether it is good.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Token::new("aaa.bbb.ccc"))), "Some(Token(hidden))");
    }
}
