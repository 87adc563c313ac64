//! Why a host that asked who this is hung up.
//!
//! In TLS 1.3 a client is refused after its own handshake, while its request is under way (RFC 8446, section 4.4.2.4), and often
//! all that is left of the refusal is a broken connection. Then the host is connected to once more, with nothing sent, to hear it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::address::Rule;
use super::stream::Place;
use super::{NetError, Timeouts, tls};

/// For what a host has to say at once: a refusal is on its way when the handshake ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives what `inner` gives, and remembers that it was asked for.
#[derive(Debug)]
struct Noting {
    inner: Arc<dyn ResolvesClientCert>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Noting {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

/// How hosts are told who this is, and whether any ever asked.
#[derive(Clone, Debug)]
pub(super) struct Face {
    config: Arc<ClientConfig>,
    asked: Arc<AtomicBool>,
    /// It has a certificate to show.
    shown: bool,
}

impl Face {
    pub fn new(mut config: ClientConfig) -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&config.client_auth_cert_resolver);
        let shown = inner.has_certs();
        config.client_auth_cert_resolver = Arc::new(Noting { inner, asked: Arc::clone(&asked) });
        Self { config: Arc::new(config), asked, shown }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// The host's own word, if it is that it wants another certificate. `checked`: somebody else than the request chose the host.
    pub async fn refusal(&self, url: &Url, checked: Option<Rule>, timeouts: &Timeouts) -> Option<NetError> {
        if !self.asked.load(Ordering::Relaxed) || url.scheme() != "https" {
            return None;
        }
        let place = Place::of(url, 443, checked);
        let name = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (name, wire) = (ServerName::try_from(name).ok()?, place.connect(timeouts).await.ok()?);
        let listening = async {
            let mut stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, wire).await?;
            stream.read_u8().await
        };
        let said = timeout(PATIENCE, listening).await.ok()?.err()?;
        let word = said.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).filter(|word| tls::is_about_client(word))?;
        Some(NetError::ClientCertificate { host: place.shown(), problem: tls::explain(word), shown: self.shown })
    }
}
