//! TLS, and who is trusted.

use streamer_events::source::Source as _;
use streamer_servers::{
    or_skip,
    postgres::{Postgres, Settings as ClusterSettings},
};
use streamer_source_postgres::{Tls, TlsMode, setup};

use crate::bed::{Place, begun, changes, row, settings, shared, source, within};

#[tokio::test]
async fn the_connection_is_encrypted_as_the_settings_want_it() {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("makes a certificate");
    let text = |label: &str, der: Vec<u8>| pem::encode(&pem::Pem::new(label, der));
    let certificate = text("CERTIFICATE", key.cert.der().to_vec());
    let private = text("PRIVATE KEY", key.signing_key.serialize_der());
    let settings =
        ClusterSettings { certificate: Some((certificate.clone(), private)), ..ClusterSettings::default() };
    let Some(cluster) =
        or_skip(tokio::task::spawn_blocking(move || Postgres::start(&settings)).await.expect("runs"))
    else {
        return;
    };
    let folder = std::env::temp_dir().join(format!("streamer-roots-{}.pem", std::process::id()));
    std::fs::write(&folder, certificate).expect("writes");
    let mut place = Place::bare(&cluster);
    for (mode, roots_file) in
        [(TlsMode::Prefer, None), (TlsMode::Require, None), (TlsMode::VerifyFull, Some(folder.clone()))]
    {
        place.settings.server.tls = Tls { mode, roots_file };
        setup(&place.settings).await.expect("is let in");
        let source = begun(place.source()).await;
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'streamer' AND datname = current_database()";
        place.insert(&[row(mode as u64)]).await;
        let change = changes(&source, 1).await.remove(0);
        assert_eq!(place.sql(encrypted).await, "t", "{mode:?}");
        source.confirm(&change.position).await;
        source.close().await.expect("closes");
    }
    place.settings.server.tls = Tls { mode: TlsMode::VerifyFull, roots_file: None };
    let error = within(place.source().open()).await.expect_err("nobody knows it").to_string();
    assert!(error.contains("tls: "), "{error}");
    std::fs::remove_file(folder).expect("removes");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_must_have_it() {
    let Some(cluster) = shared() else { return };
    let mut settings = Place::bare(cluster).settings;
    settings.server.tls.mode = TlsMode::Require;
    let error = within(source(settings).open()).await.expect_err("offers none").to_string();
    assert!(error.contains("the server offers none"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let error = setup(&settings(1, "shop")).await.expect_err("nobody listens there").to_string();
    assert!(error.contains("@127.0.0.1:1/shop: ") && error.contains("refused"), "{error}");
}
