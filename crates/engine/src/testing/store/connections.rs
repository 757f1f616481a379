//! Connections in memory.

use std::collections::BTreeMap;

use streamer_protocol::{ConnectionId, Timestamp};

use super::{page_of, read_cursor};
use crate::store::{ConnectionFilter, ConnectionRecord, Page, PageQuery, Result};

const CURSOR: &str = "connections:";

#[derive(Default)]
pub(super) struct StoredConnections(BTreeMap<ConnectionId, ConnectionRecord>);

impl StoredConnections {
    pub(super) fn connect(&mut self, connection: &ConnectionRecord) {
        self.0.insert(connection.id.clone(), connection.clone());
    }

    pub(super) fn get(&self, id: &ConnectionId) -> Option<ConnectionRecord> {
        self.0.get(id).cloned()
    }

    pub(super) fn touch(&mut self, ids: &[ConnectionId], at: Timestamp, expires_at: Timestamp) {
        for id in ids {
            if let Some(connection) = self.0.get_mut(id) {
                connection.last_ping = at;
                connection.expires_at = expires_at;
            }
        }
    }

    pub(super) fn disconnect(&mut self, id: &ConnectionId) -> Option<ConnectionRecord> {
        self.0.remove(id)
    }

    pub(super) fn list(&self, filter: &ConnectionFilter, page: &PageQuery) -> Result<Page<ConnectionRecord>> {
        let after = page.cursor.as_deref().map(|cursor| read_cursor(cursor, CURSOR)).transpose()?;
        let matching = self.0.values().filter(|connection| {
            after.is_none_or(|after| connection.id.as_str() > after)
                && filter.tenant.as_ref().is_none_or(|tenant| *tenant == connection.tenant)
                && filter.user.as_ref().is_none_or(|user| *user == connection.user)
        });
        page_of(matching.cloned(), page.limit, |connection| format!("{CURSOR}{}", connection.id))
    }

    pub(super) fn forget_endpoint(&mut self, endpoint: &str) -> u64 {
        let before = self.0.len();
        self.0.retain(|_, connection| connection.endpoint != endpoint);
        (before - self.0.len()) as u64
    }

    pub(super) fn purge(&mut self, now: Timestamp, limit: u32) -> u64 {
        let before = self.0.len();
        let mut left = limit;
        self.0.retain(|_, connection| {
            let goes = left > 0 && connection.expires_at <= now;
            left -= u32::from(goes);
            !goes
        });
        (before - self.0.len()) as u64
    }
}
