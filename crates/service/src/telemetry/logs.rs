//! Log lines: the fields of an event and of every span around it, as JSON or as text.

use std::io::{self, IsTerminal as _, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::SetGlobalDefaultError,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

use super::{fields::Fields, json, text};
use crate::config::Mistakes;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Logs {
    /// How a line looks.
    pub format: Format,
    /// What is logged: a level (error, warn, info, debug, trace), or levels for single parts, such as
    /// "info,streamer_engine=debug".
    pub filter: String,
}

impl Default for Logs {
    fn default() -> Self {
        Self { format: Format::Auto, filter: "info".to_owned() }
    }
}

impl Logs {
    /// Notes what is wrong with these settings; `section` is their name, such as `logs`.
    pub fn check(&self, section: &str, mistakes: &mut Mistakes) {
        if let Err(LogError::Filter { reason, .. }) = self.filter() {
            let problem = format!("is not a filter: {reason}; one looks like info,streamer_engine=debug");
            mistakes.push(format!("{section}.filter"), problem);
        }
    }

    fn filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::try_new(&self.filter)
            .map_err(|e| LogError::Filter { filter: self.filter.clone(), reason: e.to_string() })
    }
}

/// Libraries that tell below `info` what passes through them, whole messages and headers: payloads and tokens. No
/// filter has them do so.
const TALKATIVE: [&str; 5] = ["tungstenite", "tokio_tungstenite", "hyper", "hyper_util", "rustls"];

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !TALKATIVE.contains(&library)
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text.
    Text,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("{filter:?} is not a log filter: {reason}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else logs in this process already.
    #[error("logging was installed before")]
    Installed(#[from] TryInitError),
    /// The same, of the subscriber alone.
    #[error("logging was installed before")]
    Subscriber(#[from] SetGlobalDefaultError),
}

/// Logs to standard error for the rest of the process's life, what `log` users say included.
pub fn install(logs: &Logs) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    Ok(subscriber(logs, io::stderr, terminal)?.try_init()?)
}

/// Logs to a writer; `terminal` says whether people read it as it comes, in colours.
pub fn subscriber<W>(
    logs: &Logs,
    writer: W,
    terminal: bool,
) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let look = match (logs.format, terminal) {
        (Format::Json, _) | (Format::Auto, false) => Look::Json,
        (Format::Text, colours) | (Format::Auto, colours @ true) => Look::Text { colours },
    };
    Ok(Registry::default().with(logs.filter()?).with(filter_fn(is_discreet)).with(Lines { look, writer }))
}

#[derive(Debug, Clone, Copy)]
enum Look {
    Json,
    Text { colours: bool },
}

/// The fields that come first, in this order, where they are set.
const STANDARD: [&str; 6] = ["correlation_id", "user_id", "tenant_id", "operation", "duration_ms", "error"];

/// What a line says.
pub(super) struct Line<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub(super) timestamp: String,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) message: String,
    pub(super) standard: Vec<(&'static str, Value)>,
    pub(super) rest: Fields,
}

impl<'a> Line<'a> {
    fn new(event: &'a Event<'_>, mut fields: Fields, from_log: &'a Option<Value>) -> Self {
        let message = match fields.take("message") {
            Some(Value::String(text)) => text,
            other => other.map(|value| value.to_string()).unwrap_or_default(),
        };
        let standard = STANDARD.iter().filter_map(|name| Some((*name, fields.take(name)?))).collect();
        let target = from_log.as_ref().and_then(Value::as_str);
        #[expect(clippy::disallowed_methods, reason = "a log line is about real time")]
        let now = jiff::Timestamp::now();
        Self {
            timestamp: format!("{now:.3}"),
            level: *event.metadata().level(),
            target: target.unwrap_or(event.metadata().target()),
            message,
            standard,
            rest: fields,
        }
    }
}

/// The layer that writes.
struct Lines<W> {
    look: Look,
    writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span);
            }
        }
        // A span's own `message` is not this line's.
        fields.take("message");
        let mut own = Fields::default();
        event.record(&mut own);
        fields.extend(&own);
        // What came through the `log` crate carries where it comes from as fields.
        let from_log = fields.take("log.target");
        fields.retain(|name| !name.starts_with("log."));

        let line = Line::new(event, fields, &from_log);
        let mut bytes = Vec::with_capacity(256);
        let written = match self.look {
            Look::Json => json::write(&line, &mut bytes).map_err(io::Error::from),
            Look::Text { colours } => text::write(&line, colours, &mut bytes),
        };
        if written.is_ok() {
            // One call, so that lines of two threads never mix. There is nowhere to tell of a failure.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(&bytes);
        }
    }
}
