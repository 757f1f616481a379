//! Who comes without a token: the application itself says who that is.

mod remembered;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    response::Response,
};
use streamer_auth::{Identity, SUBPROTOCOL};
use streamer_engine::store::ConnectionRecord;
use streamer_protocol::{ConnectionId, ErrorBody, ErrorCode, Retry, Timestamp};
use tracing::info;

pub(crate) use remembered::{Presented, Remembered};

use crate::answer;

/// What of a query is never shown: by these names clients send tokens.
const SECRET_PARAMETERS: [&str; 7] =
    ["authorization", "token", "access_token", "id_token", "refresh_token", "jwt", "bearer"];

/// Where the request comes from, as the browser sees it (Fetch Metadata, section 2.4).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Asks the application.
#[async_trait]
pub trait Gatekeeper: Send + Sync {
    /// Who it is. Bounds by itself how long it takes. Whatever is no clear answer is [`Turned::Unavailable`].
    async fn admit(&self, knock: Knock) -> Result<Identity, Turned>;

    /// Somebody has left, whoever let them in. Bounds by itself how long it takes.
    async fn left(&self, record: &ConnectionRecord, reason: &'static str, at: Timestamp);
}

/// What somebody presents who wants to come in.
#[derive(Debug, Clone)]
pub struct Knock {
    /// What for.
    pub entry: Entry,
    /// The path that was asked for.
    pub path: String,
    /// Its query, without tokens.
    pub query: BTreeMap<String, String>,
    /// The headers that are to be shown, by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The client's address.
    pub ip_address: String,
}

/// What somebody wants to come in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A connection, which will be called so.
    Connection(ConnectionId),
    /// One call over HTTP, by this method.
    Call(Method),
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// It is not known who it is.
    Unauthorized,
    /// It is known, and not wanted.
    Forbidden,
    /// It could not be asked.
    Unavailable,
}

/// A gatekeeper, and what is shown to it.
#[derive(Clone)]
pub struct Gate {
    /// Who is asked.
    pub keeper: Arc<dyn Gatekeeper>,
    /// Whether it is asked who comes.
    pub admits: bool,
    /// Whether it is asked even if there is a token, which then nobody looks at.
    pub instead_of_tokens: bool,
    /// The headers that it is shown.
    pub headers: Vec<HeaderName>,
    /// The origins whose pages may come with what the browser adds by itself: cookies, and credentials that it
    /// remembers. Such as `https://app.example`.
    pub allowed_origins: Vec<String>,
    /// How long its word about a call over HTTP holds for calls that present the very same. Zero: each is asked about.
    pub calls_remembered_for: Duration,
    /// How many of its words are remembered.
    pub calls_remembered_max: usize,
}

impl Gate {
    /// Whether it is asked, given whether there is a token.
    pub(crate) fn asks(&self, has_token: bool) -> bool {
        self.admits && (self.instead_of_tokens || !has_token)
    }

    /// What the gatekeeper is shown.
    ///
    /// A page of any site can have a browser come here, and the browser adds the user's cookies (cross-site WebSocket
    /// hijacking, RFC 6455, section 10.2; cross-site request forgery). So cookies are looked at only if the page's origin
    /// is an allowed one: if there is none, or another, there are no cookies. One exception: a page of this very origin
    /// that reads over HTTP, for which browsers say no `Origin`, but `Sec-Fetch-Site` (Fetch Metadata), which no page can
    /// make up. What a browser may have remembered as `Authorization` is shown to clients that are no browsers, which say
    /// nothing of a page, and to those same pages.
    pub(crate) fn knock(&self, entry: Entry, uri: &Uri, headers: &HeaderMap, ip_address: String) -> Knock {
        let page = self.page(headers);
        let shown = |name: &HeaderName| match *name {
            header::COOKIE => false,
            header::AUTHORIZATION | header::PROXY_AUTHORIZATION => page != Page::Strange,
            _ => true,
        };
        let reads = matches!(&entry, Entry::Call(method) if method.is_safe());
        let trusted = page == Page::Allowed || (page == Page::Own && reads);
        let cookie = trusted.then_some(header::COOKIE);
        let names = self.headers.iter().filter(|name| shown(name)).chain(&cookie);
        let named = names.filter_map(|name| Some((name.as_str().to_owned(), joined(headers, name)?)));
        let parameters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let secret = |name: &str| SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        Knock {
            entry,
            path: uri.path().to_owned(),
            query: parameters.into_owned().filter(|(name, _)| !secret(name)).collect(),
            headers: named.collect(),
            ip_address,
        }
    }

    fn page(&self, headers: &HeaderMap) -> Page {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if self.allows(origin) => Page::Allowed,
            (Some(_), _) => Page::Strange,
            (None, _) => {
                let mut sites = headers.get_all(FETCH_SITE).iter().map(HeaderValue::as_bytes);
                match (sites.next(), sites.next()) {
                    // Typed by the user, or no browser.
                    (None | Some(b"none"), None) => Page::None,
                    (Some(b"same-origin"), None) => Page::Own,
                    _ => Page::Strange,
                }
            }
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.allowed_origins.iter().any(|allowed| origin.eq_ignore_ascii_case(allowed))
    }
}

/// The page that somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// Nothing is said of one: no browser.
    None,
    /// One of the very origin that is called, by the browser's word.
    Own,
    /// One of an allowed origin.
    Allowed,
    /// Another, or one that cannot be told.
    Strange,
}

/// The values of a header, as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    let between = if *name == header::COOKIE { "; " } else { ", " };
    (!values.is_empty()).then(|| values.join(between))
}

/// The subprotocol to answer with, if one of ours was offered.
pub(crate) fn offered(headers: &HeaderMap) -> Option<&'static str> {
    let offered =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|name| name.trim() == SUBPROTOCOL).then_some(SUBPROTOCOL)
}

/// What somebody is told who is not let in. The reason goes to log and metric.
pub(crate) fn refusal(turned: Turned) -> ErrorBody {
    let (reason, error) = match turned {
        Turned::Unauthorized => {
            ("hook_unauthorized", ErrorBody::new(ErrorCode::Unauthorized, "it is not known who you are"))
        }
        Turned::Forbidden => ("hook_forbidden", ErrorBody::new(ErrorCode::Forbidden, "you may not connect")),
        Turned::Unavailable => {
            let again = Retry { retryable: true, after: Some(1000), attempt: None, max_tries: None };
            let message = "it cannot be asked just now who you are: try again";
            ("hook_unavailable", ErrorBody::new(ErrorCode::Overloaded, message).retry(again))
        }
    };
    metrics::counter!("streamer_authentication_failures_total", "reason" => reason).increment(1);
    info!(operation = "authenticate", reason, "somebody without a token was refused");
    error
}

/// The answer to an upgrade that is refused so.
pub(crate) fn turned_away(turned: Turned) -> Response {
    let mut response = answer::error(refusal(turned));
    if turned == Turned::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    #[async_trait]
    impl Gatekeeper for Nobody {
        async fn admit(&self, _: Knock) -> Result<Identity, Turned> {
            Err(Turned::Unauthorized)
        }

        async fn left(&self, _: &ConnectionRecord, _: &'static str, _: Timestamp) {}
    }

    fn gate() -> Gate {
        Gate {
            keeper: Arc::new(Nobody),
            admits: true,
            instead_of_tokens: false,
            headers: vec![header::AUTHORIZATION, HeaderName::from_static("x-api-key"), header::COOKIE],
            allowed_origins: vec!["https://app.example".to_owned()],
            calls_remembered_for: Duration::ZERO,
            calls_remembered_max: 1,
        }
    }

    type Headers<'a> = &'a [(&'static str, &'static str)];

    fn shown_to(entry: Entry, headers: Headers<'_>, uri: &'static str) -> Knock {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        gate().knock(entry, &Uri::from_static(uri), &headers, "192.0.2.7".to_owned())
    }

    fn shown(headers: Headers<'_>, uri: &'static str) -> Knock {
        shown_to(Entry::Connection(ConnectionId::new("c")), headers, uri)
    }

    #[test]
    fn cookies_are_for_allowed_origins_alone() {
        let cookies = |origin: Headers<'_>| {
            let headers = [&[("cookie", "session=1")], origin].concat();
            shown(&headers, "/ws").headers.contains_key("cookie")
        };
        assert!(cookies(&[("origin", "https://app.example")]));
        assert!(cookies(&[("origin", "HTTPS://App.Example")]));
        for origin in [
            "https://evil.example",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://app.example/",
            "null",
            "",
        ] {
            assert!(!cookies(&[("origin", origin)]), "{origin}");
        }
        assert!(!cookies(&[]), "no origin is no allowed one, though `cookie` is among the headers to show");
    }

    #[test]
    fn what_a_browser_remembers_is_not_for_strange_pages() {
        let authorization = |origin: Headers<'_>| {
            let headers = [&[("authorization", "Basic eA=="), ("x-api-key", "k")], origin].concat();
            let knock = shown(&headers, "/ws");
            assert_eq!(knock.headers["x-api-key"], "k", "no browser adds it by itself");
            knock.headers.contains_key("authorization")
        };
        assert!(authorization(&[]));
        assert!(authorization(&[("origin", "https://app.example")]));
        assert!(!authorization(&[("origin", "https://evil.example")]));
    }

    #[test]
    fn two_origins_are_none_that_is_allowed() {
        let mut headers = HeaderMap::new();
        for origin in ["https://app.example", "https://evil.example"] {
            headers.append(header::ORIGIN, HeaderValue::from_static(origin));
        }
        assert_eq!(gate().page(&headers), Page::Strange);
    }

    #[test]
    fn a_page_of_this_origin_reads_by_cookie_and_changes_nothing_without_being_allowed() {
        const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
        let cookies = |method: Method, headers: Headers<'_>| {
            let headers = [&[("cookie", "session=1")], headers].concat();
            shown_to(Entry::Call(method), &headers, "/v1/requests").headers.contains_key("cookie")
        };
        for method in [Method::GET, Method::HEAD] {
            assert!(cookies(method.clone(), &[OWN]));
            for site in ["cross-site", "same-site", "none", "Same-Origin", ""] {
                assert!(!cookies(method.clone(), &[("sec-fetch-site", site)]), "{site}");
            }
            assert!(
                !cookies(method.clone(), &[OWN, ("origin", "https://evil.example")]),
                "the origin counts"
            );
            assert!(!cookies(method, &[]));
        }
        for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
            assert!(!cookies(method.clone(), &[OWN]));
            assert!(!cookies(method.clone(), &[("origin", "null"), OWN]));
            assert!(cookies(method, &[("origin", "https://app.example")]));
        }
        assert!(!shown(&[("cookie", "session=1"), OWN], "/ws").headers.contains_key("cookie"));
        // An image of a strange page is fetched without an origin, but not without a word.
        let remembered = [("authorization", "Basic eA=="), ("sec-fetch-site", "cross-site")];
        let call = shown_to(Entry::Call(Method::GET), &remembered, "/v1/usage");
        assert!(!call.headers.contains_key("authorization"));
    }

    #[test]
    fn only_named_headers_and_no_tokens_are_shown() {
        let headers =
            [("x-api-key", "k"), ("x-other", "o"), ("sec-websocket-protocol", "streamer.v1, bearer.t")];
        let knock = shown(&headers, "/ws?room=7&Authorization=hush&Token=hush&access_token=hush&room=8");
        assert_eq!(knock.headers.into_iter().collect::<Vec<_>>(), [("x-api-key".to_owned(), "k".to_owned())]);
        assert_eq!(knock.query.into_iter().collect::<Vec<_>>(), [("room".to_owned(), "8".to_owned())]);
        assert_eq!((knock.path.as_str(), knock.ip_address.as_str()), ("/ws", "192.0.2.7"));
    }
}
