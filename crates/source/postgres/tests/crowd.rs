//! Large transactions pass through in bounded memory, however slow the reader is.

use streamer_events::source::{Limit, Read, Source as _};

use crate::bed::{Place, begun, within};

const ROWS: usize = 40_000;

/// In kilobytes, by the kernel's count.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_transaction_larger_than_our_memory_passes_through() {
    let Some(place) = Place::open().await else { return };
    let source = begun(place.source()).await;
    // About 160 MB in one transaction.
    place
        .sql(format!(
            "INSERT INTO activity.event_outbox (aggregate_id, aggregate_type, event_type, payload) \
             SELECT gen_random_uuid(), 'T', 'E', jsonb_build_object('x', repeat('x', 4000)) \
             FROM generate_series(1, {ROWS})"
        ))
        .await;
    let (before, mut most, mut seen) = (memory_kb(), 0, 0);
    let mut last = None;
    while seen < ROWS {
        let reads = within(source.read(Limit { changes: 500, bytes: 1024 * 1024 })).await.expect("reads");
        for read in reads {
            let Read::Change(change) = read else { panic!("no snapshot") };
            assert!(last.is_none_or(|last| last < change.position.offset), "positions rise");
            last = Some(change.position.offset);
            seen += 1;
        }
        most = most.max(memory_kb());
    }
    // Other tests run beside it in this process; all of it would be much more.
    assert!(most < before + 80_000, "{before} kB before, {most} kB at most");
    source.close().await.expect("closes");
}
