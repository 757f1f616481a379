//! `streamer token`: keys and tokens, for development and tests.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use streamer_auth::{Algorithm, Grant, KeyPair, Signer};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, UserId};

/// What to make.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key pair: private.pem and public.pem.
    Keys {
        /// The folder that gets them
        #[arg(long, default_value = ".")]
        out: PathBuf,
        /// RS256, ES256 or EdDSA
        #[arg(long, default_value_t = Algorithm::Rs256)]
        algorithm: Algorithm,
        /// Replace keys that are there
        #[arg(long)]
        force: bool,
    },
    /// Print a token.
    Issue(Issue),
}

/// Whether the token is to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// It is signed by another key.
    Forged,
}

/// Print a token.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The key that signs it
    #[arg(long, default_value = "private.pem")]
    private_key: PathBuf,
    /// RS256, ES256 or EdDSA, as the key is
    #[arg(long, default_value_t = Algorithm::Rs256)]
    algorithm: Algorithm,
    /// Whom it names (`sub`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    user: String,
    /// Whose data it opens (`tenant_id`)
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    tenant: String,
    /// What it allows, such as read,write (`permissions`)
    #[arg(long, value_delimiter = ',', default_value = "read,write")]
    permissions: Vec<String>,
    /// Topics that it grants, such as orders.*,orders.eu=write,room:*=read+write (`topics`)
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// How long it holds, in seconds
    #[arg(long, default_value_t = 24 * 60 * 60)]
    ttl: u64,
    /// Its `iss`
    #[arg(long)]
    issuer: Option<String>,
    /// Its `aud`
    #[arg(long)]
    audience: Option<String>,
    /// The name of the key (`kid`)
    #[arg(long)]
    kid: Option<String>,
    /// Whether it is to be accepted
    #[arg(long, value_enum, default_value_t = Kind::Valid)]
    kind: Kind,
}

pub(crate) fn command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Keys { out, algorithm, force } => {
            let (private, public) = write_keys(&out, algorithm, force)?;
            println!("private key, keep it: {}", private.display());
            println!("public key, for auth.public_key_file: {}", public.display());
        }
        Command::Issue(issue) => println!("{}", issue.token()?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a key pair and writes it; only its owner may read the private key.
pub(crate) fn write_keys(
    folder: &Path,
    algorithm: Algorithm,
    force: bool,
) -> anyhow::Result<(PathBuf, PathBuf)> {
    let pair = KeyPair::generate(algorithm)?;
    let (private, public) = (folder.join("private.pem"), folder.join("public.pem"));
    write(&private, pair.private_pem(), 0o600, force)?;
    write(&public, pair.public_pem(), 0o644, force)?;
    Ok((private, public))
}

fn write(path: &Path, text: &str, mode: u32, force: bool) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if force {
        // Made anew, so that the mode holds for it too.
        if path.exists() {
            std::fs::remove_file(path).with_context(|| format!("{} cannot be replaced", path.display()))?;
        }
    }
    options.create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let hint = if force { "" } else { " (is it there already? then use --force)" };
    let mut file = options.open(path).with_context(|| format!("{} cannot be made{hint}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

impl Issue {
    fn token(self) -> anyhow::Result<String> {
        let mut signer = Signer::from_file(self.algorithm, &self.private_key)?;
        if let Some(kid) = self.kid {
            signer = signer.with_id(kid);
        }
        // An empty list splits into one empty name.
        let named = |names: Vec<String>| names.into_iter().filter(|name| !name.is_empty()).collect();
        let grant = Grant {
            permissions: named(self.permissions),
            topics: named(self.topics),
            ttl: Duration::from_secs(self.ttl),
            issuer: self.issuer,
            audience: self.audience,
            ..Grant::new(UserId::new(self.user), TenantId::new(self.tenant))
        };
        let now = SystemClock.now();
        let token = match self.kind {
            Kind::Valid => signer.issue(&grant, now)?,
            Kind::Expired => signer.issue_expired(&grant, now)?,
            Kind::Forged => signer.issue_forged(&grant, now)?,
        };
        Ok(token.as_str().to_owned())
    }
}
