//! How a run speaks with registries: whose credentials, over which way.

use std::sync::Arc;

use super::access::{AccessError, connector};
use crate::config::Settings;
use crate::registry::{Client, DockerKeychain, Options, Source, config_path};
use crate::support::redact::Redactor;
use crate::support::secretdir::SecretDir;

/// Where credentials are looked for, the request's own secret first.
pub fn keychain(settings: &Settings, redactor: Arc<Redactor>) -> DockerKeychain {
    let ambient = &settings.ambient;
    let mut sources = Vec::new();
    if let Some(path) = &settings.registry_secret {
        let mut hosts: Vec<String> =
            settings.push.iter().flat_map(|push| &push.destinations).map(|reference| reference.host().to_owned()).collect();
        hosts.dedup();
        sources.push(Source::Directory { secret: SecretDir::new(path, settings.policy.guard().clone()), hosts });
    }
    sources.extend(ambient.docker_auth_config.clone().map(Source::Inline));
    let given = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.as_os_str().to_owned());
    sources.extend(config_path(given(&ambient.docker_config).as_deref(), given(&ambient.home).as_deref()).map(Source::File));
    DockerKeychain::new(sources, redactor)
}

/// For reading tags back from this pod. The CA that lies beside the registry's credential counts here, too.
pub fn client(settings: &Settings, redactor: Arc<Redactor>) -> Result<Client, AccessError> {
    let secrets = settings.registry_secret.as_deref().map(|path| SecretDir::new(path, settings.policy.guard().clone()).read());
    let secrets = secrets.transpose()?.unwrap_or_default();
    let options = Options {
        net: connector(&settings.ambient, &secrets)?,
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
    use crate::model::{Classified, Reason, Reference};
    use crate::net::trial::{Pki, Server, answer};
    use crate::registry::RegistryError;

    /// A push to somewhere, with this directory as the registry's secret.
    fn settings(secret: &std::path::Path) -> Settings {
        let request = serde_json::json!({
            "apiVersion": "podwright/v1",
            "source": {"directory": {"path": "/tmp"}},
            "push": {"destinations": ["registry.example.com/web:1"], "secret": secret},
        });
        let env = BTreeMap::from([("PODWRIGHT_REQUEST".to_owned(), request.to_string())]);
        load(&Overrides::default(), &env, &mut std::io::empty()).unwrap()
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
