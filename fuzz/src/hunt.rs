//! Trying the inputs of many seeds.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{Target, mutation::mutated, panics};

/// An input that takes longer has gone wrong.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long, and how often, smaller inputs are tried.
const SHRINK_TIMEOUT: Duration = Duration::from_secs(10);
const SHRINKS_MAX: usize = 400;

/// When to stop looking.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// After so many seeds.
    Seeds(u64),
    /// After so long.
    Time(Duration),
}

/// An input that went wrong.
#[derive(Debug, Clone)]
pub struct Found {
    target: &'static str,
    /// What makes it again, unless it came from a file.
    pub seed: Option<u64>,
    /// What should not have happened.
    pub problem: String,
    /// The smallest input known that does the same.
    pub input: Vec<u8>,
}

impl Found {
    /// Keeps the input in a file, and gives it.
    pub fn keep(&self, folder: &Path) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let name = self.seed.map_or_else(|| "input".to_owned(), |seed| format!("seed-{seed}"));
        let file = folder.join(format!("{}-{name}", self.target));
        std::fs::write(&file, &self.input)?;
        Ok(file)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.input[..self.input.len().min(200)];
        write!(f, "{}: {}\n  by: {:?}", self.target, self.problem, String::from_utf8_lossy(shown))?;
        if let Some(seed) = self.seed {
            write!(f, "\n  cargo xtask fuzz {} --seed {seed}", self.target)?;
        }
        Ok(())
    }
}

/// Tries the examples as they are, then the inputs of the seeds from `first` on. How many inputs were tried, or the
/// first that went wrong. One hunt at a time: a panic is anybody's.
pub fn hunt(target: &mut dyn Target, first: u64, limit: Limit) -> Result<u64, Box<Found>> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    panics::watch();
    let _ = panics::seen();
    let (examples, words) = (target.examples(), target.words());
    let until = match limit {
        Limit::Time(time) => Instant::now() + time,
        Limit::Seeds(_) => Instant::now() + Duration::from_secs(24 * 60 * 60),
    };
    let mut tried = 0;
    for example in examples.iter().take_while(|_| Instant::now() < until) {
        tried += 1;
        if let Err(problem) = attempt(target, example) {
            return Err(Box::new(smallest(target, None, problem, example.clone())));
        }
    }
    for seed in first.. {
        let over = matches!(limit, Limit::Seeds(seeds) if seed - first >= seeds);
        if over || Instant::now() >= until {
            break;
        }
        let input = mutated(seed, &examples, words);
        tried += 1;
        if let Err(problem) = attempt(target, &input) {
            return Err(Box::new(smallest(target, Some(seed), problem, input)));
        }
    }
    Ok(tried)
}

/// Tries one input.
pub fn replay(target: &mut dyn Target, input: &[u8]) -> Result<(), Box<Found>> {
    panics::watch();
    attempt(target, input).map_err(|problem| {
        Box::new(Found { target: target.name(), seed: None, problem, input: input.to_vec() })
    })
}

fn attempt(target: &mut dyn Target, input: &[u8]) -> Result<(), String> {
    let began = Instant::now();
    let taken = panics::while_taking(|| target.take(input));
    if let Some(panic) = panics::seen() {
        return Err(panic);
    }
    taken.map_err(|_| "panic".to_owned())??;
    match began.elapsed() {
        took if took > INPUT_TIMEOUT => Err(format!("it took {} s", took.as_secs())),
        _ => Ok(()),
    }
}

/// Leaves out whatever the input can do without: halves, then quarters, down to single bytes.
fn smallest(target: &mut dyn Target, seed: Option<u64>, problem: String, mut input: Vec<u8>) -> Found {
    let mut found = problem;
    let until = Instant::now() + SHRINK_TIMEOUT;
    let (mut tries, mut part) = (0, input.len().div_ceil(2));
    while part > 0 {
        let mut at = 0;
        while at < input.len() && tries < SHRINKS_MAX && Instant::now() < until {
            let smaller = [&input[..at], &input[(at + part).min(input.len())..]].concat();
            tries += 1;
            match attempt(target, &smaller) {
                Err(problem) => (input, found) = (smaller, problem),
                Ok(()) => at += part,
            }
        }
        part /= 2;
    }
    Found { target: target.name(), seed, problem: found, input }
}
