//! The server over real sockets on loopback, with a store in memory.

mod harness;

mod admin;
mod artifacts;
mod bounds;
mod breakers;
mod connecting;
mod draining;
mod frames;
mod hostile;
mod keys;
mod leaving;
mod messages;
mod pulse;
mod rates;
mod refused;
mod slow;
mod tls;
mod tokens;
mod topics;
