//! Faults that a test plans as it goes.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use streamer_engine::testing::Fault;

#[derive(Default)]
struct Plan {
    /// What strikes the next calls of a method.
    next: HashMap<&'static str, Vec<Fault>>,
    /// What strikes every call of a method.
    always: HashMap<&'static str, Fault>,
}

/// What goes wrong with the store.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    pub(crate) fn plan(&self) -> impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static {
        let plan = Arc::clone(&self.0);
        move |name| {
            let mut plan = plan.lock();
            let next = plan.next.get_mut(name).and_then(Vec::pop);
            next.or_else(|| plan.always.get(name).copied())
        }
    }

    /// The next call of `method` fails so.
    pub(crate) fn once(&self, method: &'static str, fault: Fault) {
        self.0.lock().next.entry(method).or_default().insert(0, fault);
    }

    /// The next call of `method` fails so, unless something is planned for it already.
    pub(crate) fn perhaps(&self, method: &'static str, fault: Fault) {
        let mut plan = self.0.lock();
        let next = plan.next.entry(method).or_default();
        if next.is_empty() {
            next.push(fault);
        }
    }

    /// Every call of `method` fails so.
    pub(crate) fn always(&self, method: &'static str, fault: Fault) {
        self.0.lock().always.insert(method, fault);
    }

    /// No call of `method` fails any more.
    pub(crate) fn never(&self, method: &'static str) {
        self.0.lock().always.remove(method);
    }
}
