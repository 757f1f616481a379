//! An engine whose handlers are behind URLs, and a server there that does as it is told, however bad.

mod harness;

mod answers;
mod bounds;
mod hooks;
mod identity;
mod streams;
mod troubles;
mod webhooks;
