//! An address with its connections and its health.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use streamer_engine::{Breakers, clock::Clock};
use streamer_http::{Answer, Body, Pool};
use streamer_protocol::Timestamp;
use tokio::time::timeout;

use crate::{Signer, trouble::Trouble};

/// An address that was configured, as it is asked. Whoever names the same address shares its connections and its circuit.
pub struct Target {
    pub(crate) pool: Pool,
    pub(crate) signer: Signer,
    pub(crate) breakers: Arc<Breakers<String>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Target {
    /// Its address, without its query.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.pool.address().shown()
    }

    /// Posts JSON, and waits for the head of the answer; for ever, if need be, unless `first_byte` bounds it, from the
    /// moment on at which there is a connection.
    pub(crate) async fn post(
        &self,
        accept: &'static str,
        signed: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
        first_byte: Option<Duration>,
    ) -> Result<Answer, Trouble> {
        self.breakers.admit(&self.shown().to_owned()).map_err(Trouble::CircuitOpen)?;
        let address = self.pool.address();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(signed);
        self.signer.sign(&Method::POST, address.target(), &mut headers, &body);
        headers.insert(HOST, HeaderValue::try_from(address.authority()).expect("an authority is one"));
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("streamer/", env!("CARGO_PKG_VERSION"))));

        let mut request = streamer_http::Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address.target().clone();
        *request.headers_mut() = headers;
        // What waits for a connection has not been asked yet.
        let answering = self.pool.ready().await?.send(request);
        match first_byte {
            None => Ok(answering.await?),
            Some(span) => {
                let what = "the beginning of its answer";
                Ok(timeout(span, answering).await.map_err(|_| Trouble::Silent { what, span })??)
            }
        }
    }

    /// Notes how it went.
    pub(crate) fn note<T>(&self, went: &Result<T, Trouble>) {
        let name = self.shown().to_owned();
        match went {
            Err(
                Trouble::CircuitOpen(_)
                | Trouble::Stopped
                | Trouble::Engine(_)
                | Trouble::Http(streamer_http::Error::Busy),
            ) => {}
            Err(trouble) if trouble.is_of_the_address() => self.breakers.failed(&name),
            _ => self.breakers.succeeded(&name),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The next bytes of an answer.
pub(crate) async fn next(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, Trouble> {
    let silent = |_| Trouble::Silent { what: "more of its answer", span: idle };
    Ok(timeout(idle, body.next()).await.map_err(silent)?.transpose()?)
}

/// All of an answer that has no more than so many bytes.
pub(crate) async fn whole(body: &mut Body, idle: Duration, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let too_large = Trouble::TooLarge { what: "its answer", bytes_max };
    if body.announced().is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large);
    }
    let mut all = Vec::new();
    while let Some(bytes) = next(body, idle).await? {
        if all.len() + bytes.len() > bytes_max {
            return Err(too_large);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
