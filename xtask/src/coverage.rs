//! `cargo xtask coverage`: which lines the tests run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    run::{command, output, run},
    tool,
    workspace::Workspace,
};

/// What the crates that are [held](is_held) to it must reach.
const PERCENT_MIN: f64 = 80.0;

/// The crates whose faults lose work: the engine, the stores and the server.
fn is_held(package: &str) -> bool {
    matches!(package, "streamer-engine" | "streamer-server")
        || (package.starts_with("streamer-store-") && package != "streamer-store-conformance")
}

/// The programs that measure.
pub(crate) struct Tools {
    cargo_llvm_cov: PathBuf,
    /// Where `llvm-cov` and `llvm-profdata` stand.
    llvm: PathBuf,
}

impl Tools {
    /// Those of the toolchain (`rustup component add llvm-tools`) if it has them, else installed ones.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let cargo_llvm_cov = tool::CARGO_LLVM_COV.find(workspace)?;
        let rustc = Rustc::ask(workspace.root())?;
        if rustc.tools.join("llvm-cov").exists() {
            return Ok(Self { cargo_llvm_cov, llvm: rustc.tools });
        }
        if rustc.llvm_major != tool::LLVM.major() {
            bail!(
                "this rustc is of LLVM {}, for which only `rustup component add llvm-tools` has the tools",
                rustc.llvm_major
            );
        }
        let llvm_cov = tool::LLVM.install(workspace)?;
        let llvm = llvm_cov.parent().expect("a program stands in a folder").to_owned();
        Ok(Self { cargo_llvm_cov, llvm })
    }
}

struct Rustc {
    llvm_major: String,
    /// The folder of the toolchain's own LLVM tools, if they are installed.
    tools: PathBuf,
}

impl Rustc {
    fn ask(root: &Path) -> Result<Self> {
        let version = output(command("rustc", root).arg("-vV"))?;
        let field = |name: &str| -> Result<&str> {
            let line = version.lines().find_map(|line| line.strip_prefix(name));
            line.with_context(|| format!("rustc does not say its {name}"))
        };
        let llvm_major = field("LLVM version: ")?.split('.').next().unwrap_or_default().to_owned();
        let sysroot = output(command("rustc", root).args(["--print", "sysroot"]))?;
        let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(field("host: ")?).join("bin");
        Ok(Self { llvm_major, tools })
    }
}

/// The part of `llvm-cov export` that is read here.
#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.count == 0 { 100.0 } else { self.covered as f64 * 100.0 / self.count as f64 }
    }
}

/// Runs every test with instrumentation, prints a table, and fails where a held crate is below the bound.
pub(crate) fn coverage(workspace: &Workspace) -> Result<()> {
    let tools = Tools::find(workspace)?;
    let report = workspace.target("coverage.json");
    run(command(&tools.cargo_llvm_cov, workspace.root())
        .args(["llvm-cov", "--workspace", "--no-fail-fast", "--json", "--summary-only", "--output-path"])
        .arg(&report)
        .env("RUSTFLAGS", rustflags())
        .env("LLVM_COV", tools.llvm.join("llvm-cov"))
        .env("LLVM_PROFDATA", tools.llvm.join("llvm-profdata")))?;
    let text = fs::read_to_string(&report).with_context(|| report.display().to_string())?;
    let export: Export = serde_json::from_str(&text).context("the report of llvm-cov")?;

    let crates = by_crate(&folders(workspace), export);
    println!("{:<28} {:>8} {:>8} {:>8}", "crate", "lines", "covered", "percent");
    for (name, lines) in &crates {
        let bound = if is_held(name) { format!("  at least {PERCENT_MIN} %") } else { String::new() };
        println!("{name:<28} {:>8} {:>8} {:>7.1}%{bound}", lines.count, lines.covered, lines.percent());
    }
    let low = too_low(&crates);
    if !low.is_empty() {
        bail!("below {PERCENT_MIN} % of lines: {}", low.join(", "));
    }
    Ok(())
}

/// The caller's flags, and profiles that LLVM tools built without zlib read too, as the installed ones are.
fn rustflags() -> String {
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    format!("{own} -C llvm-args=-enable-name-compression=false")
}

/// The folder of each package.
fn folders(workspace: &Workspace) -> Vec<(PathBuf, String)> {
    let folder = |package: &cargo_metadata::Package| {
        let manifest = package.manifest_path.as_std_path();
        (manifest.parent().expect("a manifest stands in a folder").to_owned(), package.name.to_string())
    };
    workspace.metadata.workspace_packages().into_iter().map(folder).collect()
}

fn by_crate(folders: &[(PathBuf, String)], export: Export) -> BTreeMap<String, Lines> {
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in export.data.into_iter().flat_map(|data| data.files) {
        let Some((_, name)) = folders.iter().find(|(folder, _)| file.filename.starts_with(folder)) else {
            continue;
        };
        let lines = crates.entry(name.clone()).or_default();
        lines.count += file.summary.lines.count;
        lines.covered += file.summary.lines.covered;
    }
    crates
}

fn too_low(crates: &BTreeMap<String, Lines>) -> Vec<&str> {
    let low = |(name, lines): &(&String, &Lines)| is_held(name) && lines.percent() < PERCENT_MIN;
    crates.iter().filter(low).map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(engine: u64, sqlite: u64, cli: u64) -> BTreeMap<String, Lines> {
        let file = |path: &str, covered: u64| {
            format!(
                r#"{{"filename":"{path}","summary":{{"lines":{{"count":50,"covered":{covered},"percent":0}}}}}}"#
            )
        };
        let files = [
            file("/w/crates/engine/src/a.rs", engine),
            file("/w/crates/engine/src/b.rs", engine),
            file("/w/crates/store/sqlite/src/lib.rs", sqlite),
            file("/w/crates/cli/src/main.rs", cli),
            file("/elsewhere/lib.rs", 0),
        ];
        let text = format!(r#"{{"data":[{{"files":[{}]}}],"type":"x"}}"#, files.join(","));
        let folder = |path: &str, name: &str| (PathBuf::from(path), name.to_owned());
        let folders = [
            folder("/w/crates/engine", "streamer-engine"),
            folder("/w/crates/store/sqlite", "streamer-store-sqlite"),
            folder("/w/crates/cli", "streamer-cli"),
        ];
        by_crate(&folders, serde_json::from_str(&text).expect("a report"))
    }

    #[test]
    fn lines_are_summed_per_crate_and_only_some_crates_are_held() {
        let crates = report(40, 45, 0);
        assert_eq!(crates.len(), 3);
        assert_eq!((crates["streamer-engine"].count, crates["streamer-engine"].covered), (100, 80));
        assert!(too_low(&crates).is_empty());
        assert_eq!(too_low(&report(39, 39, 0)), ["streamer-engine", "streamer-store-sqlite"]);
    }
}
