//! Who may manage connections as the clients of AWS do, and where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use streamer_auth::sigv4::{self, Scope, Tenants, Verifier};
use streamer_protocol::TenantId;
use streamer_service::config::{Mistakes, Secret};

/// The shortest secret access key. Whoever overhears a signature can try secrets without asking us.
const SECRET_CHARS_MIN: usize = 32;

/// The longest access key id.
const KEY_ID_CHARS_MAX: usize = 128;

/// The service that clients of the API sign for.
const SERVICE: &str = "execute-api";

/// The connection management API (/@connections), as the SDKs and the command line of AWS speak it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Management {
    /// Whether the public address serves it too, once there are credentials. The operators' address always does.
    pub(crate) public: bool,
    /// The region that requests must be signed for: what clients have as AWS_REGION.
    pub(crate) region: String,
    /// Whose signed requests are answered, by a name of your choice.
    pub(crate) credentials: BTreeMap<String, Credential>,
}

/// An access key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Credential {
    /// What clients have as AWS_ACCESS_KEY_ID: letters, digits, - and _.
    pub(crate) access_key_id: String,
    /// What clients have as AWS_SECRET_ACCESS_KEY. At least 32 characters.
    pub(crate) secret_access_key: Secret,
    /// What clients must have as AWS_SESSION_TOKEN; if empty, none may come.
    pub(crate) session_token: Secret,
    /// The tenant whose connections it opens.
    pub(crate) tenant: Option<String>,
    /// Whether it opens every tenant's connections, instead of one's.
    pub(crate) all_tenants: bool,
}

impl Default for Management {
    fn default() -> Self {
        Self { public: true, region: "us-east-1".to_owned(), credentials: BTreeMap::new() }
    }
}

impl Management {
    /// Lists every mistake.
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if self.region.is_empty() || !self.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            mistakes.push("management.region", "must look like us-east-1");
        }
        for (name, credential) in &self.credentials {
            let at = |setting: &str| format!("management.credentials.{name}.{setting}");
            let id = &credential.access_key_id;
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if id.is_empty() || id.len() > KEY_ID_CHARS_MAX || !id.bytes().all(plain) {
                let expected = format!("must be 1 to {KEY_ID_CHARS_MAX} letters, digits, - and _");
                mistakes.push(at("access_key_id"), expected);
            }
            let twice =
                |(other, of_other): (&String, &Credential)| other < name && of_other.access_key_id == *id;
            if !id.is_empty() && self.credentials.iter().any(twice) {
                mistakes.push(at("access_key_id"), "another credential has it too");
            }
            if credential.secret_access_key.expose().chars().count() < SECRET_CHARS_MIN {
                let expected = format!("must have at least {SECRET_CHARS_MIN} characters");
                mistakes.push(at("secret_access_key"), expected);
            }
            match (&credential.tenant, credential.all_tenants) {
                (None, false) => mistakes.push(at("tenant"), "name the tenant, or set all_tenants = true"),
                (Some(_), true) => mistakes.push(at("tenant"), "is set, and so is all_tenants: keep one"),
                (Some(tenant), false) if tenant.is_empty() => {
                    mistakes.push(at("tenant"), "must not be empty")
                }
                _ => {}
            }
        }
    }

    /// Whether the public address serves it.
    pub(crate) fn is_public(&self) -> bool {
        self.public && !self.credentials.is_empty()
    }

    /// What signatures are checked with, if any are.
    pub(crate) fn keys(&self) -> anyhow::Result<Option<Verifier>> {
        if self.credentials.is_empty() {
            return Ok(None);
        }
        let scope = Scope { region: self.region.clone(), service: SERVICE.to_owned() };
        Ok(Some(Verifier::new(scope, self.credentials.values().map(Credential::key))?))
    }
}

impl Credential {
    fn key(&self) -> sigv4::Credential {
        let tenants = match &self.tenant {
            Some(tenant) => Tenants::Only(TenantId::new(tenant.as_str())),
            None => Tenants::All,
        };
        let key = sigv4::Credential::new(&*self.access_key_id, self.secret_access_key.expose(), tenants);
        match self.session_token.expose() {
            "" => key,
            token => key.with_session_token(token),
        }
    }
}
