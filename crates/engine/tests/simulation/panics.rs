//! Handlers panic on purpose; nothing else does.

use std::{cell::Cell, panic, sync::Once};

use crate::work::ON_PURPOSE;

thread_local! {
    static UNPLANNED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps quiet about panics on purpose, and remembers others.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(ON_PURPOSE) {
                UNPLANNED.set(true);
                before(panic);
            }
        }));
    });
}

/// Whether something else panicked on this thread, since this was asked last.
pub(crate) fn was_unplanned() -> bool {
    UNPLANNED.replace(false)
}
