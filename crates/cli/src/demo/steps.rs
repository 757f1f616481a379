//! The steps of the walk. Each gives a line about what it saw, or why it failed.

pub(super) mod auth;
pub(super) mod breaker;
pub(super) mod broadcast;
pub(super) mod crash;
pub(super) mod disconnect;
pub(super) mod echo;
pub(super) mod leave;
pub(super) mod report;
