//! Files in memory.

use std::{collections::HashMap, io::Cursor};

use streamer_protocol::{TenantId, Timestamp, UserId};

use super::share::Kept;
use crate::store::{Artifact, ArtifactBody, ArtifactId, ErrorKind, NewArtifact, Quota, Result};

#[derive(Default)]
pub(super) struct StoredArtifacts(HashMap<ArtifactId, NewArtifact>);

impl StoredArtifacts {
    /// `kept` are the bytes of what else is kept.
    pub(super) fn keep(&mut self, new: NewArtifact, quota: &Quota, kept: Kept) -> Result<Artifact> {
        if let Some(known) = self.0.get(&new.id) {
            let same = known.tenant == new.tenant && known.user == new.user && known.bytes == new.bytes;
            return if same { Ok(describe(known)) } else { Err(ErrorKind::Conflict.into()) };
        }
        let of_tenant = self.bytes(Some(&new.tenant)) + kept.tenant;
        let kept = Kept { all: self.bytes(None) + kept.all, tenant: of_tenant };
        if new.bytes.len() as u64 > kept.room(quota) {
            return Err(ErrorKind::Full.into());
        }
        let kept = describe(&new);
        self.0.insert(new.id.clone(), new);
        Ok(kept)
    }

    /// The bytes that are kept, of a tenant or of all.
    pub(super) fn bytes(&self, tenant: Option<&TenantId>) -> u64 {
        let of_it = self.0.values().filter(|kept| tenant.is_none_or(|tenant| kept.tenant == *tenant));
        of_it.map(|kept| kept.bytes.len() as u64).sum()
    }

    pub(super) fn get(
        &self,
        tenant: &TenantId,
        user: &UserId,
        id: &ArtifactId,
    ) -> Option<(Artifact, ArtifactBody)> {
        let kept = self.0.get(id).filter(|kept| kept.tenant == *tenant && kept.user == *user)?;
        Some((describe(kept), Box::pin(Cursor::new(kept.bytes.clone()))))
    }

    pub(super) fn purge(&mut self, now: Timestamp, limit: u32) -> u64 {
        let before = self.0.len();
        let mut left = limit;
        self.0.retain(|_, kept| {
            let goes = left > 0 && kept.expires_at <= now;
            left -= u32::from(goes);
            !goes
        });
        (before - self.0.len()) as u64
    }
}

fn describe(kept: &NewArtifact) -> Artifact {
    Artifact {
        id: kept.id.clone(),
        name: kept.name.clone(),
        media_type: kept.media_type.clone(),
        size: kept.bytes.len() as u64,
        created_at: kept.created_at,
        expires_at: kept.expires_at,
    }
}
