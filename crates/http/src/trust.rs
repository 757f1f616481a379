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
