//! The Rust client of Streamer.
//!
//! A [`Client`] keeps one connection, makes it again when it breaks, and lets every open [`Call`] go on where it
//! stood: a caller sees each update once and in order, however often the connection was lost.
//!
//! ```no_run
//! use streamer_client::{Client, Settings, Update};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(Settings::new("ws://127.0.0.1:8080/ws").token("eyJ…")).await?;
//! let report = serde_json::json!({ "start_date": "2026-01-01", "end_date": "2026-06-30", "format": "pdf" });
//! let mut call = client.request("generate_report").payload(&report).send().await?;
//! while let Some(update) = call.next().await {
//!     if let Update::Progress(progress) = update {
//!         println!("{:.0} % {}", progress.percentage, progress.message);
//!     }
//! }
//! println!("{}", call.outcome().await?.as_str());
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Subscription`] to a topic lasts over connections in the same way:
//!
//! ```no_run
//! # use streamer_client::{CallError, Client, TopicUpdate};
//! # async fn example(client: Client) -> Result<(), CallError> {
//! let mut orders = client.subscribe("orders.eu").begin().await?;
//! while let Some(update) = orders.next().await? {
//!     match update {
//!         TopicUpdate::Message(event) => println!("{}: {}", event.offset, event.data.as_str()),
//!         TopicUpdate::Subscribed(anew) => println!("some were lost: {:?}", anew.lost),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is bounded, and by which setting, stands at [`Settings`].

mod backoff;
mod book;
mod builtin;
mod call;
mod client;
mod collected;
mod dial;
mod driver;
mod error;
mod inbox;
mod line;
mod mailbox;
mod open_call;
mod request;
mod settings;
mod state;
mod token;
mod topic;
mod topic_book;
mod track;
mod update;

pub use backoff::Backoff;
pub use builtin::{Page, Standing};
pub use call::Call;
pub use client::Client;
pub use collected::{Chunks, Collected};
pub use error::{CallError, ConnectError, Refusal, RequestError, SendError};
pub use request::RequestBuilder;
pub use settings::Settings;
pub use state::{Closed, ConnectionState};
pub use token::TokenPlacement;
pub use topic::{Subscription, SubscriptionBuilder, TopicUpdate};
pub use update::Update;

pub use streamer_protocol as protocol;
pub use streamer_protocol::{
    CloseCode, ErrorCode, Event, Json, Position, Present, Published, RequestId, RequestStatus, Subscribed,
};
