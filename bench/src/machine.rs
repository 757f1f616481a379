//! What a bench needs of the machine: cores, open files, and what a process has used.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// The server's core.
pub(crate) const SERVER_CORE: usize = 0;

/// The core of those who put load on the server.
pub(crate) const LOAD_CORE: usize = 1;

/// Keeps this process, and the threads that it starts from now on, on one core. False where there is only one.
pub(crate) fn pin(core: usize) -> Result<bool> {
    // Counted without regard to a pin that was inherited: a server's parent has the load's core.
    unpin()?;
    if thread::available_parallelism()?.get() <= LOAD_CORE {
        return Ok(false);
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("core {core} cannot be taken"))?;
    Ok(true)
}

/// Lets this process, and those that it starts from now on, have all cores.
pub(crate) fn unpin() -> Result<()> {
    let mut cores = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| cores.set(core));
    sched_setaffinity(None, &cores).context("the cores cannot be taken")
}

/// As many as are ever of use here, and as systems allow to those who may ask for more.
const OPEN_FILES: u64 = 128 * 1024;

/// Lets this process open as many files as it ever may. Gives how many that are.
pub(crate) fn raise_open_files() -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < OPEN_FILES) {
        let more = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
        // Not everybody may.
        if setrlimit(Resource::Nofile, more).is_ok() {
            return Ok(OPEN_FILES);
        }
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the number of open files cannot be raised")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A moment that all processes of this machine agree on, in microseconds.
pub(crate) fn micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// How much time a process's threads have had on a core.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that has ended meanwhile counts nothing.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// How much memory a process has resident, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most memory that a process had resident so far, in bytes.
pub(crate) fn resident_max(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// A line of the process's status, in bytes.
fn status(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).with_context(|| format!("no {name}"))?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// More than any server takes.
const TOUCHED_BYTES: usize = 256 * 1024 * 1024;

/// Uses memory, so that who comes next finds it at hand. A virtual machine gets its memory from its host when it first
/// uses it, and may give back what lies idle: whoever came first would pay for it, and the next would not.
pub(crate) fn touch_memory() {
    const PAGE_BYTES: usize = 4096;
    let mut memory = vec![0_u8; TOUCHED_BYTES];
    memory.chunks_mut(PAGE_BYTES).for_each(|page| page[0] = 1);
    std::hint::black_box(memory);
}

/// Counts latencies, in whatever unit, to three digits. Longer than a minute of nanoseconds counts as that.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are possible")
}
