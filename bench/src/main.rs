//! The benchmarks: what the server does, each figure beside a floor that is measured in turn with it, in one run.
//!
//! The server has one core and the load another, where there are two; the rows of events, whose processor has two
//! database servers around it, leave the cores to the system. Ratios are what counts: figures are those of the machine.

mod commit;
mod contender;
mod counter;
mod crowd;
mod floor;
mod frame;
mod issuer;
mod machine;
mod outbox;
mod process;
mod processor;
mod product;
mod reading;
mod receiver;
mod row;
mod rows;

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{ExitCode, Termination as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

use crate::{commit::Table, contender::Peers, process::Side, reading::Turn, row::Row, rows::Bench};

/// Files that are open beside the connections.
const OTHER_FILES: u64 = 500;

const CONNECTIONS: usize = 10_000;

/// How many tokens there are: they go round among the connections.
const TOKENS: usize = 500;

#[derive(Parser)]
#[command(about = "Benchmarks of the server, each beside its floor")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Write the rows to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often each side has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What is measured
    #[arg(long, value_enum, default_value = "requests")]
    suite: Suite,
    /// Only these groups of rows, of whichever suite
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Where the peers of `peers/` are installed: Bun, and `ws` for Node.js
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// Slow requests over live connections
    Requests,
    /// Topics, and handlers by URL
    Live,
    /// From an outbox to read models and live topics
    Events,
}

impl Suite {
    const fn groups(self) -> &'static [Group] {
        match self {
            Self::Requests => &[Group::Echo, Group::Many, Group::Queue, Group::Resume, Group::Share],
            Self::Live => &[Group::Fanout, Group::Idle, Group::Replay, Group::Durable, Group::Url],
            Self::Events => &[Group::Stream, Group::Latency, Group::Browser, Group::Models],
        }
    }
}

/// Rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// rtt, saturation, pipelined
    Echo,
    /// storm, memory, broadcast, broadcast-rate, sends-1000
    Many,
    /// accept, life, start-latency
    Queue,
    /// resume
    Resume,
    /// fair-share
    Share,
    /// fanout-100, fanout-1000, fanout-10000, deliveries
    Fanout,
    /// idle-memory
    Idle,
    /// replay
    Replay,
    /// durable-publish
    Durable,
    /// url-handler
    Url,
    /// big-transaction, small-transactions, hundred-row-transactions
    Stream,
    /// latency-100, latency-1000, latency-5000
    Latency,
    /// browser-latency
    Browser,
    /// mongodb, backlog, memory
    Models,
}

impl Group {
    fn rows(self, bench: &Bench) -> Result<Vec<Row>> {
        match self {
            Self::Echo => rows::echo::rows(bench),
            Self::Many => rows::many::rows(bench),
            Self::Queue => rows::queue::rows(bench),
            Self::Resume => rows::resume::rows(bench),
            Self::Share => rows::share::rows(bench),
            Self::Fanout => rows::fanout::rows(bench),
            Self::Idle => rows::idle::rows(bench),
            Self::Replay => rows::replay::rows(bench),
            Self::Durable => rows::durable::rows(bench),
            Self::Url => rows::url::rows(bench),
            Self::Stream => rows::stream::rows(bench),
            Self::Latency => rows::latency::rows(bench),
            Self::Browser => rows::browser::rows(bench),
            Self::Models => rows::models::rows(bench),
        }
    }

    /// Whether servers and load share the cores as the system sees fit: there are more of them than cores.
    const fn shares_cores(self) -> bool {
        matches!(self, Self::Stream | Self::Latency | Self::Browser | Self::Models)
    }
}

/// What the bench starts itself as.
#[derive(Subcommand)]
enum Role {
    /// Serve on a free port of loopback, say which, and go on until standard input ends
    #[command(hide = true)]
    Serve {
        side: Side,
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        public_key: PathBuf,
        /// Where the action `bench.url` is done
        #[arg(long)]
        url: Option<String>,
    },
    /// Become another program, on the server's core
    #[command(hide = true)]
    Become {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Use much memory, and give it back
    #[command(hide = true)]
    Touch,
    /// Read rows of an outbox, and say how that went
    #[command(hide = true)]
    Read {
        side: Side,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        database: String,
        #[arg(long)]
        rows: u64,
    },
    /// Write to a table for a while, and say how fast that was
    #[command(hide = true)]
    Commit {
        table: Table,
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        seconds: f64,
        #[arg(long, required_unless_present = "per_second")]
        in_flight: Option<usize>,
        #[arg(long)]
        per_second: Option<f64>,
    },
}

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == processor::NAME) {
        std::thread::spawn(end_with_standard_input);
        return streamer_cli::run(streamer_engine::Router::new);
    }
    obey().report()
}

fn obey() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.role {
        None => measure(&arguments),
        Some(Role::Serve { side, folder, public_key, url }) => {
            machine::pin(machine::SERVER_CORE)?;
            machine::raise_open_files()?;
            std::thread::spawn(end_with_standard_input);
            block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("{}", listener.local_addr()?);
                std::io::stdout().flush()?;
                match side {
                    Side::Product => product::serve(folder, public_key, url.as_deref(), listener).await,
                    Side::Floor => floor::serve(folder, public_key, listener).await,
                }
            })
        }
        Some(Role::Become { command }) => {
            machine::pin(machine::SERVER_CORE)?;
            machine::raise_open_files()?;
            let (program, arguments) = command.split_first().context("a command names its program")?;
            let failed = std::process::Command::new(program).args(arguments).exec();
            Err(failed).with_context(|| format!("{program} cannot be started"))
        }
        Some(Role::Touch) => {
            machine::touch_memory();
            Ok(())
        }
        Some(Role::Read { side, port, database, rows }) => {
            let settings = outbox::settings(*port, database);
            let reading = match side {
                Side::Product => block_on(counter::count(settings, *rows, &Turn))?,
                Side::Floor => receiver::receive(&settings, *rows, &Turn)?,
            };
            println!("{}", serde_json::to_string(&reading)?);
            Ok(())
        }
        Some(Role::Commit { table, folder, seconds, in_flight, per_second }) => {
            machine::pin(machine::SERVER_CORE)?;
            let span = Duration::from_secs_f64(*seconds);
            let committed = block_on(async {
                match (in_flight, per_second) {
                    (_, Some(per_second)) => commit::pace(folder, *table, *per_second, span).await,
                    (in_flight, None) => commit::saturate(folder, *table, in_flight.unwrap_or(1), span).await,
                }
            })?;
            println!("{}", serde_json::to_string(&committed)?);
            Ok(())
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// A server does not outlive whoever started it.
fn end_with_standard_input() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(0);
}

fn measure(arguments: &Arguments) -> Result<()> {
    let program = std::env::current_exe()?;
    let beside = program.parent().context("a program stands in a folder")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let open_files = machine::raise_open_files()?;
    let connections = CONNECTIONS.min(usize::try_from(open_files.saturating_sub(OTHER_FILES))?);
    if connections < CONNECTIONS {
        println!("only {open_files} files may be open: {connections} connections instead of {CONNECTIONS}");
    }
    let (tokens, guest) = issuer::issue(folder.path(), TOKENS)?;
    let peers = arguments.peers.as_deref().map(Peers::find).unwrap_or_default();
    let folder = folder.path().to_owned();
    let (rounds, open_files) = (arguments.rounds, usize::try_from(open_files.saturating_sub(OTHER_FILES))?);
    let bench = Bench { folder, tokens, guest, rounds, connections, open_files, peers };
    let groups = if arguments.only.is_empty() { arguments.suite.groups() } else { &arguments.only };
    row::print_head();
    let mut rows = Vec::new();
    for group in groups {
        if group.shares_cores() {
            machine::unpin()?;
        } else if !machine::pin(machine::LOAD_CORE)? {
            println!("there is one core only: server and load share it, and the ratios say little");
        }
        let measured = group.rows(&bench).with_context(|| format!("the rows of {group:?}"))?;
        measured.iter().for_each(Row::print);
        rows.extend(measured);
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}
