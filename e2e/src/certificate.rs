//! A certificate that is trusted by the tests alone.

use std::{fs, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

/// What the certificate is for.
pub const NAME: &str = "streamer.example.com";

/// A certificate with its key, and what it takes to trust it.
pub struct Certificate {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
    connector: TlsConnector,
}

impl Certificate {
    /// A fresh one.
    #[must_use]
    pub fn fresh() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate can be made");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("it can be trusted");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { made, connector: TlsConnector::from(Arc::new(config)) }
    }

    /// Writes `fullchain.pem` and `privkey.pem`, and both in one as `streamer.pem`.
    pub fn write(&self, folder: &Path) {
        let pem = |tag: &str, der: Vec<u8>| pem::encode(&pem::Pem::new(tag, der));
        let chain = pem("CERTIFICATE", self.made.cert.der().to_vec());
        let key = pem("PRIVATE KEY", self.made.signing_key.serialize_der());
        let files =
            [("fullchain.pem", chain.clone()), ("privkey.pem", key.clone()), ("streamer.pem", chain + &key)];
        for (name, pem) in files {
            fs::write(folder.join(name), pem).expect("the folder takes files");
        }
    }

    /// TLS on a stream, with whoever has the certificate.
    pub async fn talk(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(NAME).expect("a name");
        self.connector.connect(name, stream).await.expect("it has the certificate")
    }
}
