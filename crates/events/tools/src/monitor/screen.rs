//! The dashboard.

use indicatif::HumanCount;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, LineGauge, Paragraph, Sparkline},
};
use streamer_events::{
    Figures,
    latency::{Spread, Stage},
};

use super::History;

/// Curves are at most so high: there is more to read than them.
const CURVE_ROWS_MAX: u16 = 12;

const LABEL: Style = Style::new().fg(Color::DarkGray);
const VALUE: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws what is known. 80 × 24 has room for all of it; what a smaller terminal has no room for is left out.
pub fn draw(frame: &mut Frame<'_>, name: &str, history: &History) {
    let title = Line::from(vec![Span::raw(" streamer events "), Span::styled(format!("{name} "), LABEL)]);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .title(title)
        .title_bottom(Line::from(" q to leave ").right_aligned());
    let inside = block.inner(frame.area());
    frame.render_widget(block, frame.area());
    let Some(figures) = history.latest() else {
        let waiting = history.problem().unwrap_or("waiting for the first figures");
        frame.render_widget(Paragraph::new(waiting).style(Color::Yellow), inside);
        return;
    };
    let goal_rows = if history.goal().is_some() { 2 } else { 0 };
    let types = u16::try_from(figures.latency.by_type.len()).unwrap_or(u16::MAX);
    let table_rows = types.clamp(5, 12) + 1;
    // What is left over is the curve's, and then nobody's.
    let fixed = 1 + goal_rows + 2 + 2 + table_rows + 1 + 6;
    let curve_rows = inside.height.saturating_sub(fixed).clamp(1, CURVE_ROWS_MAX);
    let [status, goal, rates_title, rates, latency_title, latency, curve, tables, health, last_title, last] =
        Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(goal_rows),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(curve_rows),
            Constraint::Length(table_rows),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
        ])
        .areas(inside);
    frame.render_widget(status_line(figures, history), status);
    draw_goal(frame, goal, history);
    rule(frame, rates_title, "Throughput");
    frame.render_widget(rates_line(history), rates);
    rule(frame, latency_title, "Latency from the commit to the read model, in ms");
    frame.render_widget(latency_line(history.total()), latency);
    draw_curve(frame, curve, history);
    let [stages, breakdown] =
        Layout::horizontal([Constraint::Percentage(58), Constraint::Percentage(42)]).spacing(2).areas(tables);
    draw_stages(frame, stages, figures);
    draw_breakdown(frame, breakdown, figures);
    frame.render_widget(health_line(figures), health);
    rule(frame, last_title, "Last events");
    draw_last(frame, last, figures);
}

fn rule(frame: &mut Frame<'_>, area: Rect, title: &str) {
    let dashes = usize::from(area.width).saturating_sub(title.chars().count() + 4);
    let line = Line::from(vec![
        Span::styled("── ", LABEL),
        Span::styled(title.to_owned(), Style::new().fg(Color::Cyan)),
        Span::styled(format!(" {}", "─".repeat(dashes)), LABEL),
    ]);
    frame.render_widget(line, area);
}

/// `Name value` after `Name value`.
fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Line<'a> {
    let spans = pairs.into_iter().flat_map(|(name, value)| {
        [Span::styled(format!("{name} "), LABEL), Span::styled(value, VALUE), Span::raw("   ")]
    });
    Line::from(spans.collect::<Vec<_>>())
}

fn status_line<'a>(figures: &'a Figures, history: &'a History) -> Line<'a> {
    let (colour, state) = match (history.problem(), figures.state.as_str()) {
        (Some(_), _) => (Color::Yellow, "NO NEWS".to_owned()),
        (None, "streaming") => (Color::Green, "RUNNING".to_owned()),
        (None, "failed") => (Color::Red, "FAILED".to_owned()),
        (None, state) => (Color::Yellow, state.to_uppercase()),
    };
    let seconds = figures.at.micros_since(figures.since).max(0) / 1_000_000;
    let uptime = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut spans = vec![Span::styled(format!("● {state}   "), Style::new().fg(colour).bold())];
    spans.extend(
        pairs([("Uptime", uptime), ("Events", grouped(figures.events)), ("As of", clock(figures.at))]).spans,
    );
    spans.extend(history.problem().map(|problem| Span::styled(problem, Color::Yellow)));
    Line::from(spans)
}

fn draw_goal(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let Some(goal) = history.goal() else { return };
    let [counts, bar] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let said = [
        ("Target", grouped(goal.target)),
        ("Processed", grouped(goal.processed)),
        ("Remaining", grouped(goal.remaining())),
    ];
    frame.render_widget(pairs(said), counts);
    let gauge = LineGauge::default()
        .ratio(goal.share())
        .label(format!("{:5.1} %", 100.0 * goal.share()))
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(Color::Green)
        .unfilled_style(LABEL);
    frame.render_widget(gauge, bar);
}

fn rates_line(history: &History) -> Line<'static> {
    pairs([
        ("Current", format!("{:.0}/s", history.rate())),
        ("Average", format!("{:.0}/s", history.rate_average())),
        ("Peak", format!("{}/s", grouped(history.rate_peak()))),
        ("Error rate", format!("{:.2} %", 100.0 * history.error_rate())),
    ])
}

fn latency_line(total: Option<&Spread>) -> Line<'static> {
    let Some(total) = total else { return Line::styled("no event yet", LABEL) };
    pairs([
        ("Avg", short(total.avg_ms)),
        ("Min", short(total.min_ms)),
        ("Max", short(total.max_ms)),
        ("P50", short(total.p50_ms)),
        ("P95", short(total.p95_ms)),
        ("P99", short(total.p99_ms)),
    ])
}

/// The averages of the last intervals, the newest at the right.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, history: &History) {
    let room = usize::from(area.width);
    let mut micros: Vec<u64> =
        history.latencies().rev().take(room).map(|ms| ((ms * 1000.0) as u64).max(1)).collect();
    micros.reverse();
    let right = Rect { x: area.x + area.width.saturating_sub(micros.len() as u16), ..area };
    let right = Rect { width: area.width.min(micros.len() as u16), ..right };
    frame.render_widget(Sparkline::default().data(micros).style(Color::Green), right);
}

/// A column for each of these, beside the name.
fn header(name: &str, width: usize, columns: &[&str]) -> Line<'static> {
    let columns: String = columns.iter().map(|column| format!("{column:>9}")).collect();
    Line::styled(format!("{name:<width$}{columns}"), Style::new().fg(Color::Cyan))
}

fn draw_stages(frame: &mut Frame<'_>, area: Rect, figures: &Figures) {
    let stages = [
        (Stage::Capture, "capture"),
        (Stage::Delivery, "delivery"),
        (Stage::Lag, "lag"),
        (Stage::Processing, "processing"),
        (Stage::Total, "total"),
    ];
    let mut lines = vec![header("Stage, ms", 11, &["avg", "P95", "P99"])];
    lines.extend(stages.into_iter().filter_map(|(stage, name)| {
        let spread = figures.latency.stages.get(stage.as_str())?;
        let [avg, p95, p99] =
            [spread.avg_ms, spread.p95_ms, spread.p99_ms].map(|value| format!("{value:>9.2}"));
        Some(Line::from(format!("{name:<11}{avg}{p95}{p99}")))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The types with the most events first, as far as there is room.
fn draw_breakdown(frame: &mut Frame<'_>, area: Rect, figures: &Figures) {
    let mut types: Vec<(&str, u64)> =
        figures.latency.by_type.iter().map(|(name, of_type)| (name.as_str(), of_type.count)).collect();
    types.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let width = usize::from(area.width).saturating_sub(9);
    let mut lines = vec![header("Event type", width, &["events"])];
    lines.extend(types.into_iter().map(|(name, count)| {
        let name: String = name.chars().take(width).collect();
        Line::from(format!("{name:<width$}{:>9}", grouped(count)))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

fn health_line(figures: &Figures) -> Line<'static> {
    let letters = if figures.dead_letters == 0 { VALUE } else { VALUE.fg(Color::Red) };
    let mut spans = vec![
        Span::styled("Dead letters ", LABEL),
        Span::styled(grouped(figures.dead_letters), letters),
        Span::styled("   Retries ", LABEL),
        Span::styled(grouped(figures.retries), VALUE),
        Span::styled("   Slot lag ", LABEL),
    ];
    match &figures.slot {
        None => spans.push(Span::styled("not known", LABEL)),
        Some(slot) => {
            let is_well = matches!(slot.wal_status.as_str(), "reserved" | "extended");
            let style = if is_well { VALUE } else { VALUE.fg(Color::Red) };
            let lag = format!("{}, {:.1} s", bytes(slot.bytes), slot.seconds);
            spans.push(Span::styled(lag, style));
            spans.push(Span::styled(format!("   keeps {}", bytes(slot.retained_bytes)), LABEL));
            if slot.wal_status != "reserved" {
                spans.push(Span::styled(format!(" ({})", slot.wal_status), style));
            }
        }
    }
    Line::from(spans)
}

fn draw_last(frame: &mut Frame<'_>, area: Rect, figures: &Figures) {
    let lines = figures.recent.iter().map(|event| {
        let took = ms(event.total_micros as f64 / 1000.0);
        Line::from(vec![
            Span::raw(format!("{:<20} ", event.event_type)),
            Span::styled(format!("{:<36} ", event.aggregate_id), LABEL),
            Span::styled(format!("{took:>10} "), VALUE),
            Span::styled(clock(event.done_at), LABEL),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

/// The time of day, in UTC.
fn clock(moment: streamer_events::Moment) -> String {
    // 2026-01-02T03:04:05.678Z
    moment.to_string().split(['T', '.', 'Z']).nth(1).unwrap_or_default().to_owned()
}

/// Milliseconds, with as many digits as tell something.
fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn ms(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
        _ => format!("{} ms", short(value)),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{super::history::tests::figures, *};

    fn drawn(width: u16, height: u16, history: &History) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("opens");
        terminal.draw(|frame| draw(frame, "http://127.0.0.1:8082", history)).expect("draws");
        terminal.backend().to_string()
    }

    fn history() -> History {
        let mut history = History::new(Some(1000));
        history.hear(Ok(figures(0, 153, 24)));
        for n in 1..=20_u64 {
            history.hear(Ok(figures(i64::try_from(n).expect("fits") * 500, 153 + 40 * n, 24)));
        }
        history
    }

    const PARTS: [&str; 25] = [
        "● RUNNING",
        "Uptime 00:00:10",
        "Events 953",
        "Target 1,000",
        "Processed 800",
        "Remaining 200",
        "80.0 %",
        "█",
        "Current 80/s",
        "Average 95/s",
        "Peak 456/s",
        "Error rate 0.94 %",
        "Avg 24.0 ",
        "P50 24.0 ",
        "P99 24.0",
        "capture",
        "processing",
        "ActivityCreated",
        "ParticipantJoined",
        "Dead letters 9",
        "Retries 3",
        "12.0 KiB, 0.3 s",
        "keeps 3.0 MiB",
        "00000004-0000-4000-8000-000000000000",
        "q to leave",
    ];

    #[test]
    fn everything_is_on_a_small_screen_and_on_a_large_one() {
        for (width, height) in [(80, 24), (200, 60)] {
            let screen = drawn(width, height, &history());
            for part in PARTS {
                assert!(screen.contains(part), "{part} is missing at {width}×{height}:\n{screen}");
            }
            // Five events, each with how long it took; and the curve.
            assert_eq!(screen.matches("24.0 ms 09:41:53").count(), 5, "{screen}");
            assert!(screen.contains("████"), "{screen}");
        }
    }

    #[test]
    fn without_a_target_there_is_no_bar() {
        let mut history = History::new(None);
        history.hear(Ok(figures(0, 10, 24)));
        let screen = drawn(80, 24, &history);
        assert!(
            !screen.contains("Target") && !screen.contains('░') && screen.contains("RUNNING"),
            "{screen}"
        );
    }

    #[test]
    fn silence_says_why_and_what_was_known_stays() {
        let mut history = History::new(None);
        history.hear(Err("connection refused".to_owned()));
        assert!(drawn(80, 24, &history).contains("connection refused"));
        history.hear(Ok(figures(0, 953, 24)));
        history.hear(Err("connection refused".to_owned()));
        let screen = drawn(120, 24, &history);
        assert!(screen.contains("NO NEWS") && screen.contains("connection refused"), "{screen}");
        assert!(screen.contains("Events 953"), "{screen}");
    }

    #[test]
    fn no_terminal_is_too_small() {
        let history = history();
        for (width, height) in [(1, 1), (2, 3), (10, 5), (40, 10), (79, 23), (500, 4)] {
            drawn(width, height, &history);
        }
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.04, 99.94, 156.2, 12_345.0].map(ms), ["0.0 ms", "99.9 ms", "156 ms", "12.3 s"]);
        assert_eq!([12, 2048, 3 << 20, 5 << 30].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB", "5.0 GiB"]);
    }
}
