//! Which registries this pod trusts: the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those it was given.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A pod without any root can still read from registries over plain http, so none is no error here.
pub struct Roots {
    pub config: ClientConfig,
    /// Nothing over https can be trusted.
    pub none: bool,
}

/// What the system trusts; nothing in an image without a bundle, and what of it is damaged is left out.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The TLS configuration with these PEM bundles beside the system's roots.
pub fn roots(system: Vec<CertificateDer<'static>>, bundles: &[Vec<u8>]) -> Result<Roots, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system);
    for bundle in bundles {
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            let certificate = certificate.map_err(|error| format!("a CA bundle is not PEM: {error}"))?;
            store.add(certificate).map_err(|error| format!("a CA bundle holds no usable certificate: {error}"))?;
        }
    }
    let none = store.is_empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|error| error.to_string())?.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Roots { config, none })
}

/// What went wrong below HTTP.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side does not speak TLS.
    NotTls,
    /// It does, and is not trusted.
    Distrust(String),
    /// Nothing to do with TLS.
    Other,
}

/// Finds what TLS says in a chain of errors.
pub fn trouble(error: &(dyn std::error::Error + 'static)) -> Trouble {
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` names what it wraps, but not as its source.
        let io = error.downcast_ref::<std::io::Error>();
        let inner = io.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner.or_else(|| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => return Trouble::NotTls,
            Some(tls) => return Trouble::Distrust(tls.to_string()),
            None => {}
        }
        let nested = io.and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        next = nested.or_else(|| error.source());
    }
    Trouble::Other
}
