//! The binary as a command that is run to its end.

use std::{
    ffi::OsStr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::process::Command;

use crate::patience::within;

/// A shell's place: a binary, a folder, and variables.
#[derive(Debug, Clone)]
pub struct Shell {
    binary: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    open_files_max: Option<u32>,
    open_files_at_first: Option<u32>,
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Shell {
    /// Runs `binary` in `folder`.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            folder: folder.into(),
            variables: Vec::new(),
            open_files_max: None,
            open_files_at_first: None,
        }
    }

    /// The same place, with another binary.
    #[must_use]
    pub fn running(self, binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), ..self }
    }

    /// With one more variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a variable, or takes it away.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// The value of a variable that was set.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Lets what is run have no more than so many files open.
    #[must_use]
    pub fn open_files(mut self, max: Option<u32>) -> Self {
        self.open_files_max = max;
        self
    }

    /// Lets what is run have so many files open until it asks the system for more.
    #[must_use]
    pub fn open_files_at_first(mut self, count: Option<u32>) -> Self {
        self.open_files_at_first = count;
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command, not yet started: without input, and without what the variables of this process would configure.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let limits = [("-n", self.open_files_max), ("-S -n", self.open_files_at_first)];
        let limits: String = limits
            .into_iter()
            .filter_map(|(which, count)| Some(format!("ulimit {which} {} && ", count?)))
            .collect();
        let mut command = if limits.is_empty() {
            Command::new(&self.binary)
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{limits}exec \"$0\" \"$@\"")]).arg(&self.binary);
            command
        };
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            const WELL_KNOWN: [&str; 3] = ["BATCH_SIZE", "LOG_LEVEL", "METRICS_FILE"];
            let ours = ["STREAMER_", "JWT_", "POSTGRES_", "MONGODB_"].iter().any(|p| text.starts_with(p));
            if ours || WELL_KNOWN.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The same, started as systemd would with a socket of this name that it listens on.
    pub fn passing<S: AsRef<OsStr>>(
        &self,
        socket: impl Into<OwnedFd>,
        name: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let plain = self.command(arguments);
        let plain = plain.as_std();
        let mut command = Command::new("sh");
        // The process's number is known to none but itself: it stays the same from the shell to the program.
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 </dev/null";
        command.args(["-c", script]).arg(plain.get_program()).args(plain.get_args());
        for (variable, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        command.env("LISTEN_FDNAMES", name).current_dir(&self.folder).kill_on_drop(true);
        command.stdin(Stdio::from(socket.into()));
        command
    }

    /// Runs it to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let ended = within("a command's end", self.command(arguments).output()).await;
        Ran::of(ended.expect("the binary can be run"))
    }
}

impl Ran {
    /// What the output tells.
    #[must_use]
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What it printed; it must have done what it was to do.
    #[must_use]
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "it failed: {self}");
        self.stdout
    }

    /// What it complained about; it must have ended with this code, and not by a panic.
    #[must_use]
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "it did not fail as expected: {self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self.stderr
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {:?}\nprinted: {}\ncomplained: {}", self.code, self.stdout, self.stderr)
    }
}
