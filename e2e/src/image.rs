//! What `deploy/Dockerfile` makes of the last stage, and a container of it without a container engine.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{command::Ran, patience::within};

/// What distroless/cc has of libraries (https://github.com/GoogleContainerTools/distroless, cc/README.md): the C
/// library's, the compiler's, and the loader.
const LIBRARIES: &[&str] = &[
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
];

/// Builds the root out of mounts that nobody else sees, and gives the process up to the command in it.
const ENTER: &str = r#"
mount --bind "$ROOT" "$ROOT"
mount --bind "$BINARY" "$ROOT/usr/local/bin/streamer"
mount --bind -o ro "$SECRETS" "$ROOT/run/secrets"
mount --bind "$DATA" "$ROOT$VOLUME"
mount -t proc proc "$ROOT/proc"
mount -o remount,bind,ro "$ROOT"
exec setpriv --no-new-privs unshare --root="$ROOT" --wd="$WORKDIR" --setgid="$GROUP" --setuid="$USER" "$@"
"#;

/// The instructions of a Dockerfile's last stage.
#[derive(Debug)]
pub struct Image {
    /// (instruction, the rest of its line), continued lines joined.
    instructions: Vec<(String, String)>,
}

impl Image {
    /// Reads a Dockerfile.
    #[must_use]
    pub fn of(dockerfile: &str) -> Self {
        let bare: Vec<_> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let joined = bare.join("\n").replace("\\\n", " ");
        let instructions: Vec<_> = joined
            .lines()
            .filter_map(|line| line.trim().split_once(' '))
            .map(|(instruction, rest)| (instruction.to_owned(), rest.trim().to_owned()))
            .collect();
        let last = instructions.iter().rposition(|(instruction, _)| instruction == "FROM");
        Self { instructions: instructions[last.expect("a stage")..].to_vec() }
    }

    /// What an instruction says, as often as it is there.
    pub fn all<'a>(&'a self, instruction: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let of_it = self.instructions.iter().filter(|(name, _)| name == instruction);
        of_it.map(|(_, rest)| rest.as_str()).collect::<Vec<_>>().into_iter()
    }

    /// What an instruction says that is there once.
    #[must_use]
    #[track_caller]
    pub fn one(&self, instruction: &str) -> &str {
        let mut all = self.all(instruction);
        let one = all.next().unwrap_or_else(|| panic!("no {instruction}"));
        assert!(all.next().is_none(), "{instruction} is there twice");
        one
    }

    /// The words of a command in JSON, such as that of `HEALTHCHECK`, after its options.
    #[must_use]
    #[track_caller]
    pub fn words(&self, instruction: &str) -> Vec<String> {
        let text = self.one(instruction);
        serde_json::from_str(&text[text.find('[').expect("a JSON array")..]).expect("a JSON array")
    }

    /// (user, group), by number.
    #[must_use]
    #[track_caller]
    pub fn user(&self) -> (u32, u32) {
        let (user, group) = self.one("USER").split_once(':').expect("user:group");
        (user.parse().expect("a number"), group.parse().expect("a number"))
    }

    /// The variables that it sets.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let words = self.all("ENV").flat_map(str::split_whitespace);
        let pairs = words.map(|word| word.split_once('=').expect("name=value"));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// A container of an image: a root that holds what the image does and cannot be written, one folder that lasts, process
/// and mount namespaces of its own, the image's user without any capability. The network is the machine's.
#[derive(Debug)]
pub struct Container {
    image: Image,
    binary: PathBuf,
    /// `root`, `data` and `secrets`.
    folder: TempDir,
}

impl Container {
    /// Whether this process may make one: it takes root on Linux.
    pub async fn can_be_made() -> bool {
        let tried = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output().await;
        tried.is_ok_and(|tried| tried.status.success())
    }

    /// One with this binary, where the image has its own, and with these secrets.
    pub async fn new(image: Image, binary: &Path, secrets: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("streamer-container-").tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["root/usr/local/bin", "root/proc", "root/run/secrets", "data", "secrets"] {
            fs::create_dir_all(at(name)).expect("the folder is ours");
        }
        let volume = image.one("VOLUME").trim_start_matches('/');
        fs::create_dir_all(at("root").join(volume)).expect("the folder is ours");
        fs::write(at("root/usr/local/bin/streamer"), "").expect("the folder is ours");
        for library in libraries(binary).await {
            let name = library.file_name().expect("a file").to_string_lossy().into_owned();
            assert!(LIBRARIES.contains(&name.as_str()), "the image has no {name}, which the binary needs");
            let place = at("root").join(library.strip_prefix("/").expect("an absolute path"));
            fs::create_dir_all(place.parent().expect("a folder")).expect("the folder is ours");
            fs::copy(&library, place).expect("a library can be copied");
        }
        for (name, text) in secrets {
            fs::write(at("secrets").join(name), text).expect("the folder is ours");
        }
        let (user, group) = image.user();
        std::os::unix::fs::chown(at("data"), Some(user), Some(group)).expect("root may do that");
        // Whoever may write there is held off by the mount alone.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(at("root"), everybody).expect("the folder is ours");
        Self { image, binary: binary.to_owned(), folder }
    }

    /// What is mounted where the image says that data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, words: &[String], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-euc", ENTER, "container"]);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let folder = self.folder.path();
        command.env("ROOT", folder.join("root")).env("DATA", folder.join("data"));
        command.env("SECRETS", folder.join("secrets")).env("BINARY", &self.binary);
        let (user, group) = self.image.user();
        command.env("USER", user.to_string()).env("GROUP", group.to_string());
        command.env("VOLUME", self.image.one("VOLUME"));
        command.env("WORKDIR", self.image.one("WORKDIR"));
        command.envs(self.image.variables()).envs(variables.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts a command of the image, in a fresh container over the same data. It complains into a file.
    #[must_use]
    pub fn start(&self, words: &[String], variables: &[(&str, &str)], log: File) -> Running {
        let mut command = self.command(words, variables);
        Running { maker: command.stderr(log).spawn().expect("a container can be made") }
    }

    /// Runs a command to its end.
    pub async fn run(&self, words: &[String], variables: &[(&str, &str)]) -> Ran {
        let (out, err) = (self.folder.path().join("out"), self.folder.path().join("err"));
        let file = |path| File::create(path).expect("the folder is ours");
        let mut command = self.command(words, variables);
        command.stdout(file(&out)).stderr(file(&err));
        let mut running = Running { maker: command.spawn().expect("a container can be made") };
        let status = running.ended().await;
        let text = |path| fs::read(path).expect("the folder is ours");
        Ran::of(Output { status, stdout: text(&out), stderr: text(&err) })
    }
}

/// A command in its container. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    /// What made the container, and waits for it.
    maker: Child,
}

impl Running {
    /// The command's process, as it is seen from outside.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let maker = self.maker.id()?;
        let children = fs::read_to_string(format!("/proc/{maker}/task/{maker}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.maker.try_wait().expect("it is our child")
    }

    /// How it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        within("a container's end", self.maker.wait()).await.expect("it is our child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its maker's end would not be its own: the kernel forgets that wish when a process becomes another user's.
        if let Some(pid) = self.pid() {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// The libraries that a program loads, and its loader.
async fn libraries(binary: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(binary).output().await.expect("there is an ldd");
    let listed = String::from_utf8(listed.stdout).expect("it speaks UTF-8");
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    listed.lines().filter_map(path).collect()
}
