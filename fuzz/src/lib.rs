//! What a stranger may send and what a disk may hold, made up by seed: each [`Target`] takes bytes and says what about
//! them went wrong.
//!
//! An input is a seed's: one of the target's examples, mutated. Nothing guides the search by what the code does with an
//! input, as that takes an unstable compiler; in return each target has an oracle of its own, a vocabulary, and examples
//! that reach deep, so that a stable toolchain, the tests and CI run the same thing. What is found is made smaller, kept
//! in a file, and printed with the command that shows it again.

mod examples;
mod hunt;
mod mutation;
mod panics;
pub mod targets;

pub use hunt::{Found, Limit, hunt, replay};
pub use mutation::{INPUT_BYTES_MAX, mutated};

/// Something that takes bytes from outside.
pub trait Target {
    /// Its name: on the command line, and of its folder of examples.
    fn name(&self) -> &'static str;

    /// Inputs from which others are made.
    fn examples(&self) -> Vec<Vec<u8>>;

    /// Bytes that mean something to it.
    fn words(&self) -> &'static [&'static str];

    /// Takes an input; or says what it should not have done. A panic is one of these, on whatever thread.
    fn take(&mut self, input: &[u8]) -> Result<(), String>;
}
