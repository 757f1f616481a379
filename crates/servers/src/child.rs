//! A server's process.

use std::{
    io,
    path::PathBuf,
    process::{Child as Process, Command, ExitStatus},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::unprivileged::Account;

/// A program with its arguments, before it runs.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    /// How it is asked to end.
    pub(crate) stops_by: Signal,
    pub(crate) log: PathBuf,
}

/// A process that ends when this is dropped, and when this process ends.
pub(crate) struct Child {
    pid: Pid,
    stop: Option<mpsc::SyncSender<Signal>>,
    keeper: Option<thread::JoinHandle<io::Result<ExitStatus>>>,
    stops_by: Signal,
}

impl Child {
    /// Starts it from a thread that lives as long as the child: Linux signals a child when the thread that started it
    /// ends.
    pub(crate) fn start(program: &Program, account: Option<Account>) -> io::Result<Self> {
        let mut command = command(&program.path, account);
        let log = std::fs::File::create(&program.log)?;
        command.args(&program.args).stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let (started, is_started) = mpsc::sync_channel(1);
        let (stop, stopped) = mpsc::sync_channel::<Signal>(1);
        let keeper = thread::Builder::new().name("server".into()).spawn(move || {
            let mut process = command.spawn().inspect_err(|e| {
                drop(started.send(Err(io::Error::new(e.kind(), e.to_string()))));
            })?;
            drop(started.send(Ok(process.id())));
            let signal = stopped.recv().unwrap_or(Signal::KILL);
            end(&mut process, signal)
        })?;
        let id = is_started.recv().map_err(io::Error::other)??;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no pid"))?;
        Ok(Self { pid, stop: Some(stop), keeper: Some(keeper), stops_by: program.stops_by })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        // The keeper does not wait before it is told to, so an ended child is a zombie.
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).map_or(true, |stat| {
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
        })
    }

    pub(crate) fn end(&mut self, signal: Signal) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(signal);
        }
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end(self.stops_by);
    }
}

/// How long a server may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(20);

fn end(process: &mut Process, signal: Signal) -> io::Result<ExitStatus> {
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(pid, signal);
        // One that was stopped does not hear it otherwise.
        let _ = kill_process(pid, Signal::CONT);
    }
    let began = Instant::now();
    while began.elapsed() < GRACE {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    process.kill()?;
    process.wait()
}

/// The program as another account, killed when this process dies; as far as this machine can.
pub(crate) fn command(program: &PathBuf, account: Option<Account>) -> Command {
    let setpriv = PathBuf::from("/usr/bin/setpriv");
    if !setpriv.exists() {
        let mut command = Command::new(program);
        if let Some(account) = account {
            use std::os::unix::process::CommandExt as _;
            command.uid(account.user).gid(account.group);
        }
        return command;
    }
    let mut command = Command::new(setpriv);
    if let Some(account) = account {
        command.args(["--reuid", &account.user.to_string(), "--regid", &account.group.to_string()]);
        command.arg("--clear-groups");
    }
    // `--pdeathsig` after the change of account: that change forgets it otherwise.
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
