//! Who publishes, side by side: the product, its floor, and what others use. All but the product speak the floor's words.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde_json::json;

use crate::{
    frame,
    process::{Server, Side},
    product::NOTICE,
    row::Sample,
    rows::Bench,
};

/// How many messages the topics keep that keep some.
pub(crate) const KEPT: usize = 1000;

/// The topic that everybody follows.
const TOPIC: &str = "live";

/// Whoever publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Product,
    Floor,
    /// Its native publish, in Bun.
    UWebSockets,
    /// The package of npm, on Node.js.
    Ws,
}

impl Contender {
    const ALL: [Self; 4] = [Self::Product, Self::UWebSockets, Self::Floor, Self::Ws];

    /// A server of its own.
    pub(crate) fn start(self, bench: &Bench) -> Result<Server> {
        let command = match self {
            Self::Product => return Server::start(Side::Product, &bench.folder),
            Self::Floor => return Server::start(Side::Floor, &bench.folder),
            Self::UWebSockets => bench.peers.uwebsockets()?,
            Self::Ws => bench.peers.ws()?,
        };
        let folder = tempfile::Builder::new().prefix("peer").tempdir_in(&bench.folder)?.keep();
        Server::spawn(Side::Floor, command, &folder)
    }

    /// What makes a connection follow the topic.
    pub(crate) fn follow(self) -> Vec<u8> {
        frame::text(&match self {
            Self::Product => {
                json!({ "id": "following", "action": "subscribe", "payload": { "topic": TOPIC } }).to_string()
            }
            _ => "!follow".to_owned(),
        })
    }

    /// Whether this is the answer to that.
    pub(crate) fn follows(text: &[u8]) -> bool {
        text.windows(9).any(|nine| nine == b"following")
    }

    /// What publishes a message.
    pub(crate) fn publish(self) -> Vec<u8> {
        frame::text(&match self {
            Self::Product => publish(TOPIC),
            _ => format!("!publish {}", message()),
        })
    }
}

/// How the product is asked to publish the message.
pub(crate) fn publish(topic: &str) -> String {
    json!({ "id": "published", "action": "publish", "payload": { "topic": topic, "data": NOTICE } })
        .to_string()
}

/// A message as subscribers get it: what the others send is as long as what the product sends.
pub(crate) fn message() -> String {
    let data = serde_json::to_string(&NOTICE).expect("it prints");
    format!(
        r#"{{"type":"event","topic":"{TOPIC}","epoch":"0123456789abcdef","offset":1234,"data":{data},"timestamp":"2026-01-01T00:00:00.000Z"}}"#
    )
}

pub(crate) fn is_message(text: &[u8]) -> bool {
    text.starts_with(br#"{"type":"event""#)
}

/// The programs of `peers/`, as far as what they need is installed.
#[derive(Default)]
pub(crate) struct Peers {
    bun: Option<PathBuf>,
    /// Where Node.js finds `ws`.
    modules: Option<PathBuf>,
}

impl Peers {
    /// What npm has installed in this folder.
    pub(crate) fn find(folder: &Path) -> Self {
        let modules = folder.join("node_modules");
        // One package for each kind of machine: npm has chosen.
        let built = std::fs::read_dir(modules.join("@oven")).into_iter().flatten().flatten();
        let bun = built.map(|package| package.path().join("bin/bun")).find(|bun| bun.exists());
        Self { bun, modules: modules.join("ws").exists().then_some(modules) }
    }

    fn uwebsockets(&self) -> Result<Command> {
        let bun = self.bun.as_ref().expect("it takes part");
        let mut command = on_the_server_core()?;
        command.arg(bun).arg(program("uwebsockets.mjs"));
        Ok(command)
    }

    fn ws(&self) -> Result<Command> {
        let modules = self.modules.as_ref().expect("it takes part");
        let mut command = on_the_server_core()?;
        command.arg("node").arg(program("ws.cjs")).env("NODE_PATH", modules);
        Ok(command)
    }

    fn has(&self, contender: Contender) -> bool {
        match contender {
            Contender::UWebSockets => self.bun.is_some(),
            Contender::Ws => self.modules.is_some(),
            Contender::Product | Contender::Floor => true,
        }
    }
}

/// This program, which becomes the one that is named next.
fn on_the_server_core() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("become");
    Ok(command)
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// What each came to, round by round.
#[derive(Default)]
pub(crate) struct Tally([Vec<Sample>; 4]);

impl Tally {
    pub(crate) fn add(&mut self, contender: Contender, sample: Sample) {
        self.0[contender as usize].push(sample);
    }

    pub(crate) fn of(&self, contender: Contender) -> &[Sample] {
        &self.0[contender as usize]
    }
}

/// Those who take part, in the order in which they are measured.
pub(crate) fn taking_part(bench: &Bench) -> Vec<Contender> {
    Contender::ALL.into_iter().filter(|contender| bench.peers.has(*contender)).collect()
}
