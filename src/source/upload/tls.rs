//! TLS for the waiting pod: its own certificate, TLS 1.2 and later, HTTP/1.1 alone.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::UploadError;
use crate::support::guard::Guard;
use crate::support::secretdir::{SecretError, file};

/// From the two files.
pub fn acceptor(certificate: &Path, key: &Path, guard: &Guard) -> Result<TlsAcceptor, UploadError> {
    let bad = |rule: String| UploadError::Certificate { certificate: certificate.to_owned(), key: key.to_owned(), rule };
    let read = |path: &Path| file::read(path, guard)?.ok_or_else(|| SecretError::Missing { path: path.to_owned() });
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.map_err(|why| bad(format!("the certificate is no PEM ({why})")))?;
    if chain.is_empty() {
        return Err(bad("the first holds no certificate in PEM form".into()));
    }
    // Of the key nothing is repeated.
    let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| bad("the second holds no private key in PEM form".into()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key_der));
    let mut config = config.map_err(|why| bad(why.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
