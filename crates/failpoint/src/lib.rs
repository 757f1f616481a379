//! Places where a test has the process die: one on either side of every durable step.
//!
//! Whoever has durable steps names them by [`steps!`] and comes to their places by [`before`] and [`after`]. Without the
//! feature `failpoints` those are empty. With it, `arm` chooses one place, and the process dies at once when it comes
//! there for the time that it says: no destructor runs, nothing is flushed, nothing is told.

/// A durable step, which is done as a whole or not at all, wherever its process dies.
pub trait Durable: Copy + Send {
    /// Its name; that of its places is this with `.before` or `.after`.
    fn name(self) -> &'static str;
}

/// Makes an enum of durable steps, each with its name, and a list that forgets none.
#[macro_export]
macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal,)+) => {
        /// A durable step, which is done as a whole or not at all, wherever its process dies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// Every step. A test that dies at each of them forgets none.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// Its name; that of its places is this with `.before` or `.after`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }

        impl $crate::Durable for Step {
            fn name(self) -> &'static str {
                self.name()
            }
        }
    };
}

/// Comes to the place before a step.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn before(_: impl Durable) {}

/// Comes to the place after a step.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn after(_: impl Durable) {}

/// A call with its places: the second only if it was done.
pub async fn around<T, E>(
    step: impl Durable,
    call: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, E> {
    around_some(step, call, |_| true).await
}

/// The same for a call that may find nothing to do: the second only if it found `some`.
pub async fn around_some<T, E>(
    step: impl Durable,
    call: impl Future<Output = Result<T, E>> + Send,
    some: impl FnOnce(&T) -> bool + Send,
) -> Result<T, E> {
    before(step);
    let done = call.await?;
    if some(&done) {
        after(step);
    }
    Ok(done)
}

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{after, arm, before};
