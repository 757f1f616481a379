//! What runs a request.

use std::{future::Future, marker::PhantomData, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use streamer_protocol::Json;

use crate::{Context, Failure};

/// Runs the requests of one action, short ones and long ones. Most handlers are plain async functions
/// `(Context, Payload) -> Result<Answer, Failure>`; see [`IntoHandler`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Looks at the payload before the request is accepted: what is rejected here is never stored.
    fn validate(&self, _payload: &Json) -> Result<(), Failure> {
        Ok(())
    }

    /// How long this payload will take, if the handler can tell; otherwise the action's own estimate holds.
    fn estimated_duration(&self, _payload: &Json) -> Option<Duration> {
        None
    }

    /// Does the work. It may be dropped at any `await` once it was asked to stop and did not. It may run more
    /// than once: what it does outside must bear that, or the action must say that it is not repeatable.
    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure>;
}

/// What can be routed to: a [`Handler`], or an async function of a [`Context`] and a payload that
/// deserializes. A payload that does not is rejected by the path of its wrong field.
pub trait IntoHandler<Shape> {
    /// The handler.
    type Handler: Handler;

    /// As a handler.
    fn into_handler(self) -> Self::Handler;
}

impl<H: Handler> IntoHandler<()> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

/// An async function as a handler.
#[derive(Debug)]
pub struct Function<F, P> {
    function: F,
    payload: PhantomData<fn() -> P>,
}

impl<F, P, R, Running> IntoHandler<(P, R, Running)> for F
where
    F: Fn(Context, P) -> Running + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    Running: Future<Output = Result<R, Failure>> + Send + 'static,
{
    type Handler = Function<F, P>;

    fn into_handler(self) -> Function<F, P> {
        Function { function: self, payload: PhantomData }
    }
}

#[async_trait]
impl<F, P, R, Running> Handler for Function<F, P>
where
    F: Fn(Context, P) -> Running + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    Running: Future<Output = Result<R, Failure>> + Send + 'static,
{
    fn validate(&self, payload: &Json) -> Result<(), Failure> {
        read::<P>(payload).map(drop)
    }

    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure> {
        let answer = (self.function)(cx, read(&payload)?).await?;
        Json::of(&answer).map_err(Failure::retry)
    }
}

/// Reads a payload, or names the field that is wrong.
pub(crate) fn read<P: DeserializeOwned>(payload: &Json) -> Result<P, Failure> {
    let mut json = serde_json::Deserializer::from_str(payload.as_str());
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        Failure::reject("the payload is not what the action takes").also_at(&path, placeless(e.inner()))
    })
}

/// What is wrong, without its place in the text: that would only mislead, where the text is a part of a message.
pub(crate) fn placeless(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned()
}
