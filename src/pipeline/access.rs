//! How hosts are reached: every one by the same proxies and roots, and a source's with its credential and its CA, read from
//! where the settings say for each try.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Services;
use super::clients::Clients;
use crate::config::{Ambient, Settings};
use crate::model::address::Scheme;
use crate::model::{Address, Classified, Reason, UrlCredential};
use crate::net::{
    self, BadCredential, BadHosts, BadKey, BadProxy, BlockingClient, Credential, KnownHosts, NetError, Origin, ProxySettings, RedactedUrl,
    SshIdentity, SshKey, SystemRoots, Trust,
};
use crate::registry::RegistryError;
use crate::source::git::{self, Door};
use crate::support::redact::Redactor;
use crate::support::secretdir::{ClientCertificate, SecretError, Secrets, file};

/// Why a host cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the credential cannot be used")]
    Credential(#[from] BadCredential),
    #[error("the proxy that this pod's environment names cannot be used")]
    Proxy(#[from] BadProxy),
    #[error("the CA in the secret directory {path:?} cannot be used")]
    Authority {
        path: PathBuf,
        #[source]
        cause: NetError,
    },
    #[error("the client certificate in the secret directory {path:?} cannot be used")]
    Identity {
        path: PathBuf,
        #[source]
        cause: NetError,
    },
    #[error("{} {why}", path.display())]
    SshKey { path: PathBuf, why: BadKey },
    #[error("{url} is reached by ssh, and this pod has no key to show there")]
    NoKey { url: RedactedUrl },
    #[error("{url} is reached by ssh, and this pod has no list of hosts it may trust: {why}")]
    NoHosts { url: RedactedUrl, why: BadHosts },
    #[error("a credential for {url} would travel in the clear")]
    InTheClear { url: RedactedUrl },
    #[error("no connection can be set up in this pod")]
    Net(#[from] NetError),
    #[error("the user and password, or the client certificate, in {} name no registry, and there are several to push to: {hosts}", path.display())]
    WhoseSecret { path: PathBuf, hosts: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Classified for AccessError {
    fn reason(&self) -> Reason {
        match self {
            Self::Secret(error) => error.reason(),
            // Before anything is sent, all that can be wrong with a connector is a CA.
            Self::Credential(_)
            | Self::Net(_)
            | Self::Authority { .. }
            | Self::Identity { .. }
            | Self::SshKey { .. }
            | Self::NoKey { .. }
            | Self::NoHosts { .. }
            | Self::WhoseSecret { .. } => Reason::SecretInvalid,
            Self::Proxy(_) | Self::InTheClear { .. } => Reason::RequestInvalid,
            Self::Registry(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(error) => error.fix(),
            Self::Net(error) | Self::Authority { cause: error, .. } => error.hint(),
            Self::SshKey { .. } => Some("give a key of OpenSSH, with its passphrase in the key passphrase where it has one".to_owned()),
            Self::NoKey { .. } => {
                Some("give one in source.git.secret, as ssh-privatekey, or an agent's socket in SSH_AUTH_SOCK".to_owned())
            }
            Self::NoHosts { .. } => Some(format!(
                "give known_hosts in source.git.secret (ssh-keyscan prints lines for it: check them by another way), or mount {SYSTEM_KNOWN_HOSTS}"
            )),
            Self::InTheClear { .. } => Some("use https, or leave the secret out".to_owned()),
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
    secrets: Secrets,
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
        clients: &Clients,
        settings: &Settings,
        services: &Services,
    ) -> Result<Self, AccessError> {
        let secrets = secret.map(|path| settings.policy.secret(path).read()).transpose()?.unwrap_or_default();
        let client = clients.client(&secrets, secret, &settings.ambient)?;
        let credential = match Origin::of(url) {
            Some(origin) => {
                let found = credential(origin.clone(), url, &secrets, written, token, &services.redactor)?;
                with_headers(found, origin, &secrets, &services.redactor)
            }
            None => None,
        };
        // `net` would leave it out, and the host would be blamed for refusing it.
        if credential.as_ref().is_some_and(|credential| !credential.origin().is_tls()) {
            return Err(AccessError::InTheClear { url: RedactedUrl::new(url.clone()) });
        }
        let client = BlockingClient::new(client, tokio::runtime::Handle::current(), services.cancel.token());
        Ok(Self { client, credential, secrets })
    }

    /// How a repository's host is talked to.
    pub fn door(&self, address: &Address, secret: Option<&Path>, settings: &Settings, redactor: &Redactor) -> Result<Door, AccessError> {
        Ok(match address.scheme() {
            Scheme::Https | Scheme::Http => Door::Http(self.credential.clone()),
            Scheme::Git => Door::Daemon,
            Scheme::Ssh => Door::Ssh(ssh_identity(address, secret, &self.secrets, settings, redactor)?),
        })
    }
}

/// Where a system keeps the hosts it knows (ssh(1), "FILES"): an image of ours has none, a pod may mount one.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

fn ssh_identity(
    address: &Address,
    secret: Option<&Path>,
    secrets: &Secrets,
    settings: &Settings,
    redactor: &Redactor,
) -> Result<SshIdentity, AccessError> {
    if let Some(word) = &secrets.passphrase {
        redactor.add(word);
    }
    let named = |name: &str| secret.unwrap_or(Path::new("")).join(name);
    let parsed = |(name, text): &(&'static str, SecretString)| {
        SshKey::parse(text, secrets.passphrase.as_ref()).map_err(|why| AccessError::SshKey { path: named(name), why })
    };
    let keys = secrets.ssh_keys.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
    let agent = settings.ambient.ssh_auth_sock.clone();
    if keys.is_empty() && agent.is_none() {
        return Err(AccessError::NoKey { url: address.redacted() });
    }
    let listed = match &secrets.known_hosts {
        Some(text) => Some(text.clone()),
        None => {
            file::read(Path::new(SYSTEM_KNOWN_HOSTS), settings.policy.guard())?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    let known_hosts = KnownHosts::parse(listed.as_deref().unwrap_or_default());
    let known_hosts = known_hosts.map_err(|why| AccessError::NoHosts { url: address.redacted(), why })?;
    Ok(SshIdentity { keys, agent, known_hosts })
}

/// What this pod is told about reaching hosts, and the CA of the secret for this one. `loopback`: the user's own address is there.
pub fn connector(ambient: &Ambient, secrets: &Secrets, loopback: bool) -> Result<net::Settings, AccessError> {
    let Ambient { proxies, ssl_cert_file: file, ssl_cert_dirs: directories, .. } = ambient;
    let exposed = |proxy: Option<&SecretString>| proxy.map(|url| url.expose_secret().to_owned());
    let (http, https) = (exposed(proxies.http.as_ref()), exposed(proxies.https.as_ref()));
    let proxy = ProxySettings::new(http.as_deref(), https.as_deref(), proxies.no_proxy.as_deref())?;
    let roots = SystemRoots::named(file.clone(), directories.clone());
    let trust = Trust { extra: secrets.ca.clone().into_iter().collect() };
    let identity = secrets.client.clone().map(|ClientCertificate { chain, key }| net::Identity { chain, key });
    Ok(net::Settings { trust, roots, proxy, identity, loopback, ..net::Settings::default() })
}

/// The most particular credential there is: what stood in the URL, then the directory's. A name without a password is a token
/// only where the directory has no credential; else it says which line of `.git-credentials` is meant.
fn credential(
    origin: Origin,
    url: &Url,
    secrets: &Secrets,
    written: Option<&UrlCredential>,
    token: Token,
    redactor: &Redactor,
) -> Result<Option<Credential>, BadCredential> {
    let basic = |username: &str, password: &SecretString| {
        redactor.add_basic(username, password);
        Credential::basic(origin.clone(), username, password.clone()).map(Some)
    };
    let as_written = |written: &UrlCredential| basic(written.username.expose_secret(), &written.password);
    if let Some(written) = written.filter(|written| !written.is_name_alone()) {
        return as_written(written);
    }
    if let Some((username, password)) = &secrets.basic {
        return basic(username, password);
    }
    if let Some(value) = &secrets.token {
        redactor.add(value);
        return match token {
            Token::Git => git::token_credential(origin, value.clone()).map(Some),
            Token::Bearer => Credential::bearer(origin, value.clone()).map(Some),
        };
    }
    if secrets.stored.is_empty() {
        return written.map_or(Ok(None), as_written);
    }
    let mut named = url.clone();
    // Can only fail where there is no host.
    let _ = named.set_username(written.map_or("", |written| written.username.expose_secret()));
    secrets.stored_for(&named).map_or(Ok(None), |line| basic(&line.username, &line.password))
}

/// The credential, and the headers of the secret. Of `Authorization: token x` the word behind the scheme is a secret of its own.
fn with_headers(found: Option<Credential>, origin: Origin, secrets: &Secrets, redactor: &Redactor) -> Option<Credential> {
    if secrets.headers.is_empty() {
        return found;
    }
    for (_, value) in &secrets.headers {
        redactor.add(value);
        if let Some((_, word)) = value.expose_secret().split_once(' ') {
            redactor.add(&SecretString::from(word));
        }
    }
    let headers = secrets.headers.clone();
    Some(found.map_or_else(|| Credential::headers(origin, headers.clone()), |found| found.with(headers.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ambient::Proxies;
    use crate::model::Address;
    use crate::support::secretdir::StoredCredential;

    fn behind(proxy: &str) -> Ambient {
        let proxies = Proxies { https: Some(proxy.into()), no_proxy: Some(".svc".into()), ..Proxies::default() };
        Ambient { proxies, ssl_cert_file: Some("/etc/ours.pem".into()), ..Ambient::default() }
    }

    #[test]
    fn the_connector_is_made_of_the_environment_and_the_secret() {
        let secrets = Secrets { ca: Some(b"pem".to_vec()), ..Secrets::default() };
        let net = connector(&behind("proxy:3128"), &secrets, false).unwrap();
        let proxy = |url: &str| net.proxy.for_url(&Url::parse(url).unwrap()).map(Url::to_string);
        assert_eq!(proxy("https://a.example/").as_deref(), Some("http://proxy:3128/"));
        assert_eq!((proxy("https://git.svc/"), proxy("http://a.example/")), (None, None));
        assert!(matches!(net.roots, SystemRoots::At { file: Some(file), .. } if file == Path::new("/etc/ours.pem")));
        assert_eq!(net.trust.extra, [b"pem"]);
        let usual = connector(&Ambient::default(), &Secrets::default(), true).unwrap();
        assert!(matches!(usual.roots, SystemRoots::Usual) && usual.trust.extra.is_empty());
        assert_eq!((net.loopback, usual.loopback), (false, true));
    }

    /// What the host is shown for this URL, and what is masked afterwards.
    fn shown(url: &str, secrets: &Secrets) -> (Option<String>, String) {
        let (address, written) = Address::of_git(url).unwrap();
        let (origin, redactor) = (Origin::of(address.url()).unwrap(), Redactor::default());
        let credential = credential(origin, address.url(), secrets, written.as_ref(), Token::Git, &redactor).unwrap();
        (credential.map(|credential| format!("{credential:?}")), redactor.scrub("contoso-name hush-word").into_owned())
    }

    #[test]
    fn a_name_in_the_url_yields_to_the_secret_directory() {
        let url = "https://contoso-name@git.example.com/contoso/web.git";
        let pair = Secrets { basic: Some(("ada".to_owned(), "hush-word".into())), ..Secrets::default() };
        let token = Secrets { token: Some("hush-word".into()), ..Secrets::default() };
        let line = |username: &str| StoredCredential {
            origin: "https://git.example.com".to_owned(),
            username: username.to_owned(),
            password: "hush-word".into(),
        };
        let stored = |names: &[&str]| Secrets { stored: names.iter().map(|name| line(name)).collect(), ..Secrets::default() };
        let basic = Some("Credential(basic, https://git.example.com)".to_owned());
        for secrets in [pair, token, stored(&["other", "contoso-name"])] {
            assert_eq!(shown(url, &secrets), (basic.clone(), "contoso-name [redacted]".to_owned()));
        }
        assert_eq!(shown(url, &stored(&["other"])), (None, "contoso-name hush-word".to_owned()));
        // Without a credential beside it, it is a token.
        let ca = Secrets { ca: Some(b"pem".to_vec()), ..Secrets::default() };
        assert_eq!(shown(url, &ca), (basic.clone(), "[redacted] hush-word".to_owned()));
        let whole = "https://me:hush-word@git.example.com/x.git";
        assert_eq!(shown(whole, &stored(&["me"])), (basic, "contoso-name [redacted]".to_owned()));
        let escaped = shown("https://a%40b@git.example.com/x.git", &stored(&["a", "a@b"]));
        assert!(escaped.0.is_some(), "names are compared as they are meant");
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_without_being_shown() {
        let error = connector(&behind("ftp://me:canary@proxy"), &Secrets::default(), false).unwrap_err();
        assert_eq!(error.reason(), Reason::RequestInvalid);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
