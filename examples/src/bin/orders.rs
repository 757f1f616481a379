//! Handlers of events of one's own: orders, and how many of them a customer has.
//!
//! `cargo run -p streamer-examples --bin orders -- events setup`, then `… -- events run`.

use serde::Deserialize;
use streamer_events::{Document, Event, Rejection, Write};

#[derive(Deserialize)]
struct Placed {
    customer_id: String,
    total: i64,
}

fn placed(event: &Event) -> Result<Vec<Write>, Rejection> {
    let order: Placed = event.payload()?; // what does not fit is a dead letter that says where
    Ok(vec![
        Write::on("orders", &*event.aggregate_id).insert(Document::new().with("total", order.total)),
        Write::on("customers", order.customer_id).creating().increment("orders", 1),
    ])
}

fn main() -> std::process::ExitCode {
    streamer_cli::Application::new().events(|shipped| shipped.on("OrderPlaced", "orders", placed)).run()
}
