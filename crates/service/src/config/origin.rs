//! Where a setting comes from.

use std::{fmt, path::PathBuf};

/// The place that gave a setting its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was given: the built-in default.
    Default,
    /// The TOML file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A `.env` file.
    EnvFile {
        /// The file as it was named.
        path: PathBuf,
        /// From 1; unknown when the line could not be found again.
        line: Option<usize>,
        /// The variable that the line sets.
        variable: String,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// A flag of the command line, by its name.
    Flag(String),
}

impl Origin {
    /// The variable that gave the setting, if one did.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::EnvFile { variable, .. } | Self::Variable(variable) => Some(variable),
            Self::Default | Self::File { .. } | Self::Flag(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::EnvFile { path, line: Some(line), variable } => {
                write!(f, "{}, line {line}, {variable}", path.display())
            }
            Self::EnvFile { path, line: None, variable } => write!(f, "{}, {variable}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
