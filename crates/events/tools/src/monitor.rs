//! A pipeline, watched live: a dashboard in the terminal, or lines for a log.
//!
//! What is watched comes as [`Figures`], from the pipeline itself in this process or from wherever another process shows
//! its own; everything else follows from how they change.

mod history;
mod plain;
mod screen;

use std::{io, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use streamer_events::Figures;
use tokio::time::{MissedTickBehavior, interval};

pub use history::{Goal, History};
pub use plain::line;
pub use screen::draw;

/// What is watched, and how often.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called.
    pub name: String,
    /// How often figures are asked for.
    pub interval: Duration,
    /// So many events are expected from the first figures on; without it there is no bar.
    pub target: Option<u64>,
}

/// How soon a key is noticed.
const KEYS: Duration = Duration::from_millis(50);

/// Shows the dashboard until `stop`, or until somebody presses q, Esc or Ctrl-C. The terminal is as it was before when
/// this returns, after a panic too. `feed` says what is measured now, or why that is not known.
pub async fn watch<F, Asking>(
    settings: &Settings,
    feed: F,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<History>
where
    F: Fn() -> Asking,
    Asking: Future<Output = Result<Figures, String>>,
{
    let mut terminal = ratatui::try_init()?;
    let mut history = History::new(settings.target);
    let shown = async {
        let mut asks = ticks(settings.interval);
        let mut keys = ticks(KEYS);
        loop {
            tokio::select! {
                _ = asks.tick() => {
                    history.hear(feed().await);
                    terminal.draw(|frame| draw(frame, &settings.name, &history))?;
                }
                _ = keys.tick() => {
                    while event::poll(Duration::ZERO)? {
                        match event::read()? {
                            Event::Key(key) if is_goodbye(&key) => return Ok(()),
                            Event::Resize(..) => {
                                terminal.draw(|frame| draw(frame, &settings.name, &history))?;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    };
    let done = tokio::select! {
        done = shown => done,
        () = stop => Ok(()),
    };
    ratatui::try_restore()?;
    done.map(|()| history)
}

/// Hands a line to `print` for each of the figures that are new, until `stop`, or until the target is reached. A line
/// that cannot be printed ends it.
pub async fn log<F, Asking>(
    settings: &Settings,
    feed: F,
    mut print: impl FnMut(String) -> io::Result<()>,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<History>
where
    F: Fn() -> Asking,
    Asking: Future<Output = Result<Figures, String>>,
{
    let mut history = History::new(settings.target);
    let logged = async {
        let mut asks = ticks(settings.interval);
        loop {
            asks.tick().await;
            if history.hear(feed().await) {
                print(line(&history))?;
            }
            if history.goal().is_some_and(|goal| goal.remaining() == 0) {
                return Ok(());
            }
        }
    };
    let done = tokio::select! {
        done = logged => done,
        () = stop => Ok(()),
    };
    done.map(|()| history)
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn is_goodbye(key: &KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c') => is_control,
            _ => false,
        }
}
