//! One request in memory, with its log.

use streamer_protocol::{Json, RequestStatus, Timestamp};

use super::outbox::Telling;
use crate::planted::{self, Bug};
use crate::store::{
    Claim, EntryBody, Error, ErrorKind, Fingerprint, Lease, LogEntry, NewRequest, Outcome, Record, Result,
    Summary, WorkerId,
};
/// A request as it is kept.
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) record: Record,
    /// The newest fence.
    pub(super) fence: u64,
    /// Who holds that fence's lease, or ended the request under it; nobody once the lease was given up.
    pub(super) holder: Option<WorkerId>,
    /// When it may be claimed; never once it has ended.
    pub(super) due_at: Option<Timestamp>,
    /// How many chunks the checkpoint covers.
    pub(super) covered: u64,
    pub(super) log: Vec<LogEntry>,
    pub(super) announced: bool,
    /// While its end is to be told, or was given up.
    pub(super) telling: Option<Telling>,
}

impl Stored {
    /// Whether its lease holds.
    pub(super) fn runs(&self, now: Timestamp) -> bool {
        let processing = self.record.summary.status == RequestStatus::Processing;
        processing && self.due_at.is_some_and(|until| until > now)
    }

    pub(super) fn bytes(&self) -> u64 {
        let outcome = self.record.outcome.as_ref().filter(|_| self.record.summary.status.is_final());
        let outcome = outcome.map_or(0, |outcome| outcome.to_json().as_str().len());
        let permissions = self.record.permissions.kept().map_or(0, |kept| kept.len());
        let checkpoint = self.record.checkpoint.as_ref().map_or(0, |state| state.as_str().len());
        let contents = self.record.payload.as_str().len() + permissions + checkpoint + outcome;
        self.record.summary.log_bytes + contents as u64
    }

    pub(super) fn claim(&mut self, worker: &WorkerId, now: Timestamp, lease_until: Timestamp) -> Claim {
        if self.record.summary.status == RequestStatus::Processing {
            self.record.summary.takeovers += 1;
        }
        let lease = self.lease_to(worker, now, lease_until);
        let restart = (self.record.summary.attempt > 1).then(|| self.restart(now));
        Claim { lease, record: self.record.clone(), restart }
    }

    pub(super) fn lease_to(&mut self, worker: &WorkerId, now: Timestamp, lease_until: Timestamp) -> Lease {
        self.fence += 1;
        self.holder = Some(worker.clone());
        self.due_at = Some(lease_until);
        self.record.outcome = None;
        let summary = &mut self.record.summary;
        summary.status = RequestStatus::Processing;
        summary.attempt += 1;
        summary.cancel_asked &= !planted::is(Bug::ForgottenCancel);
        summary.retry_after = None;
        summary.started_at.get_or_insert(now);
        Lease { key: summary.key.clone(), fence: self.fence, place: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        let cancelled = self.record.summary.status == RequestStatus::Cancelled;
        self.due_at.is_some() || cancelled && planted::is(Bug::QuotaLeak)
    }

    /// Removes what the checkpoint does not cover, and says so in the log.
    pub(super) fn restart(&mut self, now: Timestamp) -> LogEntry {
        let covered = if planted::is(Bug::RepeatedChunk) { self.record.summary.chunks } else { self.covered };
        self.log.retain(|entry| match entry.body {
            EntryBody::Chunk { index, .. } => index < covered,
            EntryBody::Restart { from_index, .. } => from_index < covered,
            _ => true,
        });
        self.record.summary.log_bytes = self.log.iter().map(bytes_of).sum();
        self.record.summary.chunks = covered;
        let attempt = self.record.summary.attempt;
        self.push_next(now, EntryBody::Restart { attempt, from_index: covered })
    }

    /// `room` is for so many more bytes.
    pub(super) fn append(
        &mut self,
        entries: &[LogEntry],
        checkpoint: Option<&Json>,
        room: u64,
    ) -> Result<bool> {
        let summary = &self.record.summary;
        let cancel_asked = summary.cancel_asked;
        if entries.last().is_some_and(|last| last.seq < summary.last_seq) {
            return Ok(cancel_asked); // Done long ago: a later call has changed the checkpoint since.
        }
        let new: Vec<&LogEntry> = entries.iter().filter(|entry| entry.seq > summary.last_seq).collect();
        let (mut seq, mut index) = (summary.last_seq, summary.chunks);
        for entry in &new {
            let fits = match entry.body {
                EntryBody::Progress(_) => true,
                EntryBody::Chunk { index: given, .. } => given == index,
                EntryBody::Restart { .. } | EntryBody::Outcome(_) => false,
            };
            if !fits || entry.seq <= seq {
                return Err(Error::new(ErrorKind::Invalid, "an entry that does not continue the log"));
            }
            seq = entry.seq;
            index += u64::from(matches!(entry.body, EntryBody::Chunk { .. }));
        }
        let kept = self.record.checkpoint.as_ref().map_or(0, |state| state.as_str().len());
        let gone = checkpoint.map_or(0, |_| kept as u64);
        let come = checkpoint.map_or(0, |state| state.as_str().len()) as u64;
        let chunks: u64 = new.iter().map(|entry| bytes_of(entry)).sum();
        if (chunks + come).saturating_sub(gone) > room {
            return Err(ErrorKind::Full.into());
        }
        for entry in new {
            self.push(entry.clone());
        }
        if let Some(checkpoint) = checkpoint {
            self.record.checkpoint = Some(checkpoint.clone());
            self.covered = self.record.summary.chunks;
        }
        Ok(cancel_asked)
    }

    pub(super) fn end(&mut self, outcome: &Outcome, now: Timestamp, expires_at: Timestamp) -> LogEntry {
        self.due_at = None;
        self.telling = self.announced.then(|| Telling::due(now));
        self.record.outcome = Some(outcome.clone());
        let summary = &mut self.record.summary;
        summary.status = outcome.status();
        summary.retry_after = None;
        (summary.ended_at, summary.expires_at) = (Some(now), Some(expires_at));
        self.push_next(now, EntryBody::Outcome(outcome.clone()))
    }

    pub(super) fn wait(&mut self, status: RequestStatus, run_at: Timestamp) {
        self.holder = None;
        self.due_at = Some(run_at);
        (self.record.summary.status, self.record.summary.run_at) = (status, run_at);
    }

    pub(super) fn push_next(&mut self, at: Timestamp, body: EntryBody) -> LogEntry {
        let entry = LogEntry { seq: self.record.summary.last_seq + 1, at, body };
        self.push(entry.clone());
        entry
    }

    pub(super) fn push(&mut self, entry: LogEntry) {
        let summary = &mut self.record.summary;
        summary.last_seq = entry.seq;
        match &entry.body {
            EntryBody::Progress(progress) => {
                summary.progress = Some(progress.clone());
                self.log.retain(|old| !matches!(old.body, EntryBody::Progress(_)));
            }
            EntryBody::Chunk { data, .. } => {
                summary.chunks += 1;
                summary.log_bytes += data.as_str().len() as u64;
            }
            EntryBody::Restart { .. } | EntryBody::Outcome(_) => {}
        }
        self.log.push(entry);
    }
}

/// What an entry counts among the bytes that are kept.
fn bytes_of(entry: &LogEntry) -> u64 {
    match &entry.body {
        EntryBody::Chunk { data, .. } => data.as_str().len() as u64,
        _ => 0,
    }
}

pub(super) fn summary_of(new: &NewRequest) -> Summary {
    Summary {
        key: new.key.clone(),
        connection: new.connection.clone(),
        action: new.action.clone(),
        priority: new.priority,
        status: RequestStatus::Pending,
        progress: None,
        attempt: 0,
        retry_count: 0,
        max_retries: new.max_retries,
        takeovers: 0,
        retry_after: None,
        repeatable: new.repeatable,
        cancel_asked: false,
        run_at: new.run_at,
        created_at: new.created_at,
        started_at: None,
        ended_at: None,
        expires_at: None,
        last_seq: 0,
        chunks: 0,
        log_bytes: 0,
    }
}
