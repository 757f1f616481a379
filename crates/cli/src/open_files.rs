//! How many files the process may have open: each socket is one.

use tracing::warn;

/// Kept from the sockets: for the store, its artifacts, the operators and the logs.
const OTHERS: u64 = 128;

/// Takes as many files as the system allows, and answers how many sockets of `wanted` that leaves room for. More of
/// them wait outside, which is better than to have no file left for the store.
pub(crate) fn sockets_max(wanted: usize) -> usize {
    let Some(open_max) = raised() else { return wanted };
    let room = usize::try_from(open_max - OTHERS.min(open_max / 2)).unwrap_or(usize::MAX);
    if room < wanted {
        warn!(
            sockets_max = room,
            wanted,
            open_files_max = open_max,
            "fewer sockets than listen.sockets_max: raise the limit of open files"
        );
    }
    wanted.min(room)
}

/// The limit, raised as far as it goes; none if there is none.
#[cfg(unix)]
fn raised() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        warn!(error = %e, "the limit of open files cannot be raised");
        return before;
    }
    limit.maximum
}

#[cfg(not(unix))]
fn raised() -> Option<u64> {
    None
}
