//! Requests that are signed as those of AWS clients are.

use streamer_auth::sigv4::{Credential, Refused, Request, Scope, Tenants, Verifier};
use streamer_protocol::Timestamp;

use crate::Target;

/// Whether a request with this body is signed by the one key.
pub type Signed = fn(&Verifier, &Request<'_>, &[u8], Timestamp) -> Result<(), Refused>;

/// Reads and checks signatures.
pub struct Signatures {
    /// The check.
    pub signed: Signed,
    verifier: Verifier,
    now: Timestamp,
}

impl Default for Signatures {
    fn default() -> Self {
        // The key of AWS's own examples, and the time at which those below were signed.
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let scope = Scope { region: "us-east-1".to_owned(), service: "execute-api".to_owned() };
        let credential = Credential::new("AKIDEXAMPLE", secret, Tenants::All);
        Self {
            signed: |verifier, request, body, now| verifier.read(request, now)?.verify(body).map(drop),
            verifier: Verifier::new(scope, [credential]).expect("one key"),
            now: Timestamp::parse("2026-11-26T16:11:02Z").expect("a time"),
        }
    }
}

/// As boto3 sends it, and as the Rust SDK does.
const SIGNED: [&str; 2] = [
    "POST /prod/@connections/L0SM9cOFvHcCIhw%3D\nhost: 127.0.0.1:18999\nx-amz-date: 20261126T161102Z\n\
     authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/us-east-1/execute-api/aws4_request, \
     SignedHeaders=host;x-amz-date, \
     Signature=45bd14248b8e6b040e88bf3980d534dc058bebc383696aef0c6d36d4f4b44c13\n\n{\"a\":1}",
    "POST /prod/%40connections/L0SM9cOFvHcCIhw%3D\ncontent-type: application/octet-stream\ncontent-length: 7\n\
     x-amz-user-agent: aws-sdk-rust/1.3.9 api/apigatewaymanagement/1.90.0  os/linux lang/rust/1.95.0\n\
     amz-sdk-invocation-id: 5976e913-2979-45bc-82d0-de10c61e9648\namz-sdk-request: attempt=1; max=3\n\
     x-amz-date: 20261126T161102Z\nhost: 127.0.0.1:18999\n\
     authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/us-east-1/execute-api/aws4_request, \
     SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;\
     x-amz-user-agent, Signature=396d31c0f5a7dae35a1c6441f6f7170a3380f7593f80442dcef2cfb5bc1a02f2\n\n{\"a\":1}",
];

impl Target for Signatures {
    fn name(&self) -> &'static str {
        "signatures"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        SIGNED.map(|text| text.as_bytes().to_vec()).to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "AWS4-HMAC-SHA256 ",
            "AWS4-ECDSA-P256-SHA256 ",
            "Credential=",
            "AKIDEXAMPLE",
            "/20261126/us-east-1/execute-api/aws4_request",
            "SignedHeaders=",
            "host;x-amz-date",
            "Signature=",
            "\nx-amz-content-sha256: ",
            "UNSIGNED-PAYLOAD",
            "STREAMING-",
            "\nx-amz-security-token: ",
            "?X-Amz-Signature=",
            ", ",
            ";",
            "/../",
            "/./",
            "//",
            "%2F",
            "%40",
            "%",
            "&",
            "=",
            "\n",
            "\n\n",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let blank = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
        let (head, body) = (&input[..blank], input.get(blank + 2..).unwrap_or_default());
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = lines
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
                Some((name, line[colon + 1..].trim_ascii()))
            })
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let request = Request { method, path, query, headers };
        match (self.signed)(&self.verifier, &request, body, self.now) {
            Ok(()) if SIGNED.iter().any(|signed| is(signed, method, path, query, body)) => Ok(()),
            Ok(()) => Err(format!("a request that nobody signed: {}", String::from_utf8_lossy(input))),
            Err(refused) if SIGNED.iter().any(|signed| signed.as_bytes() == input) => {
                Err(format!("what was signed is refused: {refused}"))
            }
            Err(refused) if refused.to_string().is_empty() => Err("no reason".to_owned()),
            Err(_) => Ok(()),
        }
    }
}

/// Whether this is what was signed, dot segments resolved.
fn is(signed: &str, method: &str, path: &str, query: &str, body: &[u8]) -> bool {
    let (head, signed_body) = signed.split_once("\n\n").expect("a body");
    let (signed_method, signed_path) =
        head.lines().next().and_then(|line| line.split_once(' ')).expect("a line");
    let segments = |path: &str| {
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
            match segment {
                ".." => drop(segments.pop()),
                plain => segments.push(plain.to_owned()),
            }
        }
        segments
    };
    let nothing_asked = query.bytes().all(|byte| byte == b'&');
    method == signed_method
        && segments(path) == segments(signed_path)
        && nothing_asked
        && body == signed_body.as_bytes()
}
