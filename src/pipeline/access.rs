//! How a source's host is reached: its credential and its CA, read from where the settings say, for one try.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Services;
use crate::config::Settings;
use crate::config::address::UrlCredential;
use crate::model::{Classified, Reason};
use crate::net::{self, BadCredential, BadProxy, BlockingClient, Client, Credential, NetError, Origin, ProxySettings, Trust};
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
}

impl Classified for AccessError {
    fn reason(&self) -> Reason {
        match self {
            Self::Secret(_) | Self::Credential(_) => Reason::SecretInvalid,
            Self::Proxy(_) | Self::Net(_) => Reason::RequestInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(error) => error.fix(),
            Self::Net(error) => error.hint(),
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
        let proxies = &settings.ambient.proxies;
        let exposed = |proxy: &Option<SecretString>| proxy.as_ref().map(|url| url.expose_secret().to_owned());
        let proxy = ProxySettings::new(exposed(&proxies.http).as_deref(), exposed(&proxies.https).as_deref(), proxies.no_proxy.as_deref())?;
        let trust = Trust { extra: secrets.ca.clone().into_iter().collect() };
        let client = Client::new(&net::Settings { trust, proxy, ..net::Settings::default() })?;
        let credential = match Origin::of(url) {
            Some(origin) => credential(origin, url, &secrets, written, token, services)?,
            None => None,
        };
        let client = BlockingClient::new(client, tokio::runtime::Handle::current(), services.cancel.token());
        Ok(Self { client, credential })
    }
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
