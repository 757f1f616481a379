//! Runs one target or all of them, for a time, a seed or a file.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;
use streamer_fuzz::{Found, Limit, Target, hunt, mutated, replay, targets};

#[derive(Parser)]
#[command(name = "cargo xtask fuzz", about = "Bytes that nobody should send, and what comes of them")]
struct Cli {
    /// One of frames, requests, answers, tokens, signatures, key_sets, configuration, rows and pages; all unless said
    target: Option<String>,
    /// How long each is run
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; another one each time unless said
    #[arg(long)]
    from: Option<u64>,
    /// Only this seed
    #[arg(long, conflicts_with_all = ["from", "input"])]
    seed: Option<u64>,
    /// Only the bytes of this file
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where inputs are kept that went wrong
    #[arg(long, default_value = "target/fuzz")]
    keep: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut chosen = targets::all();
    chosen.retain(|target| cli.target.as_deref().is_none_or(|name| name == target.name()));
    if chosen.is_empty() {
        bail!("there is no target {}", cli.target.as_deref().unwrap_or_default());
    }
    if cli.target.is_none() && (cli.seed.is_some() || cli.input.is_some()) {
        bail!("name the target that the seed or the input is for");
    }
    let mut code = ExitCode::SUCCESS;
    for target in &mut chosen {
        if let Err(found) = run(target.as_mut(), &cli)? {
            let file = found.keep(&cli.keep).with_context(|| format!("{}", cli.keep.display()))?;
            println!("{found}\n  cargo xtask fuzz {} --input {}", target.name(), file.display());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn run(target: &mut dyn Target, cli: &Cli) -> anyhow::Result<Result<(), Box<Found>>> {
    if let Some(file) = &cli.input {
        let input = fs::read(file).with_context(|| format!("{}", file.display()))?;
        return Ok(replay(target, &input));
    }
    if let Some(seed) = cli.seed {
        let input = mutated(seed, &target.examples(), target.words());
        return Ok(replay(target, &input));
    }
    let first = cli.from.unwrap_or_else(|| u64::from(std::process::id()) << 32);
    println!("{}: {} s from seed {first}", target.name(), cli.seconds);
    let hunted = hunt(target, first, Limit::Time(Duration::from_secs(cli.seconds)));
    Ok(hunted.map(|tried| println!("{}: {tried} inputs, none went wrong", target.name())))
}
