//! One request's log as its caller has seen it: what is new, what came twice, what is missing.

use streamer_protocol::{Chunk, Progress, Restart};

/// How far a caller has come in a log.
///
/// `seq` may skip, so a missing entry shows only by the index of a chunk. What came up to the last chunk or restart
/// is therefore proven to be complete, and that is where a resume starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Track {
    /// The highest `seq` that was passed on.
    seen: u64,
    /// The `seq` up to which nothing is missing.
    proven: u64,
    /// The next chunk's index; unknown if the caller came in the middle.
    next_index: Option<u64>,
    percentage: f64,
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Pass it on.
    New,
    /// It came before.
    Double,
    /// Something is missing before it: resume.
    Gap { expected: u64, found: u64 },
}

impl Track {
    /// Of a caller who has seen everything up to `seq`.
    pub(crate) fn after(seq: u64) -> Self {
        let next_index = if seq == 0 { Some(0) } else { None };
        Self { seen: seq, proven: seq, next_index, percentage: 0.0 }
    }

    /// From where to resume.
    pub(crate) fn proven(&self) -> u64 {
        self.proven
    }

    /// Raises a percentage that would fall below what was shown.
    pub(crate) fn progress(&mut self, progress: &mut Progress) -> Verdict {
        if progress.seq <= self.seen {
            return Verdict::Double;
        }
        self.seen = progress.seq;
        self.percentage = self.percentage.max(progress.percentage);
        progress.percentage = self.percentage;
        Verdict::New
    }

    pub(crate) fn chunk(&mut self, chunk: &Chunk) -> Verdict {
        if chunk.seq <= self.proven {
            return Verdict::Double;
        }
        let expected = self.next_index.unwrap_or(chunk.index);
        if chunk.index != expected {
            // Lower than expected means that a restart is missing.
            return Verdict::Gap { expected, found: chunk.index };
        }
        self.next_index = Some(expected + 1);
        self.prove(chunk.seq);
        Verdict::New
    }

    pub(crate) fn restart(&mut self, restart: &Restart) -> Verdict {
        if restart.seq <= self.proven {
            return Verdict::Double;
        }
        if let Some(expected) = self.next_index
            && restart.from_index > expected
        {
            // Either chunks are missing, and the next one will show it; or a later restart made them void, and the
            // log no longer holds them.
            let verdict = if restart.seq <= self.seen { Verdict::Double } else { Verdict::New };
            self.seen = self.seen.max(restart.seq);
            return verdict;
        }
        self.next_index = Some(restart.from_index);
        self.prove(restart.seq);
        Verdict::New
    }

    fn prove(&mut self, seq: u64) {
        self.proven = seq;
        self.seen = self.seen.max(seq);
    }
}

#[cfg(test)]
mod tests {
    use streamer_protocol::{Json, RequestId, Timestamp};

    use super::*;

    fn id() -> RequestId {
        RequestId::parse("r").expect("valid")
    }

    fn chunk(seq: u64, index: u64) -> Chunk {
        Chunk { request_id: id(), seq, index, data: Json::null(), timestamp: Timestamp::default() }
    }

    fn restart(seq: u64, from_index: u64) -> Restart {
        Restart { request_id: id(), seq, attempt: 2, from_index, timestamp: Timestamp::default() }
    }

    fn progress(seq: u64, percentage: f64) -> Progress {
        let (message, timestamp) = (String::new(), Timestamp::default());
        Progress { request_id: id(), seq, percentage, message, metadata: None, timestamp }
    }

    #[test]
    fn chunks_come_once_and_without_a_gap() {
        let mut track = Track::after(0);
        assert_eq!(track.chunk(&chunk(1, 0)), Verdict::New);
        assert_eq!(track.chunk(&chunk(1, 0)), Verdict::Double);
        assert_eq!(track.chunk(&chunk(9, 2)), Verdict::Gap { expected: 1, found: 2 });
        assert_eq!(track.chunk(&chunk(5, 1)), Verdict::New);
        assert_eq!(track.proven(), 5);
    }

    #[test]
    fn a_gap_before_a_progress_is_resumed_from_the_last_chunk() {
        let mut track = Track::after(0);
        track.chunk(&chunk(1, 0));
        // Chunk 1 with seq 2 is lost.
        assert_eq!(track.progress(&mut progress(3, 50.0)), Verdict::New);
        assert_eq!(track.chunk(&chunk(4, 2)), Verdict::Gap { expected: 1, found: 2 });
        assert_eq!(track.proven(), 1);
        assert_eq!(track.chunk(&chunk(2, 1)), Verdict::New);
        assert_eq!(track.progress(&mut progress(3, 50.0)), Verdict::Double);
        assert_eq!(track.chunk(&chunk(4, 2)), Verdict::New);
    }

    #[test]
    fn a_restart_voids_chunks_and_stragglers_of_the_old_attempt_are_doubles() {
        let mut track = Track::after(0);
        track.chunk(&chunk(1, 0));
        track.chunk(&chunk(2, 1));
        assert_eq!(track.restart(&restart(4, 1)), Verdict::New);
        assert_eq!(track.chunk(&chunk(3, 2)), Verdict::Double);
        assert_eq!(track.chunk(&chunk(5, 1)), Verdict::New);
    }

    #[test]
    fn a_lost_restart_is_a_gap() {
        let mut track = Track::after(0);
        track.chunk(&chunk(1, 0));
        track.chunk(&chunk(2, 1));
        assert_eq!(track.chunk(&chunk(4, 0)), Verdict::Gap { expected: 2, found: 0 });
    }

    #[test]
    fn a_restart_may_itself_be_superseded() {
        // Attempt 2 began at chunk 3, attempt 3 at chunk 1: the log holds chunks 1 and 2 of attempt 3 only.
        let mut track = Track::after(0);
        assert_eq!(track.chunk(&chunk(1, 0)), Verdict::New);
        assert_eq!(track.restart(&restart(5, 3)), Verdict::New);
        assert_eq!(track.restart(&restart(5, 3)), Verdict::Double);
        assert_eq!(track.proven(), 1);
        assert_eq!(track.restart(&restart(8, 1)), Verdict::New);
        assert_eq!(track.chunk(&chunk(9, 1)), Verdict::New);
    }

    #[test]
    fn chunks_missing_before_a_restart_show_at_the_next_chunk() {
        let mut track = Track::after(0);
        assert_eq!(track.restart(&restart(4, 1)), Verdict::New);
        assert_eq!(track.chunk(&chunk(5, 1)), Verdict::Gap { expected: 0, found: 1 });
        assert_eq!(track.proven(), 0);
    }

    #[test]
    fn a_caller_who_comes_in_the_middle_takes_the_first_index_as_it_is() {
        let mut track = Track::after(7);
        assert_eq!(track.chunk(&chunk(7, 3)), Verdict::Double);
        assert_eq!(track.chunk(&chunk(8, 4)), Verdict::New);
        assert_eq!(track.chunk(&chunk(10, 6)), Verdict::Gap { expected: 5, found: 6 });
    }

    #[test]
    fn percentages_never_fall() {
        let mut track = Track::after(0);
        track.progress(&mut progress(1, 70.0));
        let mut lower = progress(2, 10.0);
        assert_eq!(track.progress(&mut lower), Verdict::New);
        assert!((lower.percentage - 70.0).abs() < f64::EPSILON);
    }
}
