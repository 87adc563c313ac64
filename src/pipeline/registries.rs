//! How a run speaks with registries: whose credentials, over which way.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::config::Settings;
use crate::registry::{Client, DockerKeychain, Options, RegistryError, Source, config_path};
use crate::support::redact::Redactor;

/// Where credentials are looked for, the request's own secret first.
pub fn keychain(settings: &Settings, redactor: Arc<Redactor>) -> DockerKeychain {
    let ambient = &settings.ambient;
    let mut sources = Vec::new();
    if let Some(path) = &settings.registry_secret {
        let mut hosts: Vec<String> =
            settings.push.iter().flat_map(|push| &push.destinations).map(|reference| reference.host().to_owned()).collect();
        hosts.dedup();
        sources.push(Source::Directory { path: path.clone(), hosts });
    }
    sources.extend(ambient.docker_auth_config.clone().map(Source::Inline));
    let given = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.as_os_str().to_owned());
    sources.extend(config_path(given(&ambient.docker_config).as_deref(), given(&ambient.home).as_deref()).map(Source::File));
    DockerKeychain::new(sources, redactor)
}

/// For reading tags back from this pod.
pub fn client(settings: &Settings, redactor: Arc<Redactor>) -> Result<Client, RegistryError> {
    let proxies = &settings.ambient.proxies;
    let exposed = |proxy: &Option<SecretString>| proxy.as_ref().map(|url| url.expose_secret().to_owned());
    let options = Options {
        plain_http: settings.policy.insecure_registries.clone(),
        https_proxy: exposed(&proxies.https),
        http_proxy: exposed(&proxies.http),
        no_proxy: proxies.no_proxy.clone(),
        ..Options::default()
    };
    Client::new(&options, redactor)
}
