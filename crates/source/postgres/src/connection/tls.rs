//! Encryption, if the server offers it.

use std::{fs, path::Path, sync::Arc};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Transport;
use crate::{
    error::{Error, Result},
    settings::{Server, TlsMode},
};

/// Asks for TLS as the settings want it.
pub(super) async fn negotiate(mut stream: TcpStream, server: &Server) -> Result<Box<dyn Transport>> {
    if server.tls.mode == TlsMode::Disable {
        return Ok(Box::new(stream));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    // Exactly one byte: what came behind it unencrypted would be somebody else's.
    match (stream.read_u8().await?, server.tls.mode) {
        (b'S', _) => encrypt(stream, server).await,
        (_, TlsMode::Prefer) => Ok(Box::new(stream)),
        _ => Err(Error::Tls("the server offers none".into())),
    }
}

async fn encrypt(stream: TcpStream, server: &Server) -> Result<Box<dyn Transport>> {
    let name = ServerName::try_from(server.host.clone()).map_err(|e| Error::Tls(e.to_string()))?;
    let connector = TlsConnector::from(Arc::new(config(server)?));
    let stream = connector.connect(name, stream).await.map_err(|e| match e.get_ref() {
        // Rustls says what is wrong with the certificate; a broken connection may be whole the next time.
        Some(inner) if inner.is::<rustls::Error>() => Error::Tls(inner.to_string()),
        _ => Error::Io(e),
    })?;
    Ok(Box::new(stream))
}

fn config(server: &Server) -> Result<ClientConfig> {
    let tls = |e: rustls::Error| Error::Tls(e.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(tls)?;
    Ok(match server.tls.mode {
        TlsMode::VerifyFull => {
            builder.with_root_certificates(roots(server.tls.roots_file.as_deref())?).with_no_client_auth()
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
    })
}

fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let named = |e: String| Error::Tls(format!("{}: {e}", path.display()));
            let pem = fs::read(path).map_err(|e| named(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| named(e.to_string()))?;
                roots.add(certificate).map_err(|e| named(e.to_string()))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    match roots.is_empty() {
        true => Err(Error::Tls("no authority is trusted: name a file of certificates".into())),
        false => Ok(roots),
    }
}

/// Encrypts against those who listen, and checks no name: PostgreSQL's `require`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
