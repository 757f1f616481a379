//! A short run of every target; and that each finds what is planted for it.

mod planted;

use std::{path::Path, time::Duration};

use streamer_fuzz::{Limit, Target, hunt, targets};

/// How long each target is run here. `cargo xtask fuzz` runs them longer, and from other seeds.
const EACH: Duration = Duration::from_secs(1);

#[test]
fn nothing_goes_wrong_in_a_short_run() {
    let mut found = Vec::new();
    for target in &mut targets::all() {
        match hunt(target.as_mut(), 0, Limit::Time(EACH)) {
            Ok(tried) => {
                println!("{}: {tried} inputs", target.name());
                assert!(tried > 0, "{} tried nothing", target.name());
            }
            Err(wrong) => {
                let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz");
                let file = wrong.keep(&folder).expect("the target folder is ours");
                let again = format!("cargo xtask fuzz {} --input {}", target.name(), file.display());
                found.push(format!("{wrong}\n  {again}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_seed_repeats_itself_and_another_differs() {
    let target = targets::Requests::default();
    let (examples, words) = (target.examples(), target.words());
    let inputs: Vec<_> = (0..200).map(|seed| streamer_fuzz::mutated(seed, &examples, words)).collect();
    for (seed, input) in inputs.iter().enumerate() {
        assert_eq!(*input, streamer_fuzz::mutated(seed as u64, &examples, words));
    }
    let different: std::collections::BTreeSet<_> = inputs.iter().collect();
    assert!(different.len() > 150, "{} of 200", different.len());
}
