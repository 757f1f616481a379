//! Makes servers be there that are not, by the package managers of the system and of Java.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Missing, is_root, mongodb, postgres};

const STAND_IN: &str = include_str!("../java/StandIn.java");
const POM: &str = include_str!("../java/pom.xml");

/// Installs PostgreSQL from the system's packages, unless it is there. Each command is shown before it runs.
pub fn postgres() -> Result<(), Missing> {
    if postgres::programs().is_some() {
        return Ok(());
    }
    let missing = |e: io::Error| Missing::new(postgres::WHAT, e);
    apt_install(&["postgresql"]).map_err(missing)?;
    match postgres::programs() {
        Some(_) => Ok(()),
        None => Err(missing(io::Error::other("was installed, and is still not found"))),
    }
}

/// Installs the stand-in for MongoDB into a folder of tools, unless it is there; Java and Maven too, if they are not.
/// Each command is shown before it runs.
pub fn mongodb(tools: &Path) -> Result<(), Missing> {
    if mongodb::classes().is_some() {
        return Ok(());
    }
    // Another may have been faster.
    stand_in(tools).or_else(|e| mongodb::classes().map(drop).ok_or_else(|| Missing::new(mongodb::WHAT, e)))
}

/// Where tools are installed: in the target folder that holds this program, or else in the user's cache.
pub fn tools() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    // As cargo marks the folders that it makes.
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map(|target| target.join("tools")).or_else(cache)
}

/// The user's folder for what can be had again.
pub(crate) fn cache() -> Option<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("streamer/tools"))
}

fn stand_in(tools: &Path) -> io::Result<()> {
    if !(runs(mongodb::java("java"), "-version")
        && runs(mongodb::java("javac"), "-version")
        && runs("mvn", "-v"))
    {
        apt_install(&["default-jdk-headless", "maven"])?;
    }
    // Made beside and moved: a folder of the final name is whole, even if this is interrupted.
    let unfinished = tools.join(format!("{}.unfinished-{}", mongodb::FOLDER, std::process::id()));
    fs::create_dir_all(&unfinished)?;
    build(&unfinished)
        .and_then(|()| fs::rename(&unfinished, tools.join(mongodb::FOLDER)))
        .inspect_err(|_| drop(fs::remove_dir_all(&unfinished)))
}

fn build(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("pom.xml"), POM)?;
    fs::write(folder.join("StandIn.java"), STAND_IN)?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    run(maven.arg(format!("-DoutputDirectory={}", folder.display())).current_dir(folder))?;
    let mut compiler = Command::new(mongodb::java("javac"));
    run(compiler.args(["-cp", "*", "-d", ".", "StandIn.java"]).current_dir(folder))
}

fn apt_install(packages: &[&str]) -> io::Result<()> {
    if !runs("apt-get", "--version") {
        let packages = packages.join(" and ");
        let why = format!("not here, and neither is apt-get: install {packages} by the system's own means");
        return Err(io::Error::other(why));
    }
    let apt = |args: &[&str]| {
        let mut apt = Command::new(if is_root() { "apt-get" } else { "sudo" });
        if !is_root() {
            apt.args(["-n", "apt-get"]);
        }
        run(apt.args(["-q", "-y"]).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install: Vec<_> = ["install", "--no-install-recommends"].iter().chain(packages).copied().collect();
    // The package lists may be older than the packages.
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
}

fn runs(program: impl AsRef<std::ffi::OsStr>, asked: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(asked).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Shows the command and runs it to its end.
fn run(command: &mut Command) -> io::Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("$ {shown}");
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|e| io::Error::new(e.kind(), format!("{shown}: {e}")))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{shown}: {status}"))) }
}
