//! Where a server keeps its data.

use std::{fs, io, path::Path};

use tempfile::TempDir;

use crate::Lifetime;

/// A folder that goes with whoever made it; and if that was killed, with the next who makes one, unless it may be kept.
pub(crate) fn make(server: &str, lifetime: Lifetime) -> io::Result<TempDir> {
    if lifetime == Lifetime::Keepable {
        return tempfile::Builder::new().prefix(&format!("streamer-kept-{server}-")).tempdir();
    }
    let kind = format!("streamer-{server}-");
    sweep(&std::env::temp_dir(), &kind);
    tempfile::Builder::new().prefix(&format!("{kind}{}-", std::process::id())).tempdir()
}

/// Removes what processes left behind that are gone. Tests end without dropping what they share.
fn sweep(within: &Path, kind: &str) {
    for entry in fs::read_dir(within).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(kind)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !is_alive(owner)) {
            // Somebody else may sweep too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    // Not to be allowed to ask means that it is there.
    process.is_some_and(|process| rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_is_swept_and_the_rest_stays() {
        let within = tempfile::tempdir().expect("a folder");
        let (ours, dead) = (std::process::id(), u32::MAX / 2);
        let names = [
            format!("streamer-x-{ours}-a"),
            format!("streamer-x-{dead}-b"),
            "streamer-x-".into(),
            "else".into(),
        ];
        for name in &names {
            fs::create_dir(within.path().join(name)).expect("makes it");
        }
        sweep(within.path(), "streamer-x-");
        let left: Vec<_> = names.iter().map(|name| within.path().join(name).exists()).collect();
        assert_eq!(left, [true, false, true, true]);
    }
}
