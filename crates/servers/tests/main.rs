//! The servers start, answer, and are gone with whoever started them.

use std::{net::TcpStream, process::Command};

use streamer_servers::{
    Kept, Lifetime,
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

#[test]
fn what_is_kept_lives_on_until_its_process_is_ended() {
    let settings =
        Settings { password: Some("hush".into()), lifetime: Lifetime::Keepable, ..Settings::default() };
    let Some(cluster) = or_skip(Postgres::start(&settings)) else { return };
    assert_eq!(cluster.sql("postgres", "select 7").expect("answers"), "7", "by its own password");
    assert_eq!(std::fs::read_to_string(cluster.password_file()).expect("is there"), "hush");
    let Some(models) = or_skip(Mongodb::start_for(128, Lifetime::Keepable)) else { return };
    let ports = [cluster.port(), models.port()];
    // PostgreSQL waits for its clients after SIGTERM; Java ignores SIGINT where whoever started this does.
    let kept = [("-INT", cluster.keep().expect("runs")), ("-TERM", models.keep())];
    for ((signal, Kept { pid, folder }), port) in kept.into_iter().zip(ports) {
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(listens() && folder.exists());
        let ended = Command::new("kill").args([signal, &pid.to_string()]).status().expect("there is a kill");
        assert!(ended.success());
        let began = std::time::Instant::now();
        while listens() {
            assert!(began.elapsed().as_secs() < 30, "{pid} goes on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // It closes its port before it is done with its files.
        while let Err(e) = std::fs::remove_dir_all(&folder) {
            assert!(began.elapsed().as_secs() < 30, "{}: {e}", folder.display());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
