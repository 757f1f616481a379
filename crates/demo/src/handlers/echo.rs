//! `echo_async`: the shortest way through the queue.

use serde::Serialize;
use streamer_engine::{
    Context, Failure,
    protocol::{Json, RequestId},
};

/// What `echo_async` answers.
#[derive(Debug, Serialize)]
pub(super) struct Echo {
    echo: Json,
    request_id: RequestId,
    attempt: u32,
}

pub(super) async fn echo(cx: Context, payload: Json) -> Result<Echo, Failure> {
    cx.progress(50.0, "Echoing…").await?;
    let echo = Echo { echo: payload, request_id: cx.request_id().clone(), attempt: cx.attempt() };
    cx.progress(100.0, "Echoed").await?;
    Ok(echo)
}
