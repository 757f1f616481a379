//! How blocking work tells how far it is, and learns that it should stop.

use crate::problem::Problem;

/// Whoever waits for the work.
pub trait Progress {
    /// Tells that `percentage` (0–100) of the work is done and what comes next. `Cancelled` when nobody wants
    /// the result any more.
    fn report(&mut self, percentage: f64, message: &str) -> Result<(), Problem>;

    /// `Cancelled` when nobody wants the result any more. Cheap: meant for every batch of a long loop.
    fn still_wanted(&self) -> Result<(), Problem>;
}

#[cfg(test)]
pub(crate) mod testing {
    //! A listener for tests.

    use super::*;

    /// Remembers what it was told; cancels after `patience` reports.
    pub(crate) struct Recorder {
        pub(crate) steps: Vec<(f64, String)>,
        patience: usize,
    }

    impl Recorder {
        pub(crate) fn new() -> Self {
            Self::with_patience(usize::MAX)
        }

        pub(crate) fn with_patience(patience: usize) -> Self {
            Self { steps: Vec::new(), patience }
        }

        pub(crate) fn percentages(&self) -> Vec<f64> {
            self.steps.iter().map(|(percentage, _)| *percentage).collect()
        }
    }

    impl Progress for Recorder {
        fn report(&mut self, percentage: f64, message: &str) -> Result<(), Problem> {
            self.still_wanted()?;
            self.steps.push((percentage, message.to_owned()));
            Ok(())
        }

        fn still_wanted(&self) -> Result<(), Problem> {
            if self.steps.len() < self.patience { Ok(()) } else { Err(Problem::Cancelled) }
        }
    }
}
