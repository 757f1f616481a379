//! The server over real sockets on loopback, with a store in memory.

mod harness;

mod admin;
mod artifacts;
mod at_once;
mod bounds;
mod breakers;
mod connecting;
mod documents;
mod draining;
mod frames;
mod hostile;
mod http_bounds;
mod http_cors;
mod http_events;
mod http_guests;
mod http_requests;
mod http_slow;
mod http_topics;
mod keys;
mod leaving;
mod management;
mod messages;
mod pulse;
mod rates;
mod refused;
mod slow;
mod tls;
mod tokens;
mod topics;
