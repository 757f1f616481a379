//! What takes bytes from outside.

mod answers;
mod configuration;
mod frames;
mod key_sets;
mod records;
mod requests;
mod signatures;
mod template;
mod tokens;

pub use answers::Answers;
pub use configuration::{Configuration, Load};
pub use frames::{Door, Frames};
pub use key_sets::KeySets;
pub use records::{Ask, Pages, Rows};
pub use requests::Requests;
pub use signatures::{Signatures, Signed};
pub use tokens::{Tokens, Verify};

use crate::Target;

/// All of them, each as the product is.
#[must_use]
pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(Frames::default()),
        Box::new(Requests::default()),
        Box::new(Answers::default()),
        Box::new(Tokens::default()),
        Box::new(Signatures::default()),
        Box::new(KeySets::default()),
        Box::new(Configuration::default()),
        Box::new(Rows::default()),
        Box::new(Pages::default()),
    ]
}
