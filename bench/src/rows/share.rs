//! One tenant's single request while another's thousand wait: how many slot times until it begins. The floor is the
//! same request while nobody else has any.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Bench, Pair};
use crate::{
    crowd::Crowd,
    frame, machine,
    process::{Server, Side},
    row::{Aim, Row},
};

/// More than three times the places at work.
const WAITING: usize = 1000;

/// How long the work of one request takes: a slot time.
pub(crate) const SLOT: Duration = Duration::from_secs(1);

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut share = Pair::default();
    for _ in 0..bench.rounds {
        let server = Server::start(Side::Product, &bench.folder)?;
        share.add(Side::Floor, begins_after(bench, &server)?);
        let mut many = Crowd::open(server.address, &bench.tokens, 1)?;
        let mut acknowledged = 0;
        for _ in 0..WAITING {
            many.send(0, &frame::text(r#"{"action":"bench.slot","payload":{"sent_at_micros":0}}"#))?;
        }
        many.await_enough(|heard| {
            acknowledged += usize::from(heard.text.starts_with(br#"{"type":"acknowledgment""#));
            if acknowledged == WAITING { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        share.add(Side::Product, begins_after(bench, &server)?);
    }
    Ok(vec![Row::of("fair-share", "slot times", Aim::Below(2.0), &share.product, &share.floor)])
}

/// How many slot times after it was sent the guest's request began.
fn begins_after(bench: &Bench, server: &Server) -> Result<f64> {
    let mut guest = Crowd::open(server.address, std::slice::from_ref(&bench.guest), 1)?;
    let sent_at = machine::micros();
    let asked = format!(r#"{{"action":"bench.slot","payload":{{"sent_at_micros":{sent_at}}}}}"#);
    guest.send(0, &frame::text(&asked))?;
    let mut micros = None;
    guest.hear(Instant::now() + 30 * SLOT, |heard| match super::after_micros(heard.text) {
        Some(after) => {
            micros = Some(after);
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    })?;
    let micros = micros.ok_or_else(|| anyhow::anyhow!("the guest's request did not end in time"))?;
    Ok(micros as f64 / SLOT.as_micros() as f64)
}
