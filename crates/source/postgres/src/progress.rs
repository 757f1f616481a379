//! How far the slot may be confirmed.

use std::collections::VecDeque;

use streamer_events::{Moment, Offset, Partition, change::Lsn};

/// What was given to the pipeline, and what of it is confirmed. The slot is confirmed by whole transactions.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The stream's partition, once it streams.
    partition: Option<Partition>,
    /// Transactions that are not confirmed, in commit order.
    open: VecDeque<Open>,
    in_transaction: bool,
    /// The last change that is confirmed.
    confirmed: Option<Offset>,
    /// The last change that was given out.
    given: Option<Offset>,
    /// Up to here all is durable where it belongs.
    flushed: Lsn,
    /// As of the last confirmed change; what keepalives added since is not in it.
    flushed_by_changes: Lsn,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    last: Offset,
    end: Lsn,
    committed_at: Moment,
}

impl Progress {
    /// Up to where the slot may be confirmed.
    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// Up to where confirmed changes reach.
    pub(crate) fn flushed_by_changes(&self) -> Lsn {
        self.flushed_by_changes
    }

    /// Since when the oldest transaction waits that is not confirmed.
    pub(crate) fn waits_since(&self) -> Option<Moment> {
        self.open.front().map(|open| open.committed_at)
    }

    /// Whether a position is of the stream.
    pub(crate) fn is_of(&self, partition: &Partition) -> bool {
        self.partition.as_ref() == Some(partition)
    }

    /// Whether everything that was given out is confirmed, inside a transaction whose end was not read yet.
    pub(crate) fn lacks_only_the_end(&self) -> bool {
        self.in_transaction && self.given.is_some() && self.confirmed >= self.given
    }

    /// The slot's stream begins here: what is before it is confirmed.
    pub(crate) fn starts_at(&mut self, partition: &Partition, confirmed: Lsn) {
        self.partition = Some(partition.clone());
        self.in_transaction = false;
        self.flushed = self.flushed.max(confirmed);
    }

    /// Whether the change is to be given out: after a reconnection some come that the pipeline has already.
    pub(crate) fn give(&mut self, offset: Offset) -> bool {
        let is_new = Some(offset) > self.given;
        if is_new {
            self.given = Some(offset);
        }
        is_new
    }

    /// A transaction begins.
    pub(crate) fn begin(&mut self) {
        self.in_transaction = true;
    }

    /// A transaction has ended, with `last` its last change, if it had any.
    pub(crate) fn commit(&mut self, last: Option<Offset>, end: Lsn, committed_at: Moment) {
        self.in_transaction = false;
        match (last, self.open.back_mut()) {
            (Some(last), back) if Some(last) > self.confirmed => {
                if back.is_none_or(|back| last > back.last) {
                    self.open.push_back(Open { last, end, committed_at });
                }
            }
            // Nothing of it is for the pipeline: it is confirmed with what is before it.
            (_, Some(back)) => back.end = back.end.max(end),
            (_, None) => self.flush(end),
        }
    }

    /// Everything up to this change is durable.
    pub(crate) fn confirm(&mut self, offset: Offset) {
        self.confirmed = self.confirmed.max(Some(offset));
        while let Some(open) = self.open.pop_front_if(|open| Some(open.last) <= self.confirmed) {
            self.flush(open.end);
        }
    }

    /// The server has come so far, and has nothing for us there.
    pub(crate) fn keepalive(&mut self, end: Lsn) {
        if self.open.is_empty() && !self.in_transaction {
            self.flushed = self.flushed.max(end);
        }
    }

    fn flush(&mut self, end: Lsn) {
        self.flushed = self.flushed.max(end);
        self.flushed_by_changes = self.flushed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        "p".parse().expect("a partition")
    }

    fn at(commit: u64, ordinal: u32) -> Offset {
        Offset::in_transaction(commit, ordinal)
    }

    /// A transaction at `commit`, which ends 5 further.
    fn transaction(progress: &mut Progress, commit: u64, changes: u32) {
        progress.begin();
        let last =
            (0..changes).map(|ordinal| at(commit, ordinal)).filter(|offset| progress.give(*offset)).last();
        progress.commit(last, Lsn(commit + 5), Moment::from_millis(commit as i64));
    }

    #[test]
    fn a_transaction_is_confirmed_with_its_last_change() {
        let mut progress = Progress::default();
        transaction(&mut progress, 10, 3);
        transaction(&mut progress, 20, 1);
        progress.confirm(at(10, 1));
        assert_eq!((progress.flushed(), progress.waits_since()), (Lsn(0), Some(Moment::from_millis(10))));
        progress.confirm(at(10, 2));
        assert_eq!((progress.flushed(), progress.waits_since()), (Lsn(15), Some(Moment::from_millis(20))));
        progress.confirm(at(20, 0));
        assert_eq!((progress.flushed(), progress.waits_since()), (Lsn(25), None));
    }

    #[test]
    fn a_keepalive_moves_it_only_when_nothing_is_in_flight() {
        let mut progress = Progress::default();
        progress.keepalive(Lsn(8));
        assert_eq!((progress.flushed(), progress.flushed_by_changes()), (Lsn(8), Lsn(0)));
        progress.begin();
        progress.keepalive(Lsn(9));
        assert_eq!(progress.flushed(), Lsn(8), "inside a transaction");
        progress.give(at(10, 0));
        progress.confirm(at(10, 0));
        progress.keepalive(Lsn(9));
        assert_eq!(progress.flushed(), Lsn(8), "its end is not known");
        progress.commit(Some(at(10, 0)), Lsn(15), Moment::default());
        assert_eq!(progress.flushed(), Lsn(15), "it was confirmed before it ended");
        transaction(&mut progress, 20, 1);
        progress.keepalive(Lsn(99));
        assert_eq!(progress.flushed(), Lsn(15), "one is not confirmed");
        progress.confirm(at(20, 0));
        progress.keepalive(Lsn(99));
        assert_eq!(progress.flushed(), Lsn(99));
    }

    #[test]
    fn a_transaction_without_changes_goes_with_what_is_before_it() {
        let mut progress = Progress::default();
        transaction(&mut progress, 10, 0);
        assert_eq!(progress.flushed(), Lsn(15));
        transaction(&mut progress, 20, 1);
        transaction(&mut progress, 30, 0);
        assert_eq!(progress.flushed(), Lsn(15));
        progress.confirm(at(20, 0));
        assert_eq!(progress.flushed(), Lsn(35));
    }

    #[test]
    fn what_comes_again_after_a_reconnection_is_not_given_twice() {
        let mut progress = Progress::default();
        transaction(&mut progress, 10, 2);
        progress.begin();
        assert!(progress.give(at(20, 0)));
        // The connection breaks here, and the server begins anew.
        progress.starts_at(&partition(), Lsn(5));
        progress.begin();
        assert!(!progress.give(at(10, 0)) && !progress.give(at(10, 1)));
        progress.commit(Some(at(10, 1)), Lsn(15), Moment::default());
        progress.begin();
        assert!(!progress.give(at(20, 0)) && progress.give(at(20, 1)));
        progress.commit(Some(at(20, 1)), Lsn(25), Moment::default());
        progress.confirm(at(20, 0));
        assert_eq!(progress.flushed(), Lsn(15));
        progress.confirm(at(20, 1));
        assert_eq!(progress.flushed(), Lsn(25));
    }

    #[test]
    fn one_whose_end_was_lost_is_not_confirmed_by_its_repetition() {
        let mut progress = Progress::default();
        progress.begin();
        assert!(progress.give(at(10, 0)));
        progress.starts_at(&partition(), Lsn(5));
        progress.begin();
        assert!(!progress.give(at(10, 0)));
        progress.commit(Some(at(10, 0)), Lsn(15), Moment::default());
        assert_eq!(progress.flushed(), Lsn(5));
        progress.confirm(at(10, 0));
        assert_eq!(progress.flushed(), Lsn(15));
    }
}
