//! What rows become: all common types, nulls, unchanged values, every kind of change, whatever the table.

use serde_json::{Value, json};
use streamer_events::{
    Change,
    change::{Field, Op},
};

use crate::bed::{Place, begun, changes};

fn after<'a>(change: &'a Change, column: &str) -> &'a Field {
    change.after.as_ref().expect("has a row").field(column).expect("has the column")
}

fn value(change: &Change, column: &str) -> Value {
    match after(change, column) {
        Field::Value(value) => value.clone(),
        Field::Unchanged => panic!("{column} is unchanged"),
    }
}

/// A place that publishes everything, and a stream of it.
async fn place(tables: &str) -> Option<Place> {
    let mut place = Place::open().await?;
    place
        .sql(format!(
            "{tables} CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root);"
        ))
        .await;
    place.settings.publication = "everything".into();
    Some(place)
}

#[tokio::test]
async fn every_common_type_is_read_as_debezium_gives_it() {
    let columns = [
        ("bool", "true", json!(true)),
        ("int2", "-7", json!(-7)),
        ("int8", "9223372036854775807", json!(i64::MAX)),
        ("float4", "0.1", json!(0.1)),
        ("float8", "'-Infinity'", json!("-Infinity")),
        ("numeric(20,4)", "12345.6789", json!("12345.6789")),
        ("text", "E'é\\n''x'", json!("é\n'x")),
        ("varchar(9)", "'v'", json!("v")),
        ("uuid", "'0d6d8c1e-0000-4000-8000-000000000001'", json!("0d6d8c1e-0000-4000-8000-000000000001")),
        ("jsonb", r#"'{"b": [1, null]}'"#, json!(r#"{"b": [1, null]}"#)),
        ("json", r#"'{"b":1}'"#, json!(r#"{"b":1}"#)),
        ("bytea", "'\\x00ff10'", json!("AP8Q")),
        ("date", "'2026-11-21'", json!(20_778)),
        ("time", "'01:02:03.5'", json!(3_723_500_000_i64)),
        ("timetz", "'10:00:00+02'", json!("08:00:00Z")),
        ("timestamp", "'2026-11-21 09:41:43.007042'", json!(1_795_254_103_007_042_i64)),
        ("timestamp(3)", "'1970-01-01 00:00:01.5'", json!(1500)),
        ("timestamptz", "'2026-11-21 10:41:43.007042+01'", json!("2026-11-21T09:41:43.007042Z")),
        ("interval", "'1 day 02:00'", json!(93_600_000_000_i64)),
        ("bit(1)", "B'1'", json!(true)),
        ("inet", "'10.0.0.1/8'", json!("10.0.0.1/8")),
        ("int4range", "'[1,5)'", json!("[1,5)")),
        ("int[]", "'{1,NULL,3}'", json!([1, null, 3])),
        ("text[]", r#"'{"a b",NULL}'"#, json!(["a b", null])),
        ("mood", "'glad'", json!("glad")),
        ("mood[]", "'{glad,sad}'", json!(["glad", "sad"])),
        ("positive", "7", json!(7)),
    ];
    let definition =
        columns.iter().enumerate().map(|(n, (kind, ..))| format!(", c{n} {kind}")).collect::<String>();
    let types = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);";
    let Some(place) = place(&format!("{types} CREATE TABLE kinds (id int PRIMARY KEY{definition});")).await
    else {
        return;
    };
    let source = begun(place.source()).await;
    let values = columns.iter().map(|(_, value, _)| format!(", {value}")).collect::<String>();
    place.sql(format!("INSERT INTO kinds VALUES (1{values}); INSERT INTO kinds (id) VALUES (2);")).await;
    let changes = changes(&source, 2).await;
    for (n, (kind, _, expected)) in columns.iter().enumerate() {
        assert_eq!(value(&changes[0], &format!("c{n}")), *expected, "{kind}");
        assert_eq!(value(&changes[1], &format!("c{n}")), Value::Null, "{kind}");
    }
    // What the calendar says of long ago is PostgreSQL's own word.
    let long_ago =
        place.sql("SELECT (extract(epoch FROM timestamp '0044-03-15 12:00 BC') * 1000000)::bigint").await;
    place.sql("INSERT INTO kinds (id, c15) VALUES (3, '0044-03-15 12:00 BC')").await;
    let change = crate::bed::changes(&source, 1).await.remove(0);
    assert_eq!(value(&change, "c15").to_string(), long_ago);
}

#[tokio::test]
async fn updates_deletes_and_truncates_are_told_with_what_the_log_holds() {
    let tables = "CREATE TABLE plain (id int PRIMARY KEY, n int, large text); \
                  ALTER TABLE plain ALTER large SET STORAGE EXTERNAL; \
                  CREATE TABLE whole (LIKE plain INCLUDING ALL); ALTER TABLE whole REPLICA IDENTITY FULL;";
    let Some(place) = place(tables).await else { return };
    let source = begun(place.source()).await;
    for table in ["plain", "whole"] {
        place
            .sql(format!(
                "INSERT INTO {table} VALUES (1, 1, repeat('x', 100000)), (2, 2, NULL); UPDATE {table} SET n = 9; \
                 UPDATE {table} SET id = 3 WHERE id = 2; DELETE FROM {table} WHERE id = 3; TRUNCATE {table};"
            ))
            .await;
        let changes = changes(&source, 7).await;
        let ops: Vec<_> = changes.iter().map(|change| change.op.letter()).collect();
        assert_eq!(ops, ["c", "c", "u", "u", "u", "d", "t"]);
        // A large value that did not change is not in the log, and is not null.
        let large = after(&changes[2], "large");
        match table {
            "plain" => assert_eq!(*large, Field::Unchanged),
            _ => assert!(matches!(large, Field::Value(text) if text.as_str().map(str::len) == Some(100_000))),
        }
        assert_eq!(value(&changes[3], "large"), Value::Null);
        let moved = changes[4].before.as_ref().expect("the key changed");
        let deleted = changes[5].before.as_ref().expect("the key at least");
        assert_eq!(
            (moved.field("id"), deleted.field("id")),
            (Some(&Field::Value(json!(2))), Some(&Field::Value(json!(3))))
        );
        let known = if table == "plain" { None } else { Some(Field::Value(json!(9))) };
        assert_eq!(deleted.field("n").cloned(), known);
        assert_eq!((&*changes[6].origin.table, changes[6].op), (table, Op::Truncate));
    }
}

#[tokio::test]
async fn partitions_are_told_as_their_root_and_a_table_may_change_its_shape() {
    let tables = "CREATE TABLE parted (id int, n int) PARTITION BY RANGE (id); \
                  CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10); \
                  CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20);";
    let Some(place) = place(tables).await else { return };
    let source = begun(place.source()).await;
    place.sql("INSERT INTO parted VALUES (1, 1), (11, 2);").await;
    place.sql("ALTER TABLE parted ADD note text; INSERT INTO parted VALUES (2, 3, 'new');").await;
    place.sql("ALTER TABLE parted RENAME n TO number; ALTER TABLE parted DROP note; INSERT INTO parted VALUES (3, 4);").await;
    let changes = changes(&source, 4).await;
    assert!(changes.iter().all(|change| &*change.origin.table == "parted"));
    assert_eq!(value(&changes[1], "n"), json!(2));
    assert_eq!((value(&changes[2], "n"), value(&changes[2], "note")), (json!(3), json!("new")));
    let names: Vec<_> = changes[3].after.as_ref().expect("a row").iter().map(|(name, _)| name).collect();
    assert_eq!((names, value(&changes[3], "number")), (vec!["id", "number"], json!(4)));
}

#[tokio::test]
async fn the_origin_says_when_and_in_which_transaction() {
    let Some(place) = Place::open().await else { return };
    let source = begun(place.source()).await;
    let before = place.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").await;
    let sql = "BEGIN; INSERT INTO activity.event_outbox (aggregate_id, aggregate_type, event_type, payload) \
               SELECT gen_random_uuid(), 'T', 'E', '{}' FROM generate_series(1, 2); SELECT txid_current(); COMMIT";
    let xid = place.sql(sql).await;
    let changes = changes(&source, 2).await;
    for (ordinal, change) in (0..).zip(&changes) {
        assert_eq!(change.origin.tx_id.map(|id| id.to_string()), Some(xid.clone()));
        assert_eq!(change.position.offset.minor, ordinal);
        let committed = change.origin.committed_at.expect("is known").as_micros();
        let (decoded, delivered) =
            (change.passed.decoded_at.expect("known"), change.passed.delivered_at.expect("known"));
        assert!(before.parse::<i64>().expect("a number") <= committed && committed <= decoded.as_micros());
        assert!(decoded <= delivered);
    }
    assert_eq!(changes[0].position.offset.major, changes[1].position.offset.major);
}
