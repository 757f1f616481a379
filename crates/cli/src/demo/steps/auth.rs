//! Tokens: a valid one opens the door; none, an expired and a forged one do not.

use std::time::Instant;

use streamer_auth::{Algorithm, Keys, PublicKey, Settings, Verifier};
use streamer_engine::clock::{Clock as _, SystemClock};

use crate::demo::{
    peer::Refused,
    stage::{Stage, TokenKind, percentile},
};

/// How often what is measured is done.
const CONNECTS: usize = 50;
const CHECKS: usize = 500;

pub(in crate::demo) async fn valid(stage: &mut Stage) -> anyhow::Result<String> {
    let mut spans = Vec::with_capacity(CONNECTS);
    for _ in 0..CONNECTS {
        let token = stage.token("ada", TokenKind::Valid)?;
        let started = Instant::now();
        let peer = stage.peer_with(Some(&token)).await?;
        spans.push(started.elapsed());
        peer.close().await?;
    }
    let connect = percentile(&mut spans, 0.5);
    stage.measured("connect_p50", connect);

    let key = PublicKey::from_pem(Algorithm::Rs256, &stage.public_pem()?)?;
    let verifier = Verifier::new(Settings::new(Keys::new([key])?));
    let token = stage.token("ada", TokenKind::Valid)?;
    let mut spans = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let started = Instant::now();
        verifier.verify(&token, SystemClock.now())?;
        spans.push(started.elapsed());
    }
    stage.measured("jwt_check", percentile(&mut spans, 0.5));
    Ok(format!(
        "101 for a valid token, {CONNECTS} times, {:.1} ms at the median",
        connect.as_secs_f64() * 1000.0
    ))
}

pub(in crate::demo) async fn missing(stage: &mut Stage) -> anyhow::Result<String> {
    refused(stage, None, "missing").await
}

pub(in crate::demo) async fn expired(stage: &mut Stage) -> anyhow::Result<String> {
    let token = stage.token("ada", TokenKind::Expired)?;
    refused(stage, Some(&token), "expired").await
}

pub(in crate::demo) async fn forged(stage: &mut Stage) -> anyhow::Result<String> {
    let token = stage.token("ada", TokenKind::Forged)?;
    refused(stage, Some(&token), "bad_signature").await
}

/// 401 with a JSON body, and counted by its reason.
async fn refused(stage: &mut Stage, token: Option<&str>, reason: &str) -> anyhow::Result<String> {
    let Err(e) = stage.peer_with(token).await else { anyhow::bail!("the connection was accepted") };
    let Some(Refused { status, body }) = e.downcast_ref() else { return Err(e) };
    anyhow::ensure!(*status == 401, "refused with {status} rather than 401");
    let body: serde_json::Value = serde_json::from_str(body)?;
    anyhow::ensure!(body["error"]["code"] == "UNAUTHORIZED", "the body says {body}");

    let (_, metrics) = stage.operator().call(hyper::Method::GET, "/metrics", None).await?;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let counted = metrics.lines().find(|line| {
        line.starts_with("streamer_authentication_failures_total") && line.contains(&format!("\"{reason}\""))
    });
    let counted = counted.ok_or_else(|| anyhow::anyhow!("no metric counts reason {reason:?}"))?;
    let count = counted.rsplit(' ').next().unwrap_or_default();
    Ok(format!("401 {}; counted as {reason}: {count}", body["error"]["message"]))
}
