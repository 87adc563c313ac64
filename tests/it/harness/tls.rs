//! A certificate authority of the tests' own, and certificates from it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files of one server's TLS: the authority's certificate, and the server's with its key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Both certificates and the key in one file, as lighttpd wants it.
    pub both: PathBuf,
    /// A certificate of a client of this authority, and its key: `tls.crt` and `tls.key` of a secret.
    pub client: [String; 2],
}

impl Tls {
    /// A fresh authority and a certificate for 127.0.0.1 and its names, written into `dir`.
    pub fn new_in(dir: &Path) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Two of one name would be taken for one another.
        let name = format!("podwright tests {}", dir.display());
        authority.distinguished_name.push(DnType::CommonName, name);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);

        let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), super::proxy::HOST.to_owned()]).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let certificate = server.signed_by(&server_key, &issuer).unwrap();

        let client = CertificateParams::new(vec!["builder".to_owned()]).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = [client.signed_by(&client_key, &issuer).unwrap().pem(), client_key.serialize_pem()];

        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: write("ca.crt", &ca.pem()),
            certificate: write("tls.crt", &certificate.pem()),
            key: write("tls.key", &server_key.serialize_pem()),
            both: write("tls.pem", &format!("{}{}{}", certificate.pem(), ca.pem(), server_key.serialize_pem())),
            client,
        }
    }
}
