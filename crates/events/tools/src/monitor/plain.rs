//! A line for a log.

use super::History;

/// What is known now, in one line.
#[must_use]
pub fn line(history: &History) -> String {
    let Some(figures) = history.latest() else {
        return format!("nothing heard yet: {}", history.problem().unwrap_or("waiting"));
    };
    if let Some(problem) = history.problem() {
        return format!("{} no news: {problem}", figures.at);
    }
    let mut line = format!(
        "{} {} events={} rate={:.0}/s average={:.0}/s peak={}/s",
        figures.at,
        figures.state,
        figures.events,
        history.rate(),
        history.rate_average(),
        history.rate_peak()
    );
    if let Some(goal) = history.goal() {
        line += &format!(" target={} remaining={}", goal.target, goal.remaining());
    }
    if let Some(total) = history.total() {
        let (avg, p50, p95, p99, max) =
            (total.avg_ms, total.p50_ms, total.p95_ms, total.p99_ms, total.max_ms);
        line += &format!(" avg={avg:.1}ms p50={p50:.1}ms p95={p95:.1}ms p99={p99:.1}ms max={max:.1}ms");
    }
    line += &format!(" dead_letters={} retries={}", figures.dead_letters, figures.retries);
    if let Some(slot) = &figures.slot {
        line += &format!(" slot_lag={}B {:.1}s {}", slot.bytes, slot.seconds, slot.wal_status);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{super::history::tests::figures, *};

    #[test]
    fn a_line_has_what_the_dashboard_has() {
        let mut history = History::new(Some(2000));
        assert_eq!(line(&history), "nothing heard yet: waiting");
        history.hear(Ok(figures(0, 500, 24)));
        history.hear(Ok(figures(1000, 1000, 24)));
        let said = line(&history);
        for part in [
            "streaming events=1000 rate=500/s average=100/s peak=456/s",
            "target=2000 remaining=1500",
            "p99=24.0ms",
            "dead_letters=10 retries=3",
            "slot_lag=12288B 0.3s reserved",
        ] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        history.hear(Err("refused".to_owned()));
        assert!(line(&history).ends_with("no news: refused"));
    }
}
