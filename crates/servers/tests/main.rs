//! The servers start, answer, and are gone with whoever started them.

use std::net::TcpStream;

use streamer_servers::{
    mongodb::Mongodb,
    or_skip,
    postgres::{Postgres, Settings},
};

#[test]
fn a_cluster_answers_keeps_its_data_over_a_crash_and_goes() {
    let Some(mut cluster) = or_skip(Postgres::start(&Settings::default())) else { return };
    assert_eq!(cluster.sql("postgres", "show wal_level").expect("answers"), "logical");
    cluster.sql("postgres", "create table kept as select 7 as n").expect("answers");
    let port = cluster.port();
    cluster.crash();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    cluster.resume().expect("starts");
    assert_eq!(
        (cluster.sql("postgres", "select n from kept").expect("answers"), cluster.port()),
        ("7".into(), port)
    );
    cluster.stop();
    cluster.resume().expect("starts");
    drop(cluster);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_stand_in_listens_and_goes() {
    let Some(server) = or_skip(Mongodb::start(128)) else { return };
    let port = server.port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
