//! Tokens, issued before anything is measured.

use std::path::Path;

use anyhow::Result;
use streamer_auth::{Algorithm, Grant, KeyPair, Signer};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, UserId};

/// Whose tokens these are, but for the last.
pub(crate) const TENANT: &str = "bench";

/// Makes a key pair, leaves its public half in `folder`, and issues `count` RS256 tokens, each to a user of its own, and
/// one to a user of another tenant.
pub(crate) fn issue(folder: &Path, count: usize) -> Result<(Vec<String>, String)> {
    let pair = KeyPair::generate(Algorithm::Rs256)?;
    std::fs::write(folder.join("public.pem"), pair.public_pem())?;
    let signer = Signer::from_pem(Algorithm::Rs256, pair.private_pem())?;
    let now = SystemClock.now();
    let token = |tenant: &str, user: String| {
        let mut grant = Grant::new(UserId::new(user), TenantId::new(tenant));
        grant.permissions = vec!["read".to_owned(), "write".to_owned()];
        anyhow::Ok(signer.issue(&grant, now)?.as_str().to_owned())
    };
    let tokens = (0..count).map(|user| token(TENANT, format!("user-{user}"))).collect::<Result<_>>()?;
    Ok((tokens, token("guests", "guest".to_owned())?))
}
