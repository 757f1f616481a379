//! Log lines.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use streamer_service::telemetry::{Format, Logs, subscriber};
use tracing::{debug, error, info, info_span, warn};

#[derive(Clone, Default)]
struct Sheet(Arc<Mutex<Vec<u8>>>);

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Format, filter: &str, tell: impl FnOnce()) -> String {
    let (sheet, logs) = (Sheet::default(), Logs { format, filter: filter.into() });
    let writer = sheet.clone();
    let subscriber = subscriber(&logs, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, tell);
    let bytes = sheet.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_has_the_fields_of_the_spans_around_it() {
    let text = written(Format::Json, "info", || {
        let request = info_span!(
            "request",
            correlation_id = "c-1",
            user_id = %"u-1",
            tenant_id = "t-1",
            operation = "send",
            attempt = 1,
            late = tracing::field::Empty,
        );
        request.in_scope(|| {
            let attempt = info_span!("attempt", attempt = 2);
            attempt.in_scope(|| info!(duration_ms = 12.5, bytes = 7_u64, "sent"));
            request.record("late", true);
            let cause = io::Error::other("disk full");
            error!(error = &cause as &dyn std::error::Error, "not sent");
        });
        info!(level = "forged", "outside");
        debug!("not logged");
    });
    let lines = json_lines(&text);
    assert_eq!(lines.len(), 3, "{text}");

    let timestamp = lines[0]["timestamp"].as_str().unwrap();
    assert_eq!((timestamp.len(), timestamp.ends_with('Z')), ("2026-01-31T12:00:00.000Z".len(), true));
    let mut sent = lines[0].clone();
    sent.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(
        sent,
        json!({
            "level": "INFO", "correlation_id": "c-1", "user_id": "u-1", "tenant_id": "t-1", "operation": "send",
            "duration_ms": 12.5, "message": "sent", "target": "main::logs", "attempt": 2, "bytes": 7,
        })
    );
    let order = ["timestamp", "level", "correlation_id", "user_id", "tenant_id", "operation", "duration_ms"];
    let first = text.lines().next().unwrap();
    assert!(order.map(|name| first.find(&format!("\"{name}\":")).unwrap()).is_sorted(), "{first}");

    assert_eq!(lines[1]["level"], "ERROR");
    assert_eq!(lines[1]["error"], "disk full");
    assert_eq!((&lines[1]["attempt"], &lines[1]["late"]), (&json!(1), &json!(true)));
    assert_eq!((&lines[2]["level"], &lines[2]["field_level"]), (&json!("INFO"), &json!("forged")));
    assert!(lines[2].get("correlation_id").is_none());
}

const FORGED: &str = "in\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{9b}\u{7f}\u{85}\u{2028}\u{202e}é";

#[test]
fn nobody_forges_a_line() {
    for format in [Format::Json, Format::Text] {
        let text = written(format, "info", || warn!(user_agent = FORGED, "came {FORGED}"));
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let body = text.trim_end_matches('\n');
        assert!(!body.chars().any(|c| c.is_control() || "\u{2028}\u{202e}".contains(c)), "{text:?}");
        assert!(text.contains('é'), "{text:?}");
    }
    let text = written(Format::Json, "info", || warn!(user_agent = FORGED, "came"));
    assert_eq!(json_lines(&text)[0]["user_agent"], FORGED);
}

#[test]
fn text_is_for_people() {
    let text = written(Format::Text, "warn,main=debug", || {
        let _request = info_span!("request", operation = "send", count = 3).entered();
        debug!(note = "two words", quote = "a=\"b\"", "sent");
    });
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(
        rest,
        "DEBUG main::logs: sent operation=send count=3 note=\"two words\" quote=\"a=\\\"b\\\"\"\n"
    );
}

#[test]
fn a_value_has_a_bound() {
    let text = written(Format::Json, "info", || info!(long = "é".repeat(1 << 20), "long"));
    assert!(text.len() < 20_000 && text.contains("é...\""), "{} bytes", text.len());
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let logs = Logs { filter: "main=loud".into(), ..Logs::default() };
    assert!(subscriber(&logs, io::sink, false).is_err());
}

#[test]
fn no_filter_has_the_libraries_tell_what_passes_through_them() {
    let text = written(Format::Json, "trace,tungstenite::protocol=trace", || {
        tracing::trace!(target: "tungstenite::protocol", "payload");
        tracing::debug!(target: "hyper::proto::h1", "header");
        tracing::info!(target: "tungstenite::protocol", "shown");
        tracing::trace!(target: "streamer_engine", "shown too");
    });
    let messages: Vec<_> = json_lines(&text).iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["shown", "shown too"]);
}
