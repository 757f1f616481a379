//! `wss://`, by a private authority.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::{Value, json};
use streamer_e2e::{
    command::Shell,
    issuer::Issuer,
    patience::until,
    server::{Server, Setup},
};
use tempfile::TempDir;

use crate::{folder, server, shell};

/// Issues the server's certificates, in a folder of its own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("made")).expect("made");
        let authority = Self { issuer, folder: folder() };
        write(&authority.file("ca.pem"), "CERTIFICATE", authority.issuer.der());
        authority.issue();
        authority
    }

    /// Writes a fresh certificate for localhost and its key.
    pub(crate) fn issue(&self) {
        let key = KeyPair::generate().expect("made");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("valid");
        let made = params.signed_by(&key, &self.issuer).expect("made");
        write(&self.file("cert.pem"), "CERTIFICATE", made.der());
        write(&self.file("key.pem"), "PRIVATE KEY", &key.serialize_der());
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server with its certificate.
    pub(crate) fn server(&self) -> Setup {
        server()
            .set("listen.tls_certificate_file", self.file("cert.pem").display())
            .set("listen.tls_key_file", self.file("key.pem").display())
    }

    /// Commands that trust it, as ada.
    pub(crate) fn shell(&self, server: &Server) -> Shell {
        server
            .shell()
            .variable("SSL_CERT_FILE", self.file("ca.pem").display().to_string())
            .variable("STREAMER_URL", format!("wss://localhost:{}/ws", server.listen().port()))
            .variable("STREAMER_TOKEN", Issuer::shared().token("ada", "acme"))
    }
}

fn write(path: &Path, kind: &str, der: &[u8]) {
    std::fs::write(path, pem::encode(&pem::Pem::new(kind, der))).expect("the folder is ours");
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served_and_no_other() {
    let authority = Authority::new();
    let mut server = authority.server().start().await;
    let trusting = authority.shell(&server);
    let echo = trusting.run(["request", "echo", "--payload", r#"{"a":1}"#]).await.succeeded();
    assert_eq!(serde_json::from_str::<Value>(&echo).expect("JSON")["echo"], json!({ "a": 1 }));
    let long = trusting.run(["request", "delay", "--payload", r#"{"seconds":0.2,"chunks":2}"#]).await;
    let _ = long.succeeded();

    let stranger = Authority::new();
    let told = stranger.shell(&server).run(["request", "echo"]).await.failed(1);
    assert!(told.contains("certificate"), "{told}");
    let plain = format!("ws://localhost:{}/ws", server.listen().port());
    let _ = trusting.run(["request", "echo", "--url", &plain]).await.failed(1);
    until("it is counted", async || {
        (server.metric("streamer_tls_handshakes_total", &["not_tls"]).await >= 1.0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_hangup_has_the_certificate_read_again() {
    let authority = Authority::new();
    let mut server = authority.server().start().await;
    let expires = server.metric("streamer_tls_certificate_not_after_seconds", &[]).await;
    assert!(expires > 4e9, "{expires}");
    std::fs::write(authority.file("key.pem"), "nonsense").expect("written");
    server.hang_up().await;
    until("the broken pair is told of", async || {
        (server.metric("streamer_tls_reloads_total", &["failed"]).await == 1.0).then_some(())
    })
    .await;
    let _ = authority.shell(&server).run(["request", "echo"]).await.succeeded();

    authority.issue();
    server.hang_up().await;
    until("the new pair is in force", async || {
        (server.metric("streamer_tls_reloads_total", &["done"]).await == 1.0).then_some(())
    })
    .await;
    let _ = authority.shell(&server).run(["request", "echo"]).await.succeeded();
    server.stop().await;
}

#[tokio::test]
async fn files_that_change_are_noticed_without_a_signal() {
    let authority = Authority::new();
    let mut server = authority.server().set("listen.tls_reload_interval_s", 1).start().await;
    authority.issue();
    until("the new pair is in force", async || {
        (server.metric("streamer_tls_reloads_total", &["done"]).await >= 1.0).then_some(())
    })
    .await;
    let _ = authority.shell(&server).run(["request", "echo"]).await.succeeded();
    server.stop().await;
}

#[tokio::test]
async fn mistakes_are_told_with_their_setting() {
    let (authority, other) = (Authority::new(), Authority::new());
    let place = folder();
    Issuer::shared().write(place.path());
    let check = async |settings: &[(&str, &Path)]| {
        let mut arguments = vec!["config".to_owned(), "check".to_owned()];
        arguments.extend(["--set".to_owned(), "auth.public_key_file=public.pem".to_owned()]);
        for (name, file) in settings {
            arguments.extend(["--set".to_owned(), format!("{name}={}", file.display())]);
        }
        shell(place.path()).run(arguments).await
    };
    const CERTIFICATE: &str = "listen.tls_certificate_file";
    const KEY: &str = "listen.tls_key_file";
    let (certificate, key) = (authority.file("cert.pem"), authority.file("key.pem"));
    let _ = check(&[(CERTIFICATE, &certificate), (KEY, &key)]).await.succeeded();
    for (settings, told) in [
        (vec![(CERTIFICATE, certificate.clone())], [KEY, "is needed"]),
        (vec![(KEY, key.clone())], [CERTIFICATE, "is needed"]),
        (vec![(CERTIFICATE, certificate.clone()), (KEY, other.file("key.pem"))], [KEY, "does not match"]),
        (
            vec![(CERTIFICATE, authority.file("none.pem")), (KEY, key.clone())],
            [CERTIFICATE, "cannot be read"],
        ),
        (vec![(CERTIFICATE, key.clone()), (KEY, key)], [CERTIFICATE, "holds no certificate"]),
    ] {
        let settings: Vec<_> = settings.iter().map(|(name, file)| (*name, file.as_path())).collect();
        let complaint = check(&settings).await.failed(1);
        assert!(told.iter().all(|told| complaint.contains(told)), "{told:?}: {complaint}");
    }
}
