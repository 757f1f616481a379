//! The client's half of AWS Signature Version 4, sharing no code with the server's.

use sha2::{Digest, Sha256};
use streamer_auth::sigv4::{Credential, Scope, Tenants, Verifier};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, Timestamp};

use super::Http;

/// Signs requests with one key.
#[derive(Clone)]
pub(crate) struct Signer {
    key_id: &'static str,
    secret: &'static str,
    /// When it is, for this client.
    at: Timestamp,
    /// What it says of the body, if not its hash.
    payload: Option<&'static str>,
}

const KEYS: [(&str, &str, Option<&str>); 3] = [
    ("AKACME", "the-secret-access-key-of-acme-0000000001", Some("acme")),
    ("AKGLOBEX", "the-secret-access-key-of-globex-00000002", Some("globex")),
    ("AKALL", "the-secret-access-key-for-everybody-0003", None),
];

impl Signer {
    /// Of the server's keys: `AKACME` and `AKGLOBEX` for one tenant each, `AKALL`.
    pub(crate) fn new(key_id: &str) -> Self {
        let (key_id, secret, _) = KEYS.into_iter().find(|(id, ..)| *id == key_id).expect("one of the keys");
        Self { key_id, secret, at: SystemClock.now(), payload: None }
    }

    /// With another secret than the key has.
    pub(crate) fn with_secret(self, secret: &'static str) -> Self {
        Self { secret, ..self }
    }

    /// With a clock that shows this.
    pub(crate) fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    /// Says this of the body, in place of its hash.
    pub(crate) fn payload(self, payload: &'static str) -> Self {
        Self { payload: Some(payload), ..self }
    }

    /// What a server checks these signatures with.
    pub(crate) fn keys() -> Verifier {
        let scope = Scope { region: "us-east-1".to_owned(), service: "execute-api".to_owned() };
        let credentials = KEYS.map(|(id, secret, tenant)| {
            let tenants = tenant.map_or(Tenants::All, |tenant| Tenants::Only(TenantId::new(tenant)));
            Credential::new(id, secret, tenants)
        });
        Verifier::new(scope, credentials).expect("each key once")
    }

    /// Signs as boto3 does. Good for paths whose signs are `/`, `@`, `=` and `%`.
    pub(crate) fn sign(&self, request: Http) -> Http {
        let compact: String = self.at.to_string().chars().filter(|c| !"-:".contains(*c)).collect();
        let date_time = format!("{}Z", &compact[..15]);
        let scope = format!("{}/us-east-1/execute-api/aws4_request", &date_time[..8]);
        let path = request.target.replace('%', "%25").replace('@', "%40").replace('=', "%3D");
        let hash = self.payload.map_or_else(|| hex(&Sha256::digest(&request.body)), str::to_owned);
        let mut headers = format!("host:{}\n", request.addr);
        let mut names = "host;x-amz-date".to_owned();
        if let Some(payload) = self.payload {
            headers += &format!("x-amz-content-sha256:{payload}\n");
            names = names.replace(';', ";x-amz-content-sha256;");
        }
        headers += &format!("x-amz-date:{date_time}\n");
        let canonical = format!("{}\n{path}\n\n{headers}\n{names}\n{hash}", request.method);
        let text = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let secret = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(secret, |key, part| hmac(&key, part.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.key_id,
            hex(&hmac(&key, text.as_bytes()))
        );
        let request = request.header("x-amz-date", &date_time).header("authorization", &authorization);
        match self.payload {
            Some(payload) => request.header("x-amz-content-sha256", payload),
            None => request,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104, of keys that are no longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| (0..64).map(|n| key.get(n).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36).as_slice(), message].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}
