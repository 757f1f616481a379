//! A server's process.

use std::{
    io,
    path::PathBuf,
    process::{Child as Process, Command},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{Lifetime, unprivileged::Account};

/// A program with its arguments, before it runs.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    /// How it is asked to end.
    pub(crate) stops_by: Signal,
    pub(crate) log: PathBuf,
}

/// A process that ends when this is dropped, and, unless it may be kept, when this process ends.
pub(crate) struct Child {
    pid: Pid,
    /// Nothing lets it be.
    stop: Option<mpsc::SyncSender<Option<Signal>>>,
    keeper: Option<thread::JoinHandle<io::Result<()>>>,
    stops_by: Signal,
}

impl Child {
    /// Starts it from a thread that lives as long as the child: Linux signals a child when the thread that started it
    /// ends.
    pub(crate) fn start(program: &Program, account: Option<Account>, lifetime: Lifetime) -> io::Result<Self> {
        let mut command = command(&program.path, account, lifetime);
        let log = std::fs::File::create(&program.log)?;
        command.args(&program.args).stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let (started, is_started) = mpsc::sync_channel(1);
        let (stop, stopped) = mpsc::sync_channel::<Option<Signal>>(1);
        let keeper = thread::Builder::new().name("server".into()).spawn(move || {
            let mut process = command.spawn().inspect_err(|e| {
                drop(started.send(Err(io::Error::new(e.kind(), e.to_string()))));
            })?;
            drop(started.send(Ok(process.id())));
            match stopped.recv().unwrap_or(Some(Signal::KILL)) {
                Some(signal) => end(&mut process, signal),
                None => Ok(()),
            }
        })?;
        let id = is_started.recv().map_err(io::Error::other)??;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no pid"))?;
        Ok(Self { pid, stop: Some(stop), keeper: Some(keeper), stops_by: program.stops_by })
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        // The keeper, who waits for it, is not to miss that.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), look), Ok(None))
    }

    /// Stops it where it is. None of its threads does anything any more when this returns: a signal alone takes a while
    /// to reach them all.
    pub(crate) fn pause(&self) -> io::Result<()> {
        kill_process(self.pid, Signal::STOP)?;
        // Told once all threads have stopped. The keeper, who waits for its end, is not to miss that.
        let told = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid), told)?;
        Ok(())
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub(crate) fn unpause(&self) -> io::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    pub(crate) fn end(&mut self, signal: Signal) {
        self.part(Some(signal));
    }

    /// Lets it live on, and says who it is.
    pub(crate) fn keep(mut self) -> u32 {
        self.part(None);
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn part(&mut self, signal: Option<Signal>) {
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

fn end(process: &mut Process, signal: Signal) -> io::Result<()> {
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(pid, signal);
        // One that was stopped does not hear it otherwise.
        let _ = kill_process(pid, Signal::CONT);
    }
    let began = Instant::now();
    while began.elapsed() < GRACE {
        if process.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    process.kill()?;
    process.wait().map(drop)
}

/// The program as another account, killed when this process dies unless it may be kept; as far as this machine can.
pub(crate) fn command(program: &PathBuf, account: Option<Account>, lifetime: Lifetime) -> Command {
    use std::os::unix::process::CommandExt as _;
    let setpriv = PathBuf::from("/usr/bin/setpriv");
    if !setpriv.exists() {
        let mut command = Command::new(program);
        if let Some(account) = account {
            command.uid(account.user).gid(account.group);
        }
        if lifetime == Lifetime::Keepable {
            command.process_group(0);
        }
        return command;
    }
    let mut command = Command::new(setpriv);
    // Control-C is for whoever started it, who ends it in good order.
    command.process_group(0);
    if let Some(account) = account {
        command.args(["--reuid", &account.user.to_string(), "--regid", &account.group.to_string()]);
        command.arg("--clear-groups");
    }
    if lifetime == Lifetime::OfStarter {
        // After the change of account: that change forgets it otherwise.
        command.args(["--pdeathsig", "KILL"]);
    }
    command.arg("--").arg(program);
    command
}
