//! `streamer demo`: a real server process, a real client, and what the two can do.

mod outcome;
mod peer;
mod server;
mod stage;
mod steps;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use tokio::time::{Instant, timeout};

use crate::json_file;
use outcome::{Outcome, Step};
use stage::Stage;

/// A step that takes longer has failed.
const STEP_TIMEOUT: Duration = Duration::from_secs(40);

/// Walk through what it does, with a real server and a real client.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Write the steps and figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the temporary folder: keys, database, log and the report that was made
    #[arg(long)]
    keep: bool,
}

pub(crate) fn command(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let outcome = crate::block_on(walk(arguments.keep))?;
    outcome.print_figures();
    if let Some(file) = &arguments.json {
        json_file::write(file, &outcome)?;
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The seeds' demonstration, step by step. A failed step does not stop the next ones.
async fn walk(keep: bool) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    println!("Starting a server in a folder of its own …");
    let mut stage = Stage::set(keep).await?;
    println!("It listens on {}, operators are served on {}.\n", stage.server.listen(), stage.server.admin());

    let mut outcome = Outcome::default();
    macro_rules! walk_through {
        ($($name:literal => $step:expr),* $(,)?) => {$(
            announce($name);
            let step = timeout(STEP_TIMEOUT, $step(&mut stage)).await;
            let step = step.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {STEP_TIMEOUT:?}")));
            outcome.add(Step::of($name, step));
        )*};
    }
    walk_through! {
        "auth-valid" => steps::auth::valid,
        "auth-missing" => steps::auth::missing,
        "auth-expired" => steps::auth::expired,
        "auth-forged" => steps::auth::forged,
        "echo" => steps::echo::echo,
        "report" => steps::report::report,
        "leave-and-resume" => steps::leave::leave_and_resume,
        "broadcast" => steps::broadcast::broadcast,
        "breaker" => steps::breaker::breaker,
        "crash" => steps::crash::crash,
        "disconnect" => steps::disconnect::disconnect,
    }
    outcome.figures = std::mem::take(&mut stage.figures);
    if !outcome.is_ok() {
        eprintln!("\nThe end of the server's log:\n{}", stage.server.log_tail());
    }
    stage.strike().await?;
    println!("\nDone in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(outcome)
}

fn announce(name: &str) {
    print!("{name:<18}");
    // It only looks late otherwise.
    let _ = std::io::stdout().flush();
}
