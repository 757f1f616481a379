//! Small HTTP calls, to the admin address and for artifacts.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Calls one address as one bearer of a token.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    token: String,
}

impl Http {
    /// For `http://` addresses: the admin address is a local one.
    pub(crate) fn new(base: impl Into<String>, token: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: base.into().trim_end_matches('/').to_owned(), token: token.into() }
    }

    /// The answer's status and body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default()))?;
        let answering = async {
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|e| anyhow::anyhow!("the answer could not be read: {e}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(TIMEOUT, answering).await;
        answered.context("no answer in time")?.with_context(|| format!("{} cannot be reached", self.base))
    }

    /// A JSON answer to a GET.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        parse(self.call(Method::GET, path, None).await?)
    }

    /// A JSON answer to a POST.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        parse(self.call(Method::POST, path, Some(serde_json::to_vec(body)?.into())).await?)
    }
}

/// What a JSON answer says; what it says of an error is one.
pub(crate) fn parse<T: DeserializeOwned>((status, body): (StatusCode, Bytes)) -> anyhow::Result<T> {
    if status.is_success() {
        return serde_json::from_slice(&body).context("the answer is not what was expected");
    }
    #[derive(serde::Deserialize)]
    struct Refused {
        error: streamer_protocol::ErrorBody,
    }
    match serde_json::from_slice::<Refused>(&body) {
        Ok(Refused { error }) => anyhow::bail!("{} ({status})", describe(&error)),
        Err(_) => anyhow::bail!("the server answered {status}"),
    }
}

/// An error in one line: its code, its message, its fields.
pub(crate) fn describe(error: &streamer_protocol::ErrorBody) -> String {
    let mut text = format!("{}: {}", error.code, error.message);
    if let Some(details) = &error.details {
        for field in &details.fields {
            text.push_str(&format!("; {}: {}", field.path, field.message));
        }
        if let Some(id) = &details.correlation_id {
            text.push_str(&format!("; correlation id {id}"));
        }
    }
    text
}
