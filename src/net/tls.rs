//! Whom a TLS connection trusts: the system's roots, and the ones a request adds for itself.
//!
//! A pod without a CA bundle is no failure until a certificate has to be checked; then the error says what is missing.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use secrecy::{ExposeSecret, SecretString};

use super::NetError;

/// The certificates to trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM bundles, each with one or more certificates: a private CA, or the server's own certificate.
    pub extra: Vec<Vec<u8>>,
}

/// Who this is, to a host that asks by TLS.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM: the certificate, then those that vouch for it.
    pub chain: Vec<u8>,
    /// PEM, not encrypted.
    pub key: SecretString,
}

impl Identity {
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), NetError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| NetError::Identity("tls.crt holds no certificate in PEM form".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret().as_bytes());
        Ok((chain, key.map_err(|_| NetError::Identity("tls.key holds no private key in PEM form that is not encrypted".to_owned()))?))
    }
}

/// Where the roots are that a pod trusts for every host.
#[derive(Clone, Debug, Default)]
pub enum SystemRoots {
    /// Where this system keeps them, or where `SSL_CERT_FILE` and `SSL_CERT_DIR` say, as OpenSSL's users know them.
    #[default]
    Usual,
    /// Here and nowhere else. The file must be readable; a directory that is not counts as none.
    At { file: Option<PathBuf>, directories: Vec<PathBuf> },
}

/// Where systems keep their roots: the first of these files, and all of these directories (Go, crypto/x509, root_linux.go).
const USUAL_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const USUAL_DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

impl SystemRoots {
    /// What `SSL_CERT_FILE` and `SSL_CERT_DIR` say. Each takes the place of its own default alone, as in OpenSSL and Go.
    pub fn named(file: Option<PathBuf>, directories: Vec<PathBuf>) -> Self {
        if file.is_none() && directories.is_empty() {
            return Self::Usual;
        }
        let usual = || USUAL_FILES.iter().map(PathBuf::from).find(|file| file.is_file());
        let directories = if directories.is_empty() { USUAL_DIRECTORIES.map(PathBuf::from).to_vec() } else { directories };
        Self::At { file: file.or_else(usual), directories }
    }

    fn load(&self) -> Result<Vec<CertificateDer<'static>>, NetError> {
        let Self::At { file, directories } = self else { return Ok(load_native_certs().certs) };
        let bundle = load_certs_from_paths(file.as_deref(), None);
        if let (Some(file), [error, ..]) = (file, bundle.errors.as_slice()) {
            return Err(NetError::Settings(format!("the CA bundle {} of this pod's environment cannot be read: {error}", file.display())));
        }
        let found = directories.iter().flat_map(|each| load_certs_from_paths(None, Some(each)).certs);
        Ok(bundle.certs.into_iter().chain(found).collect())
    }
}

/// The configuration for a client, and whether any root was found at all.
pub(super) fn configure(trust: &Trust, system: &SystemRoots, identity: Option<&Identity>) -> Result<(ClientConfig, bool), NetError> {
    super::init();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.load()?);
    let extra = add(&mut roots, trust)?;
    let any = !roots.is_empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| NetError::Settings(format!("TLS could not be set up: {cause}")))?;
    let builder = match verifier(roots, extra, provider)? {
        Some(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    let mut config = match identity.map(Identity::parse).transpose()? {
        Some((chain, key)) => {
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|cause| NetError::Identity(format!("tls.crt and tls.key cannot be used together: {cause}")))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, any))
}

/// Adds each bundle, and refuses one of which nothing can be used. Every certificate of them, as it is.
fn add(roots: &mut RootCertStore, trust: &Trust) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let mut all = Vec::new();
    for bundle in &trust.extra {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bundle).collect();
        let found = found.map_err(|cause| NetError::Authority(format!("it is no PEM: {cause}")))?;
        let (usable, _) = roots.add_parsable_certificates(found.iter().cloned());
        if usable == 0 {
            return Err(NetError::Authority("it holds no certificate in PEM form that can be used".into()));
        }
        all.extend(found);
    }
    Ok(all)
}

fn verifier(roots: RootCertStore, named: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Option<Named>, NetError> {
    if roots.is_empty() {
        return Ok(None);
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|cause| NetError::Settings(format!("the CA certificates could not be used: {cause}")))?;
    Ok(Some(Named { webpki, named }))
}

/// Verifies as webpki does, with one addition: a server certificate that the user named byte for byte is good although it
/// calls itself a CA, which `openssl req -x509` makes of every self-signed one. Dates and the host's name count all the same.
#[derive(Debug)]
struct Named {
    webpki: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki looks at the dates before it looks at this.
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if is_ca_as_server(&other) && self.named.contains(&end_entity.clone().into_owned()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// webpki's error has no other mark than its text.
fn is_ca_as_server(error: &OtherError) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

/// Whether it is the certificate that is not trusted: asking again changes nothing.
pub(super) fn is_distrust(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(_))
}

/// Whether the other side says that it does not accept who this is: only of certificates that it was shown, or was not.
pub(super) fn is_about_client(error: &Error) -> bool {
    use AlertDescription as Alert;
    matches!(
        error,
        Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
    )
}

/// What is wrong with the other side's TLS, in words.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => explain_certificate(certificate),
        Error::AlertReceived(alert) => format!("it refused the handshake ({alert:?})"),
        Error::PeerIncompatible(_) => "it speaks no TLS version or cipher of ours (TLS 1.2 or 1.3)".into(),
        other => other.to_string(),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet (is this node's clock right?)".into()
        }
        CertificateError::UnknownIssuer => "this pod does not know who issued its certificate".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "its certificate is for another name".into(),
        CertificateError::Revoked => "its certificate was revoked".into(),
        CertificateError::BadSignature => "its certificate has a wrong signature".into(),
        CertificateError::Other(other) if is_ca_as_server(other) => {
            "it signed its certificate itself: give that as ca.crt if it can be trusted".into()
        }
        other => format!("its certificate was refused: {other}"),
    }
}
