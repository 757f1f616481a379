//! What a token says, read claim by claim so that a refusal names the claim.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamer_protocol::{TenantId, Timestamp, UserId};

use crate::{Identity, Rejected, identity::is_name};

/// The end of the year 9999 in seconds. Beyond it lie tokens whose issuer wrote milliseconds.
const NUMERIC_DATE_MAX: f64 = 253_402_300_799.0;

/// The claims that matter (RFC 7519, section 4.1, and our own), of any type yet; others are ignored.
#[derive(Deserialize)]
pub(crate) struct Claims {
    sub: Option<Value>,
    tenant_id: Option<Value>,
    permissions: Option<Value>,
    topics: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
}

/// The claims as a [`Signer`](crate::Signer) writes them.
#[derive(Serialize)]
pub(crate) struct Issued<'a> {
    pub(crate) sub: &'a str,
    pub(crate) tenant_id: &'a str,
    pub(crate) permissions: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) topics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aud: Option<&'a str>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

impl Claims {
    pub(crate) fn expires_at(&self) -> Result<Timestamp, Rejected> {
        moment("exp", self.exp.as_ref().ok_or(Rejected::MissingClaim("exp"))?)
    }

    pub(crate) fn not_before(&self) -> Result<Option<Timestamp>, Rejected> {
        self.nbf.as_ref().map(|value| moment("nbf", value)).transpose()
    }

    pub(crate) fn issued_by(&self, issuer: &str) -> Result<(), Rejected> {
        match &self.iss {
            Some(Value::String(iss)) if iss == issuer => Ok(()),
            Some(Value::String(_)) => Err(Rejected::WrongIssuer),
            Some(_) => Err(Rejected::InvalidClaim("iss")),
            None => Err(Rejected::MissingClaim("iss")),
        }
    }

    /// `aud` is one text or a list of texts.
    pub(crate) fn meant_for(&self, audience: &str) -> Result<(), Rejected> {
        let named = match self.aud.as_ref().ok_or(Rejected::MissingClaim("aud"))? {
            Value::String(aud) => aud == audience,
            Value::Array(list) if list.iter().all(Value::is_string) => {
                list.iter().any(|aud| aud.as_str() == Some(audience))
            }
            _ => return Err(Rejected::InvalidClaim("aud")),
        };
        if named { Ok(()) } else { Err(Rejected::WrongAudience) }
    }

    pub(crate) fn identity(self, expires_at: Timestamp) -> Result<Identity, Rejected> {
        Ok(Identity {
            user: UserId::new(required("sub", self.sub)?),
            tenant: TenantId::new(required("tenant_id", self.tenant_id)?),
            permissions: names("permissions", self.permissions)?.into_iter().collect(),
            topics: names("topics", self.topics)?,
            expires_at,
        })
    }
}

/// A `NumericDate`: seconds since 1970, with or without a fraction.
fn moment(claim: &'static str, value: &Value) -> Result<Timestamp, Rejected> {
    match value.as_f64() {
        Some(seconds) if (0.0..=NUMERIC_DATE_MAX).contains(&seconds) => {
            // The product is below 2^53: exact for whole seconds, and in range.
            #[expect(clippy::cast_possible_truncation, reason = "checked on the line above")]
            Ok(Timestamp::from_millis((seconds * 1000.0) as i64))
        }
        _ => Err(Rejected::InvalidClaim(claim)),
    }
}

fn required(claim: &'static str, value: Option<Value>) -> Result<String, Rejected> {
    name(claim, value.ok_or(Rejected::MissingClaim(claim))?)
}

fn names(claim: &'static str, value: Option<Value>) -> Result<Vec<String>, Rejected> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => list.into_iter().map(|value| name(claim, value)).collect(),
        Some(_) => Err(Rejected::InvalidClaim(claim)),
    }
}

fn name(claim: &'static str, value: Value) -> Result<String, Rejected> {
    match value {
        Value::String(text) if is_name(&text) => Ok(text),
        _ => Err(Rejected::InvalidClaim(claim)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: Value) -> Result<Identity, Rejected> {
        let claims: Claims = serde_json::from_value(claims).expect("an object");
        let expires_at = claims.expires_at()?;
        claims.identity(expires_at)
    }

    #[test]
    fn lists_are_optional() {
        let found = identity(json!({"sub": "u", "tenant_id": "t", "exp": 1.5})).expect("an identity");
        assert_eq!(found.permissions.iter().count(), 0);
        assert!(found.topics.is_empty());
        assert_eq!(found.expires_at, Timestamp::from_millis(1500));

        let claims = json!({"sub": "u", "tenant_id": "t", "exp": 1, "permissions": ["read"], "topics": ["news", "a.*"]});
        let found = identity(claims).expect("an identity");
        assert!(found.permissions.contains("read"));
        assert_eq!(found.topics, ["news", "a.*"]);
    }

    #[test]
    fn required_claims_are_present_and_not_null() {
        for claim in ["sub", "tenant_id", "exp"] {
            let mut claims = json!({"sub": "u", "tenant_id": "t", "exp": 1});
            claims[claim] = Value::Null;
            assert_eq!(identity(claims.clone()), Err(Rejected::MissingClaim(claim)));
            claims.as_object_mut().expect("an object").remove(claim);
            assert_eq!(identity(claims), Err(Rejected::MissingClaim(claim)));
        }
    }

    #[test]
    fn names_are_texts_within_bounds_without_control_characters() {
        let long = "é".repeat(256);
        assert!(identity(json!({"sub": long, "tenant_id": long, "exp": 1})).is_ok());
        for claim in ["sub", "tenant_id"] {
            for bad in
                [json!(""), json!("é".repeat(257)), json!("a\nb"), json!("a\u{85}b"), json!(7), json!(["u"])]
            {
                let mut claims = json!({"sub": "u", "tenant_id": "t", "exp": 1});
                claims[claim] = bad.clone();
                assert_eq!(identity(claims), Err(Rejected::InvalidClaim(claim)), "{bad}");
            }
        }
        for claim in ["permissions", "topics"] {
            for bad in
                [json!("read"), json!({}), json!([1]), json!([""]), json!(["a\u{0}"]), json!([["read"]])]
            {
                let mut claims = json!({"sub": "u", "tenant_id": "t", "exp": 1});
                claims[claim] = bad.clone();
                assert_eq!(identity(claims), Err(Rejected::InvalidClaim(claim)), "{bad}");
            }
        }
    }

    #[test]
    fn dates_are_seconds_up_to_the_year_9999() {
        let last =
            identity(json!({"sub": "u", "tenant_id": "t", "exp": 253_402_300_799_i64})).expect("an identity");
        assert_eq!(last.expires_at, Timestamp::from_millis(253_402_300_799_000));
        for bad in [
            json!(-1),
            json!("1795254103"),
            json!(1_795_254_103_007_i64),
            json!(1e300),
            json!(true),
            json!([1]),
        ] {
            let claims = json!({"sub": "u", "tenant_id": "t", "exp": bad});
            assert_eq!(identity(claims), Err(Rejected::InvalidClaim("exp")), "{bad}");
        }
    }
}
