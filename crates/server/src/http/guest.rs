//! Who calls without a token: whoever the application says.

use axum::{
    http::{HeaderValue, header, request::Parts},
    response::Response,
};
use streamer_auth::Identity;
use streamer_protocol::ErrorCode;
use tokio::time::Instant;

use super::{caller::client_address, problem};
use crate::{
    door::Shared,
    gate::{self, Entry, Gate, Presented},
};

/// Asks the application who it is, unless it said so a moment ago.
///
/// Each question is a call that anybody can have us make. So those whom it did not know count as new connections do, and
/// an address that has spent those is not asked about.
pub(super) async fn identify(shared: &Shared, gate: &Gate, parts: &Parts) -> Result<Identity, Response> {
    let address = client_address(shared, parts);
    let entry = Entry::Call(parts.method.clone());
    let knock = gate.knock(entry, &parts.uri, &parts.headers, address.to_string());
    let presented = Presented::of(&knock);
    if let Some(identity) = shared.remembered.find(&presented, shared.engine.clock().now()) {
        return Ok(identity);
    }
    if let Some(wait) = shared.addresses.wait(address) {
        metrics::counter!("streamer_rate_limited_total", "what" => "address").increment(1);
        let message = "too many calls from this address by nobody who is known: wait";
        return Err(problem::later(ErrorCode::RateLimited, message, wait));
    }
    let asked_at = Instant::now();
    match gate.keeper.admit(knock).await {
        Ok(identity) => {
            shared.remembered.note(presented, &identity, asked_at);
            Ok(identity)
        }
        Err(turned) => {
            if turned != gate::Turned::Unavailable {
                // Whether that was the last one, the next call tells.
                let _ = shared.addresses.admit(address);
            }
            let mut response = problem::problem(gate::refusal(turned));
            if turned == gate::Turned::Unauthorized {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Err(response)
        }
    }
}
