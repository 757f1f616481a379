//! Anybody's code, whose panics end nothing but itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// It panicked.
pub(crate) struct Panicked;

/// A future whose panics are caught: while it runs, and when what it holds is dropped, be it at its end or before.
pub(crate) struct Contained<F>(Option<Pin<Box<F>>>);

impl<F: Future> Contained<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F> Contained<F> {
    fn end(&mut self) -> Result<(), Panicked> {
        let future = self.0.take();
        catch_unwind(AssertUnwindSafe(|| drop(future))).map_err(|_| Panicked)
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(self.end().map(|()| output)),
            Err(_) => {
                let _ = self.end();
                Poll::Ready(Err(Panicked))
            }
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
