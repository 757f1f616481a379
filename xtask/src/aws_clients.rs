//! boto3 and the AWS command line, as anybody installs them from PyPI, for the tests of the connection management API.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    run::{command, output, run},
    workspace::Workspace,
};

/// Both, and all that they stand on: every version is fixed, so that a test does not change by itself.
const PACKAGES: [&str; 13] = [
    "awscli==1.46.3",
    "boto3==1.44.8",
    "botocore==1.44.8",
    "colorama==0.4.6",
    "docutils==0.19",
    "jmespath==1.1.0",
    "pyasn1==0.6.5",
    "python-dateutil==2.9.0.post0",
    "PyYAML==6.0.4",
    "rsa==4.7.2",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
];

/// What was installed, and for which Python: one of the packages is built for a single version.
const RECORD: &str = "installed.txt";

/// Installs them into a folder of their own under the target folder, unless they are there. `e2e` looks for it by
/// this name.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let tools = workspace.target("tools");
    let folder = tools.join("aws-clients");
    let python = output(command("python3", workspace.root()).arg("--version"))?;
    let wanted = format!("{}\n{python}", PACKAGES.join("\n"));
    if fs::read_to_string(folder.join(RECORD)).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // Installed beside and moved: a folder of the final name is whole, even if this is interrupted.
    let unfinished = tools.join(format!("aws-clients.unfinished-{}", std::process::id()));
    let replace = || {
        run(command("python3", workspace.root())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--no-deps", "--only-binary", ":all:", "--target"])
            .arg(&unfinished)
            .args(PACKAGES))?;
        fs::write(unfinished.join(RECORD), &wanted)?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(&unfinished, &folder).context("cannot move the installed files")
    };
    replace()
        .inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
        .context("cannot install boto3 and the AWS command line")
}
