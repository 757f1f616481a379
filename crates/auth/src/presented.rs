//! Where a client put its token.

use crate::{Rejected, Token};

/// The WebSocket subprotocol that the server speaks and answers with.
pub const SUBPROTOCOL: &str = "streamer.v1";

const BEARER_PROTOCOL: &str = "bearer.";

/// What came with an upgrade or a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The token, not yet checked.
    pub token: Token,
    /// What the answer's `Sec-WebSocket-Protocol` says, if anything: a browser that offered subprotocols
    /// closes the connection unless one of them is chosen, wherever its token came from. Never the token.
    pub subprotocol: Option<&'static str>,
}

/// Finds the token in the raw query (`Authorization=<JWT>`, percent-encoded or not, with or without
/// `Bearer`), the `Authorization` header (`Bearer <JWT>`) or the `Sec-WebSocket-Protocol` header
/// (`streamer.v1, bearer.<JWT>`; several such headers are joined by commas). The header goes before the
/// subprotocol, and that before the query. Another scheme in the header is passed over: a proxy's may stand
/// there.
///
/// [`Rejected::Missing`] is the only error: whether the token is good is for
/// [`Verifier::verify`](crate::Verifier::verify) to say.
pub fn presented(
    query: Option<&str>,
    authorization: Option<&str>,
    protocols: Option<&str>,
) -> Result<Presented, Rejected> {
    let offered = || protocols.unwrap_or_default().split(',').map(str::trim);
    let subprotocol = offered().any(|protocol| protocol == SUBPROTOCOL).then_some(SUBPROTOCOL);

    let in_header = || authorization.and_then(after_bearer).map(Token::new);
    let in_protocols = || {
        subprotocol?; // without its partner nothing could be echoed, and the token never is
        offered()
            .find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
            .filter(|t| !t.is_empty())
            .map(Token::new)
    };
    let in_query = || query.and_then(from_query);

    let token = in_header().or_else(in_protocols).or_else(in_query).ok_or(Rejected::Missing)?;
    Ok(Presented { token, subprotocol })
}

fn from_query(query: &str) -> Option<Token> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "Authorization" || name == "authorization")
        .find_map(|(_, value)| {
            let value = value.trim();
            match value.split_once(' ') {
                Some(_) => after_bearer(value).map(Token::new),
                None => {
                    (!value.is_empty() && !value.eq_ignore_ascii_case("bearer")).then(|| Token::new(value))
                }
            }
        })
}

/// What follows `Bearer`; the scheme's case does not matter (RFC 9110, section 11.1).
fn after_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(query: Option<&str>, authorization: Option<&str>, protocols: Option<&str>) -> Option<String> {
        presented(query, authorization, protocols).ok().map(|found| found.token.as_str().to_owned())
    }

    #[test]
    fn the_query_carries_it_as_api_gateway_clients_send_it() {
        for query in [
            "Authorization=a.b.c",
            "authorization=a.b.c",
            "x=1&Authorization=a.b.c&y=2",
            "Authorization=Bearer%20a.b.c",
            "Authorization=bearer+a.b.c",
            "Authorization=a%2Eb%2Ec",
            "Authorization=&Authorization=a.b.c",
        ] {
            assert_eq!(token(Some(query), None, None).as_deref(), Some("a.b.c"), "{query}");
        }
        for query in [
            "",
            "Authorization",
            "Authorization=",
            "Authorization=Bearer",
            "Authorization=Bearer%20",
            "Authorization=Basic%20a.b.c",
            "AUTHORIZATION=a.b.c",
            "token=a.b.c",
            "Authorizations=a.b.c",
        ] {
            assert_eq!(presented(Some(query), None, None), Err(Rejected::Missing), "{query}");
        }
    }

    #[test]
    fn the_header_carries_it_as_a_bearer() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(token(None, Some(header), None).as_deref(), Some("a.b.c"), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "a.b.c", "Basic a.b.c", "Bearera.b.c"] {
            assert_eq!(presented(None, Some(header), None), Err(Rejected::Missing), "{header}");
        }
    }

    #[test]
    fn the_subprotocol_pair_carries_it_and_only_the_name_is_echoed() {
        for protocols in
            ["streamer.v1, bearer.a.b.c", "bearer.a.b.c,streamer.v1", "x , streamer.v1 ,bearer.a.b.c"]
        {
            let found = presented(None, None, Some(protocols)).expect("a token");
            assert_eq!(found.token.as_str(), "a.b.c", "{protocols}");
            assert_eq!(found.subprotocol, Some("streamer.v1"), "{protocols}");
        }
        for protocols in
            ["", "streamer.v1", "bearer.a.b.c", "streamer.v1, bearer.", "streamer.v2, bearer.a.b.c"]
        {
            assert_eq!(presented(None, None, Some(protocols)), Err(Rejected::Missing), "{protocols}");
        }
    }

    #[test]
    fn the_header_wins_then_the_subprotocol_then_the_query() {
        let (query, header, protocols) =
            (Some("Authorization=q.q.q"), Some("Bearer h.h.h"), Some("streamer.v1, bearer.p.p.p"));
        assert_eq!(token(query, header, protocols).as_deref(), Some("h.h.h"));
        assert_eq!(token(query, None, protocols).as_deref(), Some("p.p.p"));
        assert_eq!(token(query, Some("Basic cHJveHk6"), None).as_deref(), Some("q.q.q"));
        assert_eq!(presented(None, None, None), Err(Rejected::Missing));
    }

    #[test]
    fn an_offered_subprotocol_is_answered_wherever_the_token_was() {
        let found = presented(Some("Authorization=a.b.c"), None, Some("streamer.v1")).expect("a token");
        assert_eq!(found.subprotocol, Some("streamer.v1"));
        let found = presented(Some("Authorization=a.b.c"), None, Some("graphql-ws")).expect("a token");
        assert_eq!(found.subprotocol, None);
    }
}
