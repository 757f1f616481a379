//! Whom to trust.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Why a private authority cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It is not PEM text with certificates.
    #[error("must hold certificates in PEM text")]
    NotPem,
    /// One of its certificates cannot be an authority's.
    #[error("holds a certificate that cannot be read")]
    Unreadable,
}

/// The platform's certificate authorities (or those of `SSL_CERT_FILE`, `SSL_CERT_DIR`), else Mozilla's.
#[must_use]
pub fn platform() -> Arc<ClientConfig> {
    trusting(platform_roots())
}

/// The same, and the authorities in `pem`.
pub fn platform_and(pem: &[u8]) -> Result<Arc<ClientConfig>, AuthorityError> {
    let mut roots = platform_roots();
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| AuthorityError::NotPem)?;
        roots.add(certificate).map_err(|_| AuthorityError::Unreadable)?;
        found = true;
    }
    if found { Ok(trusting(roots)) } else { Err(AuthorityError::NotPem) }
}

fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    // Named, as a process that holds two of them has no default one.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has what the default versions need");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::{Error, Pool, PoolSettings, Request};

    /// A server for `localhost`, whose authority nobody knows; with that authority's certificate.
    async fn server() -> (u16, String, AbortOnDropHandle<()>) {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().expect("a key");
        let authority = params.self_signed(&authority_key).expect("a certificate");
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", authority.der().to_vec()));
        let issuer = rcgen::Issuer::new(params, authority_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a certificate");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("a key and its certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 None\r\nconnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        (port, pem, AbortOnDropHandle::new(serving))
    }

    #[tokio::test]
    async fn a_private_authority_is_trusted_if_it_is_named_and_no_stranger() {
        let (port, pem, _serving) = server().await;
        let ask = async |host: &str, tls: Arc<ClientConfig>| {
            let address = format!("https://{host}:{port}/").parse().expect("an address");
            let pool = Pool::new(address, tls, PoolSettings::default());
            let ready = pool.ready().await?;
            ready.send(Request::new(Full::new(Bytes::new()))).await.map(|answer| answer.head.status.as_u16())
        };
        let trusting = platform_and(pem.as_bytes()).expect("an authority");
        assert_eq!(ask("localhost", Arc::clone(&trusting)).await.expect("is trusted"), 204);
        assert!(
            matches!(ask("127.0.0.1", trusting).await, Err(Error::Tls(_))),
            "the certificate is another name's"
        );
        assert!(matches!(ask("localhost", platform()).await, Err(Error::Tls(_))));
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for (text, expected) in [
            ("", AuthorityError::NotPem),
            ("hello", AuthorityError::NotPem),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", AuthorityError::Unreadable),
        ] {
            assert_eq!(platform_and(text.as_bytes()).expect_err(text), expected, "{text}");
        }
    }
}
