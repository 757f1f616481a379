//! The demonstration handlers, over the wire.

use std::fs;

use serde_json::{Value, json};
use streamer_e2e::{http, peer::Peer, promises::Heard, scenario::Place as _, server::Server};

use crate::server;

/// Follows a request from its acknowledgment to its end.
async fn done(peer: &mut Peer, id: &str, action: &str, payload: Value) -> Heard {
    let mut heard = Heard::nothing_of(id);
    peer.send(id, action, payload).await;
    while heard.end.is_none() {
        heard.take(&peer.frame().await);
    }
    heard
}

/// The file of a result, as its owner gets it; nobody else does.
async fn downloaded(server: &Server, result: &Value) -> http::Answer {
    let url = result["url"].as_str().expect("a file has an address");
    let path = url.strip_prefix(&server.http_url().expect("HTTP")).unwrap_or(url);
    for (user, tenant) in [("eve", "acme"), ("ada", "other")] {
        let refused = server.get(path, user, tenant).await;
        assert_eq!((refused.status, &refused.json()["code"]), (404, &json!("NOT_FOUND")), "{user}");
    }
    assert_eq!(http::get(server.listen(), path, None).await.status, 401);
    let file = server.get(path, "ada", "acme").await;
    assert_eq!(file.status, 200, "{}", file.text());
    assert_eq!(result["size"], json!(file.body.len()), "{result}");
    assert!(file.head.contains("content-disposition: attachment"), "{}", file.head);
    file
}

#[tokio::test]
async fn a_report_comes_in_every_format_for_its_owner_only() {
    let server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    for (format, media_type, beginning) in [
        ("csv", "text/csv", "group,name,orders,units,revenue,average_order"),
        ("html", "text/html", "<!DOCTYPE html>"),
        ("pdf", "application/pdf", "%PDF-"),
    ] {
        let period = json!({
            "start_date": "2024-01-01", "end_date": "2024-12-31", "format": format, "include_charts": true,
        });
        let report = done(&mut peer, format, "generate_report", period).await;
        assert!(report.acknowledged, "{format}");
        assert_eq!(report.percentages.last(), Some(&100.0), "{format}: {:?}", report.percentages);
        let file = downloaded(&server, report.result()).await;
        assert!(file.head.contains(&format!("content-type: {media_type}")), "{}", file.head);
        let start = file.body.get(..beginning.len()).map(<[u8]>::to_ascii_lowercase);
        assert_eq!(start, Some(beginning.to_ascii_lowercase().into_bytes()), "{format}");
        assert!(report.result()["pages"].as_u64().is_some_and(|pages| pages >= 1), "{format}");
    }
}

const PIPELINES: [&str; 5] = ["classification", "regression", "clustering", "anomaly", "transformation"];

#[tokio::test]
async fn every_pipeline_writes_every_output() {
    let server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    for pipeline in PIPELINES {
        for output in ["json", "csv", "parquet"] {
            let id = format!("{pipeline}-{output}");
            let payload = json!({
                "pipeline": pipeline,
                "data_source": { "type": "file", "path": "measurements.csv" },
                "output": output,
            });
            let heard = done(&mut peer, &id, "process_data", payload).await;
            assert_eq!(heard.percentages.last(), Some(&100.0), "{id}: {:?}", heard.percentages);
            let result = heard.result();
            assert_eq!((&result["pipeline"], &result["rows"]), (&json!(pipeline), &json!(1200)), "{id}");
            assert!(result["metrics"].is_object(), "{id}: {result}");
            let file = downloaded(&server, result).await;
            match output {
                "json" => {
                    let found = file.json();
                    assert_eq!(found["pipeline"], pipeline);
                    assert!(found["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{id}");
                }
                "csv" => {
                    let text = file.text();
                    let columns = text.lines().next().expect("a head").split(',').count();
                    assert!(columns > 1 && text.lines().count() > 1, "{id}: {text:.200}");
                }
                // The format's magic number, at both ends.
                _ => assert!(file.body.starts_with(b"PAR1") && file.body.ends_with(b"PAR1"), "{id}"),
            }
        }
    }
}

#[tokio::test]
async fn data_comes_from_a_file_a_query_or_the_request_itself() {
    let server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    let rows: Vec<Value> = (0..40).map(|n| json!({ "x": n % 2 * 100 + n % 5, "y": n % 2 * 50 })).collect();
    for (id, source, rows) in [
        ("file", json!({ "type": "file", "path": "measurements.csv" }), 1200..=1200),
        ("query", json!({ "type": "query", "name": "warm_machines" }), 100..=1199),
        ("stream", json!({ "type": "stream", "rows": rows }), 40..=40),
    ] {
        let payload = json!({ "pipeline": "clustering", "k": 2, "data_source": source });
        let heard = done(&mut peer, id, "process_data", payload).await;
        let read = heard.result()["rows"].as_u64().expect("a number");
        assert!(rows.contains(&read), "{id}: {read} rows");
        let found = downloaded(&server, heard.result()).await.json();
        assert_eq!(found["rows"].as_array().map(|rows| rows.len() as u64), Some(read), "{id}");
    }
    let unknown = json!({ "pipeline": "anomaly", "data_source": { "type": "query", "name": "DROP TABLE" } });
    let end = done(&mut peer, "unknown", "process_data", unknown).await.end.expect("an end");
    assert_eq!(end["error"]["code"], "VALIDATION_ERROR", "{end}");
    assert_eq!(end["error"]["details"]["fields"][0]["path"], "payload.data_source.name", "{end}");
}

#[tokio::test]
async fn each_operation_of_a_bulk_has_its_own_outcome() {
    let server = server().start().await;
    let orders = fs::read_to_string(server.folder().join("data/orders.csv")).expect("the example data");
    let mut peer = server.peer("ada", "acme").await;
    let operations = json!([
        { "op": "count" },
        { "op": "sum", "column": "quantity" },
        { "op": "sum", "column": "no_such_column" },
        { "op": "top", "by": "region", "column": "amount", "limit": 2 },
        { "op": "validate_email", "value": "no address" },
        { "op": "explode" },
        7,
    ]);
    let heard = done(&mut peer, "bulk", "bulk_operation", json!({ "operations": operations })).await;
    let result = heard.result();
    let tally = (&result["total"], &result["succeeded"], &result["failed"]);
    assert_eq!(tally, (&json!(7), &json!(4), &json!(3)), "{result}");
    let outcome = |index: usize| &result["outcomes"][index];
    assert_eq!(outcome(0)["result"], json!(orders.lines().count() - 1));
    assert!(outcome(1)["result"].as_f64().is_some_and(|sum| sum > 0.0));
    assert_eq!(outcome(3)["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(outcome(4)["result"], json!({ "valid": false }));
    for failed in [2, 5, 6] {
        assert_eq!(outcome(failed)["success"], false);
        assert_eq!(outcome(failed)["error"]["code"], "VALIDATION_ERROR", "{}", outcome(failed));
    }
    let empty = done(&mut peer, "empty", "bulk_operation", json!({ "operations": [] })).await;
    assert_eq!(empty.end.expect("an end")["error"]["code"], "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_delay_hands_out_its_chunks_and_an_echo_comes_back_later() {
    let server = server().start().await;
    let mut peer = server.peer("ada", "acme").await;
    let delay = done(&mut peer, "delay", "delay", json!({ "seconds": 0.5, "chunks": 5 })).await;
    assert!(delay.acknowledged, "chunks need a log");
    assert!(delay.chunks.iter().map(|chunk| &chunk["chunk"]).eq(&[0, 1, 2, 3, 4].map(|n| json!(n))));
    assert!(delay.result()["waited_seconds"].as_f64().is_some_and(|waited| waited >= 0.5));

    let short = done(&mut peer, "short", "delay", json!({ "seconds": 0.1 })).await;
    assert!(!short.acknowledged, "it is answered at once");
    assert_eq!(short.end.as_ref().expect("an end")["type"], "response");

    let echo = done(&mut peer, "echo", "echo_async", json!({ "text": "é 😀" })).await;
    assert!(echo.acknowledged);
    assert_eq!(echo.result()["echo"], json!({ "text": "é 😀" }));
}
