//! The data folder: a file's name never leads outside.

use std::{
    fs::File,
    io::Read,
    path::{Component, Path, PathBuf},
};

use crate::problem::Problem;

/// The folder whose files may be read by name, and the size of the largest.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    root: &'a Path,
    file_bytes_max: u64,
}

impl<'a> Folder<'a> {
    /// Reads files of at most `file_bytes_max` bytes under `root`.
    #[must_use]
    pub fn new(root: &'a Path, file_bytes_max: u64) -> Self {
        Self { root, file_bytes_max }
    }

    /// The real path of the regular file `name`. Refused as a mistake in `field`: absolute names, `..`, NUL, and
    /// symbolic links whose end lies outside. The refusal never shows a path.
    pub fn resolve(&self, field: &str, name: &str) -> Result<PathBuf, Problem> {
        let outside = || Problem::invalid(field, "must name a file inside the data folder");
        let absent = || Problem::invalid(field, "no such file in the data folder");
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || name.contains('\0') || !Path::new(name).components().all(plain) {
            return Err(outside());
        }
        let root = self.root.canonicalize().map_err(Problem::failed("opening the data folder"))?;
        let path = root.join(name).canonicalize().map_err(|_| absent())?;
        if !path.starts_with(&root) {
            return Err(outside());
        }
        if path.is_file() { Ok(path) } else { Err(absent()) }
    }

    /// The content of the file `name`, resolved as [`resolve`](Self::resolve) does.
    pub fn read(&self, field: &str, name: &str) -> Result<Vec<u8>, Problem> {
        let file = File::open(self.resolve(field, name)?).map_err(Problem::failed("opening a data file"))?;
        let mut bytes = Vec::new();
        file.take(self.file_bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(Problem::failed("reading a data file"))?;
        if bytes.len() as u64 > self.file_bytes_max {
            return Err(Problem::invalid(
                field,
                format!("the file is larger than {} bytes", self.file_bytes_max),
            ));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(result: Result<PathBuf, Problem>) -> String {
        match result {
            Err(problem @ Problem::Invalid { .. }) => problem.to_string(),
            other => panic!("not a refusal: {other:?}"),
        }
    }

    #[test]
    fn names_inside_resolve() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("sub")).expect("a folder");
        fs::write(root.path().join("sub/a.csv"), "x\n1\n").expect("writes");
        let folder = Folder::new(root.path(), 100);
        assert!(folder.resolve("f", "sub/a.csv").is_ok());
        assert!(folder.resolve("f", "./sub/a.csv").is_ok());
        assert_eq!(folder.read("f", "sub/a.csv").expect("reads"), b"x\n1\n");
    }

    #[test]
    fn names_that_climb_are_refused_and_show_no_path() {
        let outer = tempfile::tempdir().expect("a folder");
        let root = outer.path().join("data");
        fs::create_dir_all(root.join("sub")).expect("a folder");
        fs::write(outer.path().join("secret.csv"), "x\n1\n").expect("writes");
        let folder = Folder::new(&root, 100);
        let absolute = outer.path().join("secret.csv").display().to_string();
        for name in ["../secret.csv", "sub/../../secret.csv", &absolute, "a\0b", "", "/etc/passwd"] {
            let refused = refusal(folder.resolve("data_source.path", name));
            assert_eq!(refused, "data_source.path: must name a file inside the data folder", "{name:?}");
        }
        assert_eq!(refusal(folder.resolve("f", "sub")), "f: no such file in the data folder");
        assert_eq!(refusal(folder.resolve("f", "absent.csv")), "f: no such file in the data folder");
    }

    #[cfg(unix)]
    #[test]
    fn links_may_stay_inside_but_not_lead_out() {
        let outer = tempfile::tempdir().expect("a folder");
        let root = outer.path().join("data");
        // A neighbour whose name begins like the folder's own.
        let neighbour = outer.path().join("data-of-others");
        fs::create_dir_all(&root).expect("a folder");
        fs::create_dir_all(&neighbour).expect("a folder");
        fs::write(root.join("real.csv"), "x\n").expect("writes");
        fs::write(neighbour.join("secret.csv"), "x\n").expect("writes");
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).expect("links");
        link(&root.join("real.csv"), "inside.csv");
        link(&neighbour.join("secret.csv"), "outside.csv");
        link(&neighbour, "folder");
        let folder = Folder::new(&root, 100);
        assert!(folder.resolve("f", "inside.csv").is_ok());
        for name in ["outside.csv", "folder/secret.csv"] {
            assert!(refusal(folder.resolve("f", name)).contains("inside the data folder"), "{name}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("a.csv"), "12345").expect("writes");
        assert!(Folder::new(root.path(), 5).read("f", "a.csv").is_ok());
        let refused = Folder::new(root.path(), 4).read("f", "a.csv").expect_err("too large");
        assert_eq!(refused.to_string(), "f: the file is larger than 4 bytes");
    }
}
