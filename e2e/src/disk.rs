//! A disk of its own, which can be filled and freed, or mounted so that nothing can be written.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A small file system in memory. It goes away when this is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// One of so many MiB; or none where this process may not mount one, which is told, and fails the test in CI.
    #[must_use]
    pub fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("streamer-disk-").tempdir().expect("a folder");
        let size = format!("size={mib}m,mode=0777");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], folder.path());
        if mounted {
            return Some(Self { folder });
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "no file system can be mounted here: run the tests as root"
        );
        let told = writeln!(std::io::stderr(), "skipped: a full disk (no file system can be mounted here)");
        told.expect("standard error is there");
        None
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast =
            File::options().create(true).append(true).open(self.ballast()).expect("it can be opened");
        for size in [1 << 20, 4096, 1] {
            let zeros = vec![0; size];
            while ballast.write_all(&zeros).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    /// Lets nobody write any more; whoever has a file open for that keeps it from being done.
    pub fn make_read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro"], self.path()), "somebody is writing");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while a process that is about to end still has files on it.
        run("umount", &["--lazy"], self.folder.path());
    }
}

fn run(command: &str, arguments: &[&str], folder: &Path) -> bool {
    let ran =
        Command::new(command).args(arguments).arg(folder).stdin(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}
