//! boto3 and the AWS command line, as `cargo xtask setup aws-clients` installs them: unmodified.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::command::{Ran, Shell};

/// Drives boto3: takes a list of calls, and prints what became of each.
const DRIVER: &str = include_str!("aws/calls.py");

/// An access key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its id.
    pub id: &'static str,
    /// Its secret.
    pub secret: &'static str,
}

/// The clients, in a folder where they find no configuration of anybody's.
#[derive(Debug)]
pub struct Clients {
    installed: PathBuf,
    folder: PathBuf,
}

/// What became of a call.
#[derive(Debug, Deserialize)]
pub struct Called {
    /// The HTTP status.
    pub status: u16,
    /// The class of the exception that boto3 raised, if it did.
    pub raised: Option<String>,
    /// Its message.
    pub message: Option<String>,
    /// What the answer's `x-amzn-RequestId` said.
    pub request_id: Option<String>,
    /// What boto3 read out of the answer.
    pub answer: Value,
}

impl Clients {
    /// The clients as they were installed below `tools`, to be run in `folder`.
    #[must_use]
    pub fn find(tools: &Path, folder: &Path) -> Option<Self> {
        let installed = tools.join("aws-clients");
        installed.exists().then(|| Self { installed, folder: folder.to_owned() })
    }

    /// Runs these calls with boto3, in order.
    pub async fn boto3(&self, calls: &[Value]) -> Vec<Called> {
        let calls = Value::from(calls).to_string();
        let printed = self.shell("python3").run(["-c", DRIVER, &calls]).await.succeeded();
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"))
    }

    /// `aws` with these arguments, as the holder of a key.
    pub async fn aws(&self, key: Key, arguments: &[&str]) -> Ran {
        self.held("aws", key, "").run(arguments).await
    }

    /// Python that somebody wrote down, as the holder of a key; `ID` is a connection.
    pub async fn python(&self, key: Key, id: &str, program: &str) -> Ran {
        self.held("python3", key, id).run(["-c", program]).await
    }

    /// Lines for a shell that somebody wrote down, likewise.
    pub async fn sh(&self, key: Key, id: &str, lines: &str) -> Ran {
        self.held("sh", key, id).run(["-euc", lines]).await
    }

    fn held(&self, program: &str, key: Key, id: &str) -> Shell {
        let shell = self.shell(program).variable("ID", id).variable("AWS_ACCESS_KEY_ID", key.id);
        shell.variable("AWS_SECRET_ACCESS_KEY", key.secret)
    }

    fn shell(&self, program: &str) -> Shell {
        let nowhere = self.folder.join("no-such-file").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        Shell::new(program, &self.folder)
            .variable("PATH", format!("{}:{path}", self.installed.join("bin").display()))
            .variable("PYTHONPATH", self.installed.display().to_string())
            .variable("AWS_CONFIG_FILE", &nowhere)
            .variable("AWS_SHARED_CREDENTIALS_FILE", &nowhere)
            .variable("AWS_EC2_METADATA_DISABLED", "true")
            .variable("AWS_DEFAULT_REGION", "us-east-1")
            .variable("NO_PROXY", "127.0.0.1")
    }
}
