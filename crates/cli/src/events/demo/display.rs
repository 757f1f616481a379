//! What is seen while events arrive.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use streamer_events::Pipeline;
use streamer_events_tools::monitor::{Settings, log, watch};
use tokio_util::sync::CancellationToken;

/// What is seen while events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Display {
    /// The dashboard.
    Screen,
    /// A line now and then.
    Lines,
}

/// How it is left.
pub(super) struct Until<'a> {
    /// Everything has arrived.
    pub(super) arrived: &'a CancellationToken,
    /// Nothing more will.
    pub(super) over: &'a CancellationToken,
}

impl Display {
    /// What is worth a line in the log beside it: on a screen, nothing that the dashboard has too.
    pub(super) const fn log_level(self) -> &'static str {
        match self {
            Self::Screen => "error",
            Self::Lines => "warn",
        }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Screen => Duration::from_millis(250),
            Self::Lines => Duration::from_secs(2),
        }
    }

    /// Shows what the pipeline does. Whether somebody left before everything had arrived.
    pub(super) async fn show(
        self,
        name: String,
        target: u64,
        pipeline: &Pipeline,
        until: Until<'_>,
    ) -> io::Result<bool> {
        let settings = Settings { name, interval: self.interval(), target: Some(target) };
        let feed = || async { Ok(pipeline.figures()) };
        let seen = async {
            until.arrived.cancelled().await;
            // For as long as it takes to say so, and to see it.
            tokio::time::sleep(4 * self.interval()).await;
        };
        let ended = async {
            tokio::select! {
                () = seen => {}
                () = until.over.cancelled() => {}
            }
        };
        match self {
            Self::Screen => {
                watch(&settings, feed, ended).await?;
                Ok(!until.arrived.is_cancelled() && !until.over.is_cancelled())
            }
            // It ends by itself at its target, with a line that says so.
            Self::Lines => {
                let print = |line| writeln!(io::stdout(), "{line}");
                log(&settings, feed, print, ended).await?;
                Ok(false)
            }
        }
    }
}
