//! `streamer healthcheck`.

use std::net::TcpListener;

use streamer_e2e::patience::until;

use crate::{folder, server, shell};

#[tokio::test]
async fn a_server_is_healthy_until_it_drains() {
    let mut server = server().set("drain.linger_ms", 2000).start().await;
    let shell = server.shell();
    let told = shell.run(["healthcheck"]).await.succeeded();
    assert!(told.starts_with("200 OK") && told.contains("ready"), "{told}");
    server.terminate().await;
    let told = until("the server to be out of service", async || {
        let ran = shell.run(["healthcheck"]).await;
        (ran.code == Some(1)).then_some(ran.stdout)
    })
    .await;
    assert!(told.starts_with("503") && told.contains("draining"), "{told}");
    assert!(server.ended().await.success());
    let told = shell.run(["healthcheck"]).await.failed(1);
    assert!(told.contains("cannot be reached"), "{told}");
}

#[tokio::test]
async fn who_does_not_answer_is_not_healthy() {
    let folder = folder();
    // Takes connections, and nothing more.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let healthcheck = ["healthcheck", "--admin-url", &url, "--timeout-ms", "200"];
    let told = shell(folder.path()).run(healthcheck).await.failed(1);
    assert!(told.contains("does not answer in time"), "{told}");
}
