//! Handlers of one's own. The binaries beside this are whole servers; the code in the project's README is
//! compiled here too.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
