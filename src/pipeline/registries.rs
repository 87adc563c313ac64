//! How a run speaks with registries: whose credentials, over which way.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::access::{AccessError, connector};
use crate::config::Settings;
use crate::model::Reference;
use crate::registry::{Client, DockerKeychain, Options, Source, config_path};
use crate::support::redact::Redactor;

/// Where credentials are looked for, the request's own secret first.
pub fn keychain(settings: &Settings, redactor: Arc<Redactor>) -> DockerKeychain {
    DockerKeychain::new(sources(settings), redactor)
}

/// The same with a source's own secret before all others. A user and password in it are for this host alone, and it may as well
/// hold a CA and nothing more.
pub fn keychain_with(settings: &Settings, own: Option<(&Path, &str)>, redactor: Arc<Redactor>) -> Result<DockerKeychain, AccessError> {
    let mut all = Vec::new();
    if let Some((path, host)) = own {
        let secret = settings.policy.secret(path);
        let held = secret.read()?;
        let trust_alone = held.docker.is_empty() && held.basic.is_none() && held.token.is_none();
        if !(trust_alone && (held.ca.is_some() || held.client.is_some())) {
            all.push(Source::Directory { secret, hosts: vec![host.to_owned()] });
        }
    }
    all.extend(sources(settings));
    Ok(DockerKeychain::new(all, redactor))
}

fn sources(settings: &Settings) -> Vec<Source> {
    let ambient = &settings.ambient;
    let mut sources = Vec::new();
    if let Some(path) = &settings.registry_secret {
        let secret = settings.policy.secret(path);
        sources.push(Source::Directory { secret, hosts: hosts(settings) });
    }
    sources.extend(ambient.docker_auth_config.clone().map(Source::Inline));
    let given = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.as_os_str().to_owned());
    sources.extend(config_path(given(&ambient.docker_config).as_deref(), given(&ambient.home).as_deref()).map(Source::File));
    sources
}

/// The registries that are pushed to, each once.
fn hosts(settings: &Settings) -> Vec<String> {
    let hosts: BTreeSet<&str> = settings.push.iter().flat_map(|push| &push.destinations).map(Reference::host).collect();
    hosts.into_iter().map(str::to_owned).collect()
}

/// A user and password that name no registry are for the only one there is: of several, all but one would be shown what is not
/// theirs.
pub fn check_secret(settings: &Settings) -> Result<(), AccessError> {
    let hosts = hosts(settings);
    let Some(path) = settings.registry_secret.as_deref().filter(|_| hosts.len() > 1) else { return Ok(()) };
    match settings.policy.secret(path).read()? {
        secrets if secrets.basic.is_some() || secrets.client.is_some() => {
            Err(AccessError::WhoseSecret { path: path.to_owned(), hosts: hosts.join(", ") })
        }
        _ => Ok(()),
    }
}

/// For reading tags back from this pod.
pub fn client(settings: &Settings, redactor: Arc<Redactor>) -> Result<Client, AccessError> {
    let loopback = settings.push.iter().flat_map(|push| &push.destinations).any(Reference::is_loopback);
    client_with(settings, settings.registry_secret.as_deref(), loopback, redactor)
}

/// The CA that lies beside a registry's credential counts, too. `loopback`: a registry that the user named is there.
pub fn client_with(settings: &Settings, secret: Option<&Path>, loopback: bool, redactor: Arc<Redactor>) -> Result<Client, AccessError> {
    let secrets = secret.map(|path| settings.policy.secret(path).read());
    let secrets = secrets.transpose()?.unwrap_or_default();
    let options = Options {
        net: connector(&settings.ambient, &secrets, loopback)?,
        plain_http: settings.policy.insecure_registries.clone(),
        ..Options::default()
    };
    Ok(Client::new(&options, redactor)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Overrides, load};
    use crate::model::{Classified, Reason};
    use crate::net::trial::{Pki, Server, answer};
    use crate::registry::RegistryError;

    /// A push to somewhere, with this directory as the registry's secret.
    fn settings(secret: &Path) -> Settings {
        pushing(secret, &["registry.example.com/web:1"])
    }

    fn pushing(secret: &Path, destinations: &[&str]) -> Settings {
        let request = serde_json::json!({
            "apiVersion": "podwright/v1",
            "source": {"directory": {"path": "/tmp"}},
            "push": {"destinations": destinations, "secret": secret},
        });
        let env = BTreeMap::from([("PODWRIGHT_REQUEST".to_owned(), request.to_string())]);
        load(&Overrides::default(), &env, &mut std::io::empty()).unwrap()
    }

    #[test]
    fn a_password_that_names_no_registry_is_for_one_alone() {
        let secret = tempfile::tempdir().unwrap();
        let checked = |destinations: &[&str]| check_secret(&pushing(secret.path(), destinations));
        std::fs::write(secret.path().join("username"), "me").unwrap();
        std::fs::write(secret.path().join("password"), "canary").unwrap();
        assert!(checked(&["a.example/x:1", "a.example/x:2", "a.example/y:1"]).is_ok());
        let error = checked(&["a.example/x:1", "b.example/x:1", "a.example/x:2"]).unwrap_err();
        assert_eq!(error.reason(), Reason::SecretInvalid);
        assert!(error.to_string().contains("a.example, b.example") && !error.to_string().contains("canary"), "{error}");
        assert!(error.hint().unwrap().contains(".dockerconfigjson"));
        std::fs::remove_file(secret.path().join("username")).unwrap();
        std::fs::remove_file(secret.path().join("password")).unwrap();
        std::fs::write(secret.path().join(".dockerconfigjson"), "{\"auths\":{}}").unwrap();
        assert!(checked(&["a.example/x:1", "b.example/x:1"]).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_ca_in_the_registry_s_secret_is_trusted() {
        let pki = Pki::new();
        let server = Server::tls(&pki, |_, out| answer(out, 404, &[], b""));
        let secret = tempfile::tempdir().unwrap();
        std::fs::write(secret.path().join("config.json"), "{}").unwrap();
        let reference = Reference::parse(&format!("127.0.0.1:{}/web:1", server.url.port().unwrap())).unwrap();
        let read = async || client(&settings(secret.path()), Arc::default()).unwrap().read_back(&reference, None).await.unwrap_err();
        assert!(matches!(read().await, RegistryError::Tls { .. }));
        std::fs::write(secret.path().join("ca.crt"), &pki.ca_pem).unwrap();
        assert!(matches!(read().await, RegistryError::NotFound { .. }), "let in over TLS, and told that there is none");
        std::fs::write(secret.path().join("ca.crt"), "nonsense").unwrap();
        assert_eq!(client(&settings(secret.path()), Arc::default()).err().unwrap().reason(), Reason::SecretInvalid);
    }
}
