//! What came of the scenarios.

use std::fmt;

/// One verdict a scenario, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By the scenario's name.
    pub verdicts: Vec<(String, Verdict)>,
}

/// What came of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every step did what it should.
    Passed,
    /// The place cannot do it, for this reason.
    Unsupported(String),
    /// A step did not.
    Failed(Failure),
}

/// Which step did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// From 1 on.
    pub step: usize,
    /// What was expected and what came.
    pub why: String,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Passed => writeln!(f, "ok          {name}")?,
                Verdict::Unsupported(why) => writeln!(f, "unsupported {name}: {why}")?,
                Verdict::Failed(Failure { step, why }) => {
                    writeln!(f, "FAILED      {name}, step {step}: {why}")?
                }
            }
        }
        Ok(())
    }
}
