//! Whose topic an event goes to.

use serde_json::Value;
use streamer_events::{Event, Path, Rejection};
use streamer_protocol::TenantId;

/// The longest tenant, in bytes: a payload is data, and no place for the unbounded.
const TENANT_BYTES_MAX: usize = 256;

/// Whose topics the events are published to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// All of them one tenant's.
    Fixed(TenantId),
    /// Each the tenant's that its payload names at this place.
    Field(Path),
}

impl Tenant {
    /// The event's tenant. One that is missing or is none is a rejection: nothing goes to anybody else.
    pub(crate) fn of(&self, event: &Event) -> Result<TenantId, Rejection> {
        let path = match self {
            Self::Fixed(tenant) => return Ok(tenant.clone()),
            Self::Field(path) => path,
        };
        let payload: Value = event.payload()?;
        let found = path.as_str().split('.').try_fold(&payload, |value, name| value.get(name));
        let tenant = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            None | Some(Value::Null) => return Err(Rejection::new("names no tenant").at(path.as_str())),
            Some(_) => return Err(Rejection::new("is no tenant").at(path.as_str())),
        };
        if tenant.is_empty() || tenant.len() > TENANT_BYTES_MAX || tenant.chars().any(char::is_control) {
            return Err(Rejection::new("is no tenant").at(path.as_str()));
        }
        Ok(TenantId::new(tenant))
    }
}
