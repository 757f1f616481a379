//! The doors of Streamer: a WebSocket and an HTTP door on one address, an admin address beside them, and the
//! hub that holds the connections.
//!
//! Whoever runs a server binds the listeners ([`bind`] does it well) and gives a token that stops it; see [`Door::accept`],
//! [`Hub::run`] and [`Admin::serve`].

mod addresses;
mod admin;
mod answer;
mod artifact;
mod connection;
mod credentials;
mod door;
mod frames;
mod gate;
mod http;
mod hub;
mod line;
mod link;
mod listen;
mod management;
mod output;
mod patience;
mod places;
mod proxy;
mod query;
mod rate;
mod refusals;
mod settings;
mod stage;
mod stream;
mod tls;
mod upgrade;
mod vitals;
mod volley;
mod waiting;
mod wire;

pub use admin::{Admin, AdminSettings, PublishLetter};
pub use door::{Door, Readiness};
pub use gate::{Entry, Gate, Gatekeeper, Knock, Turned};
pub use http::HttpSettings;
pub use hub::Hub;
pub use listen::bind;
pub use management::Management;
pub use settings::Settings;
pub use tls::{Half, Refreshed, Tls, TlsError};
pub use vitals::Vitals;
