//! Why a piece of work came to no result.

use std::error::Error;

/// What lies behind a failure: for the log, never for the client.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// What was asked for cannot be done; asking again changes nothing.
    #[error("{field}: {message}")]
    Invalid {
        /// The path of the field in the payload, such as `data_source.path`.
        field: String,
        /// What is wrong with it, fit for the client's eyes.
        message: String,
    },
    /// Nobody wants the result any more.
    #[error("cancelled")]
    Cancelled,
    /// Something failed on our side.
    #[error("{doing} failed")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Fault,
    },
}

impl Problem {
    /// Says that `field` of the payload cannot be as it is.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// For `map_err`: says what was being done when `source` came.
    pub fn failed<E: Into<Fault>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Failed { doing, source: source.into() }
    }
}
