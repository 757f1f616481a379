//! Setup makes what is missing, and says what is wrong.

use streamer_events::source::{ErrorKind, Source as _};
use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings as ClusterSettings},
};
use streamer_source_postgres::setup;

use crate::bed::{Place, changes, event_id, id, row, shared, source, within};

#[tokio::test]
async fn it_makes_everything_once_and_then_nothing() {
    let Some(cluster) = shared() else { return };
    let place = Place::bare(cluster);
    let made = setup(&place.settings).await.expect("makes it");
    assert_eq!(made.len(), 5, "{made:?}");
    assert_eq!(setup(&place.settings).await.expect("is safe to repeat"), Vec::<String>::new());
    let publishes = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication";
    assert_eq!(place.sql(publishes).await, "t|f|f|f|t");
    // Events that came between setup and the first start are there, once or said to be known.
    place.insert(&[row(1)]).await;
    let source = place.source();
    assert!(within(source.open()).await.expect("opens").has_rows_before);
    source.start(Some(1)).await.expect("starts");
    let changes = changes(&source, 2).await;
    assert_eq!([event_id(&changes[0]), event_id(&changes[1])], [id(1), id(1)]);
    assert!(changes.iter().all(|change| change.may_be_known));
    place.insert(&[row(2)]).await;
    let next = crate::bed::changes(&source, 1).await.remove(0);
    assert!(!next.may_be_known);
    source.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_with_what_mends_it() {
    let Some(cluster) = shared() else { return };
    let place = Place::bare(cluster);
    let refused = |place: &Place| {
        let source = place.source();
        async move {
            let error = within(source.open()).await.expect_err("is not ready");
            assert_eq!(error.kind(), ErrorKind::NotReady);
            error.to_string()
        }
    };
    let nothing = refused(&place).await;
    assert!(
        nothing.contains("no table activity.event_outbox") && nothing.contains("streamer events setup"),
        "{nothing}"
    );
    place.make_outbox().await;
    place.sql("ALTER PUBLICATION debezium_publication SET (publish = 'update')").await;
    let publication = refused(&place).await;
    assert!(
        publication.contains("ALTER PUBLICATION \"debezium_publication\" SET (publish = 'insert');"),
        "{publication}"
    );
    place.sql("DROP PUBLICATION debezium_publication; CREATE PUBLICATION debezium_publication").await;
    let uncovered = refused(&place).await;
    assert!(uncovered.contains("ADD TABLE \"activity\".\"event_outbox\""), "{uncovered}");
    place.sql("ALTER PUBLICATION debezium_publication ADD TABLE activity.event_outbox").await;
    place.sql("ALTER TABLE activity.event_outbox RENAME payload TO body").await;
    let column = refused(&place).await;
    assert!(column.contains("has no column payload"), "{column}");
}

#[tokio::test]
async fn who_may_not_enter_or_not_replicate_is_told() {
    let Some(cluster) = shared() else { return };
    let place = Place::bare(cluster);
    let database = &place.settings.server.database;
    place.sql(format!("CREATE ROLE weak_{database} LOGIN PASSWORD 'weak'")).await;
    let as_role = |user: &str, password: Option<&str>| {
        let mut settings = place.settings.clone();
        settings.server.user = user.to_owned();
        settings.server.password = password.map(ToOwned::to_owned);
        async move { within(source(settings).open()).await.expect_err("is not let in").to_string() }
    };
    let weak = as_role(&format!("weak_{database}"), Some("weak")).await;
    assert!(weak.contains(&format!("ALTER ROLE \"weak_{database}\" WITH REPLICATION;")), "{weak}");
    let wrong = as_role(&format!("weak_{database}"), Some("wrong")).await;
    assert!(wrong.contains("password authentication failed") && !wrong.contains("wrong "), "{wrong}");
    let none = as_role(&format!("weak_{database}"), None).await;
    assert!(none.contains("wants a password"), "{none}");
}

#[tokio::test]
async fn a_server_that_does_not_log_enough_is_told_so() {
    let settings = ClusterSettings {
        settings: vec![("wal_level".into(), "replica".into()), ("max_replication_slots".into(), "0".into())],
        ..ClusterSettings::default()
    };
    let Some(cluster) =
        or_skip(tokio::task::spawn_blocking(move || Postgres::start(&settings)).await.expect("runs"))
    else {
        return;
    };
    let error = setup(&Place::bare(&cluster).settings).await.expect_err("is not ready").to_string();
    assert!(error.contains("ALTER SYSTEM SET wal_level = 'logical'"), "{error}");
    assert!(error.contains("max_replication_slots"), "{error}");
}
