//! How hosts are reached: every one by the same proxies and roots, and a source's with its credential and its CA, read from
//! where the settings say for each try.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Services;
use crate::config::address::UrlCredential;
use crate::config::{Ambient, Settings};
use crate::model::{Classified, Reason};
use crate::net::{self, BadCredential, BadProxy, BlockingClient, Client, Credential, NetError, Origin, ProxySettings, SystemRoots, Trust};
use crate::registry::RegistryError;
use crate::source::git;
use crate::support::secretdir::{SecretDir, SecretError, Secrets};

/// Why a host cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the credential cannot be used")]
    Credential(#[from] BadCredential),
    #[error("the proxy that this pod's environment names cannot be used")]
    Proxy(#[from] BadProxy),
    #[error("no connection can be set up in this pod")]
    Net(#[from] NetError),
    #[error("the user and password in {} name no registry, and there are several to push to: {hosts}", path.display())]
    WhoseSecret { path: PathBuf, hosts: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Classified for AccessError {
    fn reason(&self) -> Reason {
        match self {
            // Before anything is sent, all that can be wrong with a connector is the secret's CA.
            Self::Secret(_) | Self::Credential(_) | Self::Net(_) | Self::WhoseSecret { .. } => Reason::SecretInvalid,
            Self::Proxy(_) => Reason::RequestInvalid,
            Self::Registry(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(error) => error.fix(),
            Self::Net(error) => error.hint(),
            Self::WhoseSecret { .. } => Some("give a .dockerconfigjson, which says what is for which registry".into()),
            Self::Registry(error) => error.hint(),
            _ => None,
        }
    }
}

/// A way to one host.
pub struct Access {
    pub client: BlockingClient,
    pub credential: Option<Credential>,
}

/// Which kind of host a lone token is for.
#[derive(Clone, Copy)]
pub enum Token {
    /// Git servers take it as a password.
    Git,
    /// Everybody else takes it as a bearer token (RFC 6750).
    Bearer,
}

impl Access {
    pub fn to(
        url: &Url,
        secret: Option<&Path>,
        written: Option<&UrlCredential>,
        token: Token,
        settings: &Settings,
        services: &Services,
    ) -> Result<Self, AccessError> {
        let secrets = secret.map(|path| SecretDir::new(path).read()).transpose()?.unwrap_or_default();
        let client = Client::new(&connector(&settings.ambient, &secrets)?)?;
        let credential = match Origin::of(url) {
            Some(origin) => credential(origin, url, &secrets, written, token, services)?,
            None => None,
        };
        let client = BlockingClient::new(client, tokio::runtime::Handle::current(), services.cancel.token());
        Ok(Self { client, credential })
    }
}

/// What this pod is told about reaching hosts, and the CA of the secret for this one.
pub fn connector(ambient: &Ambient, secrets: &Secrets) -> Result<net::Settings, AccessError> {
    let Ambient { proxies, ssl_cert_file: file, ssl_cert_dirs: directories, .. } = ambient;
    let exposed = |proxy: Option<&SecretString>| proxy.map(|url| url.expose_secret().to_owned());
    let (http, https) = (exposed(proxies.http.as_ref()), exposed(proxies.https.as_ref()));
    let proxy = ProxySettings::new(http.as_deref(), https.as_deref(), proxies.no_proxy.as_deref())?;
    let roots = match (file, directories.as_slice()) {
        (None, []) => SystemRoots::Usual,
        _ => SystemRoots::At { file: file.clone(), directories: directories.clone() },
    };
    let trust = Trust { extra: secrets.ca.clone().into_iter().collect() };
    Ok(net::Settings { trust, roots, proxy, ..net::Settings::default() })
}

/// The most particular credential there is: what stood in the URL, then the directory's.
fn credential(
    origin: Origin,
    url: &Url,
    secrets: &Secrets,
    written: Option<&UrlCredential>,
    token: Token,
    services: &Services,
) -> Result<Option<Credential>, BadCredential> {
    let basic = |username: &str, password: &SecretString| {
        services.redactor.add_basic(username, password);
        Credential::basic(origin.clone(), username, password.clone())
    };
    if let Some(written) = written {
        services.redactor.add(written.secret());
        return basic(written.username.expose_secret(), &written.password).map(Some);
    }
    if let Some((username, password)) = &secrets.basic {
        return basic(username, password).map(Some);
    }
    if let Some(value) = &secrets.token {
        services.redactor.add(value);
        return match token {
            Token::Git => git::token_credential(origin, value.clone()).map(Some),
            Token::Bearer => Credential::bearer(origin, value.clone()).map(Some),
        };
    }
    secrets.stored_for(url).map(|line| basic(&line.username, &line.password)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ambient::Proxies;

    fn behind(proxy: &str) -> Ambient {
        let proxies = Proxies { https: Some(proxy.into()), no_proxy: Some(".svc".into()), ..Proxies::default() };
        Ambient { proxies, ssl_cert_file: Some("/etc/ours.pem".into()), ..Ambient::default() }
    }

    #[test]
    fn the_connector_is_made_of_the_environment_and_the_secret() {
        let secrets = Secrets { ca: Some(b"pem".to_vec()), ..Secrets::default() };
        let net = connector(&behind("proxy:3128"), &secrets).unwrap();
        let proxy = |url: &str| net.proxy.for_url(&Url::parse(url).unwrap()).map(Url::to_string);
        assert_eq!(proxy("https://a.example/").as_deref(), Some("http://proxy:3128/"));
        assert_eq!((proxy("https://git.svc/"), proxy("http://a.example/")), (None, None));
        assert!(matches!(net.roots, SystemRoots::At { file: Some(file), .. } if file == Path::new("/etc/ours.pem")));
        assert_eq!(net.trust.extra, [b"pem"]);
        let usual = connector(&Ambient::default(), &Secrets::default()).unwrap();
        assert!(matches!(usual.roots, SystemRoots::Usual) && usual.trust.extra.is_empty());
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_being_shown() {
        let error = connector(&behind("ftp://me:canary@proxy"), &Secrets::default()).unwrap_err();
        assert_eq!(error.reason(), Reason::RequestInvalid);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
