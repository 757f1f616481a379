//! Programs out of Debian's packages, unpacked under the target folder.
//!
//! Nothing is installed into the system and no service is started, so that this needs no rights. What is installed
//! already, or stands on the search path on another system, is used as it is.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    run::{command, output, run, succeeds},
    workspace::Workspace,
};

/// Programs that are wanted together.
pub(crate) struct Programs {
    /// Their folder among the tools.
    folder: &'static str,
    /// (program, the package that holds it).
    programs: &'static [(&'static str, &'static str)],
}

/// What stands before servers; `deploy/proxies` has a file for each.
pub(crate) const PROXIES: Programs = Programs {
    folder: "proxies",
    programs: &[("nginx", "nginx-light"), ("haproxy", "haproxy"), ("caddy", "caddy")],
};

impl Programs {
    /// Unpacks what is missing.
    pub(crate) fn prepare(&self, workspace: &Workspace) -> Result<()> {
        let folder = workspace.target("tools").join(self.folder);
        let missing = |(program, _): &&(&str, &str)| !is_there(program, &folder);
        let packages: Vec<_> = self.programs.iter().filter(missing).map(|(_, package)| *package).collect();
        if packages.is_empty() {
            return Ok(());
        }
        let named = packages.join(", ");
        // The second time with a fresh list of packages, which only root can have made.
        unpack(workspace, &packages, &folder)
            .or_else(|e| {
                let fresh = succeeds(command("apt-get", workspace.root()).args(["update", "-qq"]));
                if fresh { unpack(workspace, &packages, &folder) } else { Err(e) }
            })
            .with_context(|| format!("install {named} by hand: cannot unpack Debian's packages"))?;
        match self.programs.iter().find(missing) {
            Some((program, package)) => bail!("{package} holds no {program}"),
            None => Ok(()),
        }
    }
}

fn is_there(program: &str, unpacked: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers stand where only root looks by itself.
    let more = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    let unpacked = ["usr/sbin", "usr/bin"].map(|bin| unpacked.join(bin));
    env::split_paths(&path).chain(more).chain(unpacked).any(|bin| bin.join(program).is_file())
}

/// Unpacks packages, and those that they need and the system lacks.
fn unpack(workspace: &Workspace, packages: &[&str], folder: &Path) -> Result<()> {
    let root = workspace.root();
    let simulate = ["install", "--simulate", "-qq", "--no-install-recommends"];
    let planned = output(command("apt-get", root).args(simulate).args(packages))?;
    let planned: Vec<_> = planned.lines().filter_map(to_install).collect();
    // Made beside and moved: a folder of the final name is whole, even if this is interrupted.
    let unfinished = folder.with_file_name(format!("debian.unfinished-{}", std::process::id()));
    fs::create_dir_all(&unfinished)?;
    let unpacked = || {
        run(command("apt-get", root)
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
            .args(&planned)
            .current_dir(&unfinished))?;
        for file in fs::read_dir(&unfinished)? {
            let archive = file?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                run(command("dpkg-deb", root).arg("-x").arg(&archive).arg(&unfinished))?;
                fs::remove_file(archive)?;
            }
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(&unfinished, folder).context("cannot move the unpacked files")
    };
    ensure!(!planned.is_empty(), "apt-get would install nothing");
    unpacked().inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
}

/// The package of a line such as `Inst nginx (1.22.1-9 Debian:12/stable [amd64])`.
fn to_install(line: &str) -> Option<&str> {
    line.strip_prefix("Inst ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read() {
        let planned = "Inst liblua5.3-0 (5.3.6-2 Debian:12.15/oldstable [amd64])\n\
                       Inst libssl3 [3.0.1] (3.0.2 Debian:12 [amd64])\n\
                       Conf liblua5.3-0 (5.3.6-2 Debian:12.15/oldstable [amd64])";
        assert_eq!(planned.lines().filter_map(to_install).collect::<Vec<_>>(), ["liblua5.3-0", "libssl3"]);
    }
}
