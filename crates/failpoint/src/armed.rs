//! The one place at which this process dies.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::Durable;

/// Global, as it must be found from inside any thread of any adapter.
static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    step: String,
    side: &'static str,
    left: AtomicU64,
}

/// How long a death before a step is put off.
const LINGER: Duration = Duration::from_millis(50);

const BEFORE: &str = "before";
const AFTER: &str = "after";

/// From now on the process dies at `place`: `STEP.before` or `STEP.after` of one of these steps, and with `:N` the Nth
/// time that it comes there. Answers what is wrong with it otherwise. Only the first place counts.
pub fn arm(place: &str, mut steps: impl Iterator<Item = &'static str>) -> Result<(), String> {
    let (name, times) = place.split_once(':').unwrap_or((place, "1"));
    let times = times.parse().ok().filter(|times| *times > 0);
    let found = name.split_once('.').and_then(|(step, side)| {
        let step = steps.find(|known| *known == step)?;
        let side = [BEFORE, AFTER].into_iter().find(|known| *known == side)?;
        Some((step.to_owned(), side))
    });
    let (Some((step, side)), Some(times)) = (found, times) else {
        return Err(format!("{place:?} is no place: write STEP.before or STEP.after, and :N"));
    };
    let _ = ARMED.set(Armed { step, side, left: AtomicU64::new(times) });
    Ok(())
}

/// Comes to the place before a step.
pub fn before(step: impl Durable) {
    come_to(step, BEFORE);
}

/// Comes to the place after a step, if there was something to do.
pub fn after(step: impl Durable) {
    come_to(step, AFTER);
}

fn come_to(step: impl Durable, side: &'static str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.step == step.name() && armed.side == side) else {
        return;
    };
    if armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        if side == BEFORE {
            // What was told too early gets out meanwhile, and the test will see it. The tasks that this thread
            // of the runtime has at hand go on elsewhere.
            tokio::task::block_in_place(|| std::thread::sleep(LINGER));
        }
        eprintln!("failpoint {}.{side}", step.name());
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::arm;

    #[test]
    fn only_places_of_known_steps_can_be_armed() {
        for wrong in
            ["commit", "commit.during", "else.before", "commit.before:0", "commit.before:x", ".before"]
        {
            let told = arm(wrong, ["commit"].into_iter()).expect_err(wrong);
            assert!(told.contains(wrong), "{told}");
        }
        arm("commit.before:3", ["claim", "commit"].into_iter()).expect("is one");
    }
}
