//! Making a connection.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use streamer_protocol::ErrorBody;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        error::UrlError,
        handshake::client::{Request, Response},
        http::{
            HeaderValue, Uri,
            header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::WebSocketConfig,
    },
};

use crate::{ConnectError, Refusal, Settings, TokenPlacement};

/// The subprotocol that the server confirms where the token comes as its companion.
const SUBPROTOCOL: &str = "streamer.v1";

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One attempt.
pub(crate) async fn dial(settings: &Arc<Settings>) -> Result<Socket, ConnectError> {
    let attempt = async {
        let token = settings.token.token().await?;
        let request = upgrade(&settings.url, token.as_deref(), settings.placement)?;
        open(settings, request).await.map_err(connect_error)
    };
    let connect_timeout = settings.connect_timeout;
    timeout(connect_timeout, attempt).await.map_err(|_| ConnectError::Timeout(connect_timeout))?
}

async fn open(settings: &Settings, request: Request) -> Result<Socket, Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(settings.message_bytes_max))
        .max_frame_size(Some(settings.message_bytes_max));
    let nagle_off = true;
    #[cfg(feature = "tls")]
    let (socket, _) = {
        let connector = match request.uri().scheme_str() {
            Some("wss") => Some(tokio_tungstenite::Connector::Rustls(tls(settings)?)),
            _ => None,
        };
        tokio_tungstenite::connect_async_tls_with_config(request, Some(config), nagle_off, connector).await?
    };
    #[cfg(not(feature = "tls"))]
    let (socket, _) = tokio_tungstenite::connect_async_with_config(request, Some(config), nagle_off).await?;
    Ok(socket)
}

#[cfg(feature = "tls")]
fn tls(settings: &Settings) -> Result<Arc<rustls::ClientConfig>, Error> {
    if let Some(config) = &settings.tls {
        return Ok(config.clone());
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    // Named, as a process that holds two of them has no default one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Io(std::io::Error::other(e)))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The request for an upgrade that carries the token.
fn upgrade(url: &str, token: Option<&str>, placement: TokenPlacement) -> Result<Request, ConnectError> {
    // No reason is told: the address may hold a secret.
    let uri: Uri = url.parse().map_err(|_| ConnectError::Url("not a URL".to_owned()))?;
    let bare = || uri.clone().into_client_request().map_err(connect_error);
    let secret = |text: String| {
        let mut value = HeaderValue::try_from(text).map_err(|_| ConnectError::UnusableToken)?;
        value.set_sensitive(true);
        Ok(value)
    };
    let Some(token) = token else { return bare() };
    match placement {
        TokenPlacement::Header => {
            let mut request = bare()?;
            request.headers_mut().insert(AUTHORIZATION, secret(format!("Bearer {token}"))?);
            Ok(request)
        }
        TokenPlacement::Subprotocol => {
            let mut request = bare()?;
            let pair = secret(format!("{SUBPROTOCOL}, bearer.{token}"))?;
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, pair);
            Ok(request)
        }
        TokenPlacement::Query => {
            let query =
                form_urlencoded::Serializer::new(String::new()).append_pair("Authorization", token).finish();
            let (path, separator) = match uri.path_and_query() {
                Some(path) if path.query().is_some() => (path.as_str(), '&'),
                Some(path) => (path.as_str(), '?'),
                None => ("/", '?'),
            };
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = format!("{path}{separator}{query}").parse().ok();
            let uri = Uri::from_parts(parts).map_err(|_| ConnectError::UnusableToken)?;
            uri.into_client_request().map_err(connect_error)
        }
    }
}

fn connect_error(e: Error) -> ConnectError {
    match e {
        Error::Http(answer) => ConnectError::Refused(Box::new(refusal(&answer))),
        Error::Url(UrlError::TlsFeatureNotEnabled) => {
            ConnectError::Url("wss needs the feature `tls`".to_owned())
        }
        Error::Url(UrlError::UnsupportedUrlScheme) => ConnectError::Url("neither ws nor wss".to_owned()),
        Error::Url(UrlError::NoHostName | UrlError::EmptyHostName) => {
            ConnectError::Url("it names no host".to_owned())
        }
        e => ConnectError::Network(Box::new(e)),
    }
}

fn refusal(answer: &Response) -> Refusal {
    let error = answer.body().as_deref().and_then(error_body);
    let header = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let said = error.as_ref().and_then(|error| error.retry?.after).map(Duration::from_millis);
    Refusal { status: answer.status().as_u16(), error, retry_after: header.max(said) }
}

/// `{"error": {…}}`, as in an error frame, or the error alone.
fn error_body(body: &[u8]) -> Option<ErrorBody> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        Inside { error: ErrorBody },
        Bare(ErrorBody),
    }
    match serde_json::from_slice(body).ok()? {
        Body::Inside { error } | Body::Bare(error) => Some(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_where_it_was_told_to() {
        let url = "ws://example.test/prod?x=1";
        let header = upgrade(url, Some("a.b-c_d"), TokenPlacement::Header).expect("valid");
        assert_eq!(header.headers()[AUTHORIZATION], "Bearer a.b-c_d");
        assert_eq!(header.uri().path_and_query().expect("given").as_str(), "/prod?x=1");

        let pair = upgrade(url, Some("a.b"), TokenPlacement::Subprotocol).expect("valid");
        assert_eq!(pair.headers()[SEC_WEBSOCKET_PROTOCOL], "streamer.v1, bearer.a.b");
        assert!(!format!("{:?}", pair.headers()).contains("a.b"), "a sensitive header is not shown");

        let query = upgrade(url, Some("a&b=c"), TokenPlacement::Query).expect("valid");
        assert_eq!(query.uri().query(), Some("x=1&Authorization=a%26b%3Dc"));
        let root = upgrade("ws://example.test", Some("t"), TokenPlacement::Query).expect("valid");
        assert_eq!(root.uri().path_and_query().expect("made").as_str(), "/?Authorization=t");
    }

    #[test]
    fn an_unusable_address_or_token_is_told() {
        assert!(matches!(upgrade("not a url", None, TokenPlacement::Header), Err(ConnectError::Url(_))));
        let split = upgrade("ws://example.test", Some("a\nb"), TokenPlacement::Header);
        assert!(matches!(split, Err(ConnectError::UnusableToken)));
    }

    #[test]
    fn both_shapes_of_an_error_body_are_read() {
        let inside = error_body(br#"{"error":{"code":"UNAUTHORIZED","message":"no token"}}"#).expect("read");
        let bare = error_body(br#"{"code":"UNAUTHORIZED","message":"no token"}"#).expect("read");
        assert_eq!(inside, bare);
        assert_eq!(error_body(b"<html>"), None);
    }
}
