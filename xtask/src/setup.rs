//! `cargo xtask setup`: installs what the other commands use.

use anyhow::Result;
use clap::ValueEnum;

use crate::{aws_clients, bench, coverage, debian, documents, handlers, servers, tool, workspace::Workspace};

/// What can be installed by itself.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Component {
    /// cargo-deny, for `check`.
    Deny,
    /// hadolint and check-jsonschema, for `check`.
    Deploy,
    /// cargo-llvm-cov and the tools of LLVM, for `coverage`.
    Coverage,
    /// nginx, HAProxy and Caddy, for the tests of `deploy/proxies`.
    Proxies,
    /// openapi-spec-validator and the parser of AsyncAPI (by Python and Node.js), for the tests of `docs/*.json`.
    Documents,
    /// PostgreSQL's server, for the tests of events.
    Postgres,
    /// What speaks MongoDB's protocol, for the tests of events: needs Java and Maven.
    Mongodb,
    /// What the example handlers in Python and TypeScript are made of, for `test`.
    Handlers,
    /// npm's `eventsource`, for the tests of `deploy/proxies`.
    EventSource,
    /// boto3 and the AWS command line, for the tests of the connection management API.
    AwsClients,
    /// Bun and `ws`, for `bench live`.
    Peers,
}

impl Component {
    fn install(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Deny => tool::CARGO_DENY.find(workspace).map(drop),
            Self::Deploy => {
                tool::HADOLINT.find(workspace)?;
                tool::CHECK_JSONSCHEMA.find(workspace).map(drop)
            }
            Self::Coverage => coverage::Tools::find(workspace).map(drop),
            Self::Proxies => debian::PROXIES.prepare(workspace),
            Self::Documents => documents::prepare(workspace),
            Self::Postgres => servers::postgres(workspace),
            Self::Mongodb => servers::mongodb(workspace),
            Self::Handlers => handlers::install(workspace),
            Self::EventSource => handlers::event_source(workspace),
            Self::AwsClients => aws_clients::install(workspace),
            Self::Peers => bench::peers(workspace).map(drop),
        }
    }
}

/// Installs the components named, or all.
pub(crate) fn setup(workspace: &Workspace, components: &[Component]) -> Result<()> {
    let components = if components.is_empty() { Component::value_variants() } else { components };
    for component in components {
        component.install(workspace)?;
        let name = component.to_possible_value().map(|value| value.get_name().to_owned());
        println!("ready: {}", name.unwrap_or_default());
    }
    Ok(())
}
