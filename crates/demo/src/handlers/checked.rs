//! Typed functions that look at their payload before the request is accepted.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use streamer_engine::{Context, Failure, Handler, IntoHandler, protocol::Json};

use super::background::failure;
use crate::Problem;

/// A handler with a check and, if wanted, an estimate of its own.
pub(super) struct Checked<H, P> {
    handler: H,
    check: fn(&P) -> Result<(), Problem>,
    estimate: Option<fn(&P) -> Duration>,
}

/// A handler whose requests are accepted only if `check` finds no fault.
pub(super) fn checked<F, P, R, Running>(
    function: F,
    check: fn(&P) -> Result<(), Problem>,
) -> Checked<F::Handler, P>
where
    F: IntoHandler<(P, R, Running)>,
{
    Checked { handler: function.into_handler(), check, estimate: None }
}

impl<H, P> Checked<H, P> {
    /// The duration of a request as its payload tells it.
    pub(super) fn estimated(mut self, estimate: fn(&P) -> Duration) -> Self {
        self.estimate = Some(estimate);
        self
    }
}

#[async_trait]
impl<H: Handler, P: DeserializeOwned + 'static> Handler for Checked<H, P> {
    fn validate(&self, payload: &Json) -> Result<(), Failure> {
        self.handler.validate(payload)?;
        let payload: P = payload.get().map_err(|error| Failure::reject(error.to_string()))?;
        (self.check)(&payload).map_err(failure)
    }

    fn estimated_duration(&self, payload: &Json) -> Option<Duration> {
        let estimate = self.estimate?;
        payload.get().ok().map(|payload| estimate(&payload))
    }

    async fn process(&self, cx: Context, payload: Json) -> Result<Json, Failure> {
        self.handler.process(cx, payload).await
    }
}
